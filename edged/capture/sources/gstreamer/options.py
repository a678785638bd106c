"""How a GStreamer source is written (`gst:` with a pipeline, `csi`, `libcamera`), what it cannot
do, and what its child may reach. Needs no GStreamer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from edged.capture.confinement.needs import Needs
from edged.capture.source import CaptureRequest
from edged.capture.sources.paths import folder_of, with_its_parts
from edged.capture.sources.ribbon import NODES
from edged.capture.sources.ribbon import check as check_ribbon
from edged.errors import InputError
from edged.secret import redact

_JETSON_FILES = ("/etc/nv*", "/var/nvidia", "/opt/nvidia")
_BY_SOCKET = r"\b(nvarguscamerasrc|shmsrc|unixfdsrc|pipewiresrc|pulsesrc)\b|\.local\b"
"""Elements that talk to another program of this device, and names that are asked of Avahi."""


def _is_pipeline(source: str) -> bool:
    return source.lower().startswith("gst:")


def check(text: str) -> None:
    if not _is_pipeline(text):
        return check_ribbon(text)
    example = "write gst:v4l2src device=/dev/video0 ! jpegdec"
    try:
        words = _words(text.partition(":")[2])
    except ValueError:
        raise InputError("a quotation mark without its partner in a pipeline") from None
    if not words:
        raise InputError("expected a GStreamer pipeline after gst:", fix=example)
    if words[0].startswith("gst-launch"):
        raise InputError("a pipeline is written without gst-launch-1.0", fix=example)
    if words[-1] == "!":
        fix = "edged itself takes the pictures from its last element"
        raise InputError("a pipeline does not end with !", fix=fix)
    return None


def errors(request: CaptureRequest) -> Iterator[tuple[str, InputError]]:
    if request.roi and not request.size and _is_pipeline(request.source):
        what = "needs the size of the pipeline's pictures"
        fix = "write it as size: 1280x720, or crop in the pipeline itself: ! videocrop left=…"
        yield "roi", InputError(what, fix=fix)


def warnings(source: str) -> Iterator[str]:
    if _is_pipeline(source) and redact(source) != source:
        yield (
            "everybody on this device can read the password of a pipeline in the list of "
            "processes; a camera's own URL as its source (rtsp://…) is not shown there"
        )


def _words(description: str) -> list[str]:
    import shlex  # the children of all sources import this module

    return shlex.split(description)


def needs(source: str) -> Needs:
    """The files and devices that a description names, and what its elements look for."""
    kind, _, rest = source.partition(":")
    reads, devices = _named(rest) if _is_pipeline(source) else ((), ())
    if "shmsrc" in rest:
        reads = (*reads, "/dev/shm/shmpipe.*")
    return Needs(
        reads=("/run/udev", "/etc/fonts", "/var/cache/fontconfig", *_JETSON_FILES, *reads),
        lists=("/dev",),  # GStreamer reads all its plug-ins anew when the devices seem changed
        devices=(*NODES, *devices),
        network=_is_pipeline(source),
        unix_sockets=kind == "csi" or re.search(_BY_SOCKET, source) is not None,
        udev=True,
        programs=True,
        prepared_by=("gst-launch-1.0", "--version"),  # brings the list of plug-ins up to date
        certain=False,
    )


def _named(description: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(files, devices) that stand in a pipeline."""
    try:
        properties = [word.partition("=") for word in _words(description)]
    except ValueError:  # the source says so
        properties = []
    paths = [
        unquote(value[7:]) if value.startswith("file://") else value
        for name, _, value in properties
        if "/" in value.strip("/") or name == "location"
    ]
    paths = [path for path in paths if path and "://" not in path]
    devices = tuple(path for path in paths if path.startswith("/dev/"))
    files = (folder_of(path) if re.search(r"[%*]", path) else path for path in paths)
    return tuple(map(with_its_parts, files)), devices

"""Syntax, unsupported keys and needs of GStreamer sources: `gst:` with a pipeline, `csi`,
`libcamera`. Does not need GStreamer.
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
"""Elements that connect to a local program, and names that Avahi resolves."""


def _is_pipeline(source: str) -> bool:
    return source.lower().startswith("gst:")


def check(text: str) -> None:
    if not _is_pipeline(text):
        return check_ribbon(text)
    example = "write gst:v4l2src device=/dev/video0 ! jpegdec"
    try:
        words = _words(text.partition(":")[2])
    except ValueError:
        raise InputError("unbalanced quotation mark in a pipeline") from None
    if not words:
        raise InputError("expected a GStreamer pipeline after gst:", fix=example)
    if words[0].startswith("gst-launch"):
        raise InputError("write the pipeline without gst-launch-1.0", fix=example)
    if words[-1] == "!":
        fix = "edged reads the pictures from the last element"
        raise InputError("a pipeline cannot end with !", fix=fix)
    return None


def errors(request: CaptureRequest) -> Iterator[tuple[str, InputError]]:
    if request.size or not _is_pipeline(request.source):
        return
    what = "needs the size of the pipeline's pictures"
    if request.roi:
        fix = "write size: 1280x720, or crop in the pipeline: ! videocrop left=…"
        yield "roi", InputError(what, fix=fix)
    if request.views:
        yield "views", InputError(what, fix="write size: 1280x720")


def warnings(source: str) -> Iterator[str]:
    if _is_pipeline(source) and redact(source) != source:
        yield (
            "everybody on this device can read the password of a pipeline in the process list; "
            "a URL as source (rtsp://…) is not shown there"
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
    return child_needs(
        reads,
        devices,
        network=_is_pipeline(source),
        unix_sockets=kind == "csi" or re.search(_BY_SOCKET, source) is not None,
    )


def child_needs(
    reads: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    *,
    network: bool = False,
    unix_sockets: bool = False,
) -> Needs:
    """Of GStreamer itself and the hardware that it may use, with these."""
    return Needs(
        reads=("/run/udev", "/etc/fonts", "/var/cache/fontconfig", *_JETSON_FILES, *reads),
        lists=("/dev",),  # otherwise GStreamer sees changed devices and reloads all plug-ins
        devices=(*NODES, *devices),
        network=network,
        unix_sockets=unix_sockets,
        udev=True,
        programs=True,
        prepared_by=("gst-launch-1.0", "--version"),  # updates the plug-in registry
        certain=False,
    )


def _named(description: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(files, devices) in a pipeline."""
    try:
        properties = [word.partition("=") for word in _words(description)]
    except ValueError:  # reported by the source
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

"""The table of sources: syntax, needs of the child, and class of each kind.

Classes are imported when they are used, because they import heavy libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from edged.capture.admission import Admission
from edged.capture.confinement.needs import Needs
from edged.capture.decode.pictures import SUFFIXES
from edged.capture.device_watch import is_folder
from edged.capture.source import CaptureRequest, Source
from edged.capture.sources import address, paths, ribbon
from edged.capture.sources.gstreamer import options as gstreamer
from edged.capture.sources.synthetic import options as synthetic
from edged.errors import InputError


class Kind(NamedTuple):
    """One kind of source. Its functions import nothing heavy.

    reader: module and class, below this folder. words: a source is one of these, alone or before a
    colon. begins: prefixes of sources, case-insensitive. check: raises InputError, without the
    text, for wrong syntax; None for a path. needs: what the child may access. errors: (key, error)
    for keys of the camera that it does not support. warnings: one line each. fps: requested frame
    rate, None if unknown. size: requested (width, height), None if unknown. device: a V4L2 node,
    with format and controls. remote: read over a network. video: compressed video, whose
    decoder can be chosen. cuts: it may deliver the region, cut to a square, of a camera without
    views.
    """

    name: str
    reader: str
    words: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    check: Callable[[str], None] | None = None
    needs: Callable[[str], Needs] = lambda source: Needs()
    errors: Callable[[CaptureRequest], Iterable[tuple[str, InputError]]] = lambda request: ()
    warnings: Callable[[str], Iterable[str]] = lambda source: ()
    fps: Callable[[CaptureRequest], float | None] = lambda request: request.fps
    size: Callable[[CaptureRequest], tuple[int, int] | None] = lambda request: None
    device: bool = False
    remote: bool = False
    video: bool = False
    cuts: bool = False


def _requested_size(request: CaptureRequest) -> tuple[int, int] | None:
    return request.size


_FOLDER = Kind("folder", "folder.FolderSource", needs=paths.folder_needs)
_FILE = Kind("file", "file.FileSource", needs=paths.file_needs, video=True)
KINDS = (
    Kind(
        "v4l2",
        "v4l2.v4l2.V4l2Source",
        begins=("/dev/",),
        needs=lambda source: Needs(devices=(source,)),
        size=_requested_size,
        device=True,
        cuts=True,
    ),
    Kind(
        "rtsp",
        "rtsp.stream.StreamSource",
        begins=("rtsp://", "rtsps://"),
        check=address.check,
        needs=address.needs,
        remote=True,
        video=True,
    ),
    Kind(
        "http",
        "http.http.HttpSource",
        begins=("http://", "https://"),
        check=address.check,
        needs=address.needs,
        remote=True,
    ),
    Kind(
        "gstreamer",
        "gstreamer.gstreamer.GstreamerSource",
        words=("csi", "libcamera"),
        begins=("gst:",),
        check=gstreamer.check,
        needs=gstreamer.needs,
        errors=gstreamer.errors,
        warnings=gstreamer.warnings,
        size=_requested_size,
        cuts=True,
    ),
    Kind(
        "picamera2",
        "picamera2.PicameraSource",
        words=("picamera2",),
        check=ribbon.check,
        needs=ribbon.picamera2_needs,
        size=_requested_size,
    ),
    Kind(
        "synthetic",
        "synthetic.synthetic.SyntheticSource",
        words=("synthetic",),
        check=synthetic.check,
        errors=synthetic.errors,
        fps=synthetic.fps,
        size=synthetic.size,
    ),
    _FOLDER,
    _FILE,
)


def kind_of(source: str) -> Kind:
    """Anything but a device, known scheme, folder or picture is a video file."""
    word, start = source.partition(":")[0], source.lower()
    for kind in KINDS:
        if word in kind.words or start.startswith(kind.begins):
            return kind
    path = Path(source)
    return _FOLDER if path.suffix.lower() in SUFFIXES or is_folder(path) else _FILE


def needs_of(request: CaptureRequest) -> Needs:
    """Of the child, with those of a hardware decoder."""
    needs = kind_of(request.source).needs(request.source)
    if request.decode != "hardware":
        return needs
    return gstreamer.child_needs(
        needs.reads, network=needs.network, unix_sockets=needs.unix_sockets
    )


def make_source(request: CaptureRequest, admission: Admission) -> Source:
    module, _, name = kind_of(request.source).reader.rpartition(".")
    source: Source = getattr(import_module(f"{__package__}.{module}"), name)(request, admission)
    return source

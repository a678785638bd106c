"""The table of sources: how each kind is written, what its child may reach, which class reads it.

A class is imported only when it is used: each brings its own heavy library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from edged.capture.admission import Intake
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

    reader: module and class, below this folder. words: what its sources begin with, alone or before
    a colon. begins: the same, in any case and whatever follows.
    check: raises InputError, which never shows the text, for a source that is not written well;
    None where it is a path. needs: what the child may reach, all else is kept from it. errors: keys
    of the camera that it cannot follow, each with what is wrong. warnings: one line each. fps:
    pictures a second that it is asked for, None where that is not known. device: a V4L2 node,
    which has a format and controls. remote: it is asked over a network.
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
    device: bool = False
    remote: bool = False


_FOLDER = Kind("folder", "folder.FolderSource", needs=paths.folder_needs)
_FILE = Kind("file", "file.FileSource", needs=paths.file_needs)
KINDS = (
    Kind(
        "v4l2",
        "v4l2.v4l2.V4l2Source",
        begins=("/dev/",),
        needs=lambda source: Needs(devices=(source,)),
        device=True,
    ),
    Kind(
        "rtsp",
        "rtsp.stream.StreamSource",
        begins=("rtsp://", "rtsps://"),
        check=address.check,
        needs=address.needs,
        remote=True,
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
    ),
    Kind(
        "picamera2",
        "picamera2.PicameraSource",
        words=("picamera2",),
        check=ribbon.check,
        needs=ribbon.picamera2_needs,
    ),
    Kind(
        "synthetic",
        "synthetic.synthetic.SyntheticSource",
        words=("synthetic",),
        check=synthetic.check,
        errors=synthetic.errors,
        fps=synthetic.fps,
    ),
    _FOLDER,
    _FILE,
)


def kind_of(source: str) -> Kind:
    """What is no device, known scheme, folder or picture is taken for a video file."""
    word, start = source.partition(":")[0], source.lower()
    for kind in KINDS:
        if word in kind.words or start.startswith(kind.begins):
            return kind
    path = Path(source)
    return _FOLDER if path.suffix.lower() in SUFFIXES or is_folder(path) else _FILE


def make_source(request: CaptureRequest, intake: Intake) -> Source:
    module, _, name = kind_of(request.source).reader.rpartition(".")
    source: Source = getattr(import_module(f"{__package__}.{module}"), name)(request, intake)
    return source

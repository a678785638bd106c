"""The table of sources: what a source string means, which class reads it, and what it needs.

A class is imported only when it is used: each brings its own heavy library.
"""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from edged.capture.admission import Intake
from edged.capture.confinement import needs
from edged.capture.decode.pictures import SUFFIXES
from edged.capture.device_watch import is_folder
from edged.capture.source import CaptureRequest, Source


class SourceKind(str, Enum):
    V4L2 = "v4l2"
    STREAM = "stream"
    HTTP = "http"
    GSTREAMER = "gstreamer"
    PICAMERA2 = "picamera2"
    SYNTHETIC = "synthetic"
    FOLDER = "folder"
    FILE = "file"


class Kind(NamedTuple):
    """Module and name of the class; needs: what its child may reach, all else is kept from it."""

    module: str
    name: str
    needs: needs.Row


KINDS = {
    SourceKind.V4L2: Kind("edged.capture.sources.v4l2.v4l2", "V4l2Source", needs.device),
    SourceKind.STREAM: Kind("edged.capture.sources.rtsp.stream", "StreamSource", needs.address),
    SourceKind.HTTP: Kind("edged.capture.sources.http.http", "HttpSource", needs.address),
    SourceKind.GSTREAMER: Kind(
        "edged.capture.sources.gstreamer.gstreamer", "GstreamerSource", needs.gstreamer
    ),
    SourceKind.PICAMERA2: Kind(
        "edged.capture.sources.picamera2", "PicameraSource", needs.picamera2
    ),
    SourceKind.SYNTHETIC: Kind(
        "edged.capture.sources.synthetic.synthetic", "SyntheticSource", needs.nothing
    ),
    SourceKind.FOLDER: Kind("edged.capture.sources.folder", "FolderSource", needs.folder),
    SourceKind.FILE: Kind("edged.capture.sources.file", "FileSource", needs.file),
}

_PREFIXES = {
    "/dev/": SourceKind.V4L2,
    "rtsp://": SourceKind.STREAM,
    "rtsps://": SourceKind.STREAM,
    "http://": SourceKind.HTTP,
    "https://": SourceKind.HTTP,
    "gst:": SourceKind.GSTREAMER,
}
_NAMES = {
    "csi": SourceKind.GSTREAMER,
    "libcamera": SourceKind.GSTREAMER,
    "picamera2": SourceKind.PICAMERA2,
    "synthetic": SourceKind.SYNTHETIC,
}
"""With or without a colon and something more."""


def kind_of(source: str) -> SourceKind:
    """What is no device, known scheme, folder or picture is taken for a video file."""
    name = source.partition(":")[0]
    if name in _NAMES:
        return _NAMES[name]
    for prefix, kind in _PREFIXES.items():
        if source.lower().startswith(prefix):
            return kind
    path = Path(source)
    pictures = path.suffix.lower() in SUFFIXES or is_folder(path)
    return SourceKind.FOLDER if pictures else SourceKind.FILE


def make_source(request: CaptureRequest, intake: Intake) -> Source:
    kind = KINDS[kind_of(request.source)]
    source_class: Any = getattr(import_module(kind.module), kind.name)
    source: Source = source_class(request, intake)
    return source

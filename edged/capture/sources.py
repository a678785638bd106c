"""The table of sources: what a source string means, and which class reads it.

A class is imported only when it is used: each brings its own heavy library.
"""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

from edged.capture import CaptureRequest, Source
from edged.capture.intake import Intake
from edged.capture.pictures import SUFFIXES


class SourceKind(str, Enum):
    V4L2 = "v4l2"
    STREAM = "stream"
    HTTP = "http"
    GSTREAMER = "gstreamer"
    PICAMERA2 = "picamera2"
    SYNTHETIC = "synthetic"
    FOLDER = "folder"
    FILE = "file"


CLASSES = {
    SourceKind.V4L2: ("edged.capture.v4l2", "V4l2Source"),
    SourceKind.STREAM: ("edged.capture.stream", "StreamSource"),
    SourceKind.HTTP: ("edged.capture.http", "HttpSource"),
    SourceKind.GSTREAMER: ("edged.capture.gstreamer", "GstreamerSource"),
    SourceKind.PICAMERA2: ("edged.capture.picamera", "PicameraSource"),
    SourceKind.SYNTHETIC: ("edged.capture.synthetic", "SyntheticSource"),
    SourceKind.FOLDER: ("edged.capture.folder", "FolderSource"),
    SourceKind.FILE: ("edged.capture.file", "FileSource"),
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
    pictures = path.suffix.lower() in SUFFIXES or path.is_dir()
    return SourceKind.FOLDER if pictures else SourceKind.FILE


def make_source(request: CaptureRequest, intake: Intake) -> Source:
    module, name = CLASSES[kind_of(request.source)]
    source_class: Any = getattr(import_module(module), name)
    source: Source = source_class(request, intake)
    return source

"""What each kind of source needs beyond memory and the system's libraries: its child gets no more.

Paths may be patterns; what is not there is passed over. Nothing is opened here.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edged.capture.decode.pictures import SUFFIXES

CONFINED = "; if its confinement is the reason, it works with confine: false"
"""Ends what is said of a failure that may have come of needing more."""
_CAMERA_NODES = ("/dev/video*", "/dev/media*", "/dev/v4l-subdev*", "/dev/dma_heap/*")
_GPU_NODES = (
    *("/dev/dri/*", "/dev/udmabuf", "/dev/host1x*"),
    *("/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/nvgpu", "/dev/nvsci*", "/dev/v4l2-nv*"),
)
"""Not /dev/nv*: of those are disks, too."""
_JETSON_FILES = ("/etc/nv*", "/var/nvidia", "/opt/nvidia")
_PLAYLISTS = (".m3u8", ".m3u", ".ffconcat", ".mpd")
_BY_SOCKET = re.compile(r"\b(nvarguscamerasrc|shmsrc|unixfdsrc|pipewiresrc|pulsesrc)\b|\.local\b")
"""Elements that talk to another program of this device, and names that are asked of Avahi."""


@dataclass(frozen=True, slots=True)
class Needs:
    """reads: files, and folders with all that is below. lists: folders whose names are read, and
    nothing below them. devices: nodes that are read, written and controlled. network: TCP and UDP.
    unix_sockets: connections to programs of this device. udev: hears of devices that come and go.
    programs: starts others. prepared_by: a command that is run before the child is confined.
    certain: libraries that nobody here could try may need more.
    """

    reads: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    network: bool = False
    unix_sockets: bool = False
    udev: bool = False
    programs: bool = False
    prepared_by: tuple[str, ...] = ()
    certain: bool = True


Row = Callable[[str], Needs]
"""What a source of this kind needs, by its source string."""


def nothing(_: str) -> Needs:
    return Needs()


def device(source: str) -> Needs:
    return Needs(devices=(source,))


def address(source: str) -> Needs:
    """Names that end in .local are asked of Avahi, which listens on a Unix socket."""
    try:
        host = urlsplit(source).hostname or ""
    except ValueError:  # the source says so in better words
        host = ""
    return Needs(network=True, unix_sockets=host.rstrip(".").endswith(".local"))


def file(source: str) -> Needs:
    return Needs(reads=_file(source))


def folder(source: str) -> Needs:
    """With the pictures that its links point to; a link may be anybody's who writes there."""
    try:
        with os.scandir(source) as entries:
            links = [
                entry.path
                for entry in entries
                if entry.is_symlink() and Path(entry).suffix.lower() in SUFFIXES and entry.is_file()
            ]
    except NotADirectoryError:
        around = (_folder_of(source),) if _holds_pictures_only(source) else ()
        return Needs(reads=(source, *around))
    except OSError:
        links = []
    return Needs(reads=(source, *links))


def _holds_pictures_only(picture: str) -> bool:
    """The folder of a picture, which others may replace: the new one is another file."""
    try:
        with os.scandir(_folder_of(picture)) as entries:
            return all(
                Path(entry).suffix.lower() in SUFFIXES and not entry.is_dir(follow_symlinks=False)
                for entry in entries
            )
    except OSError:
        return False


def picamera2(_: str) -> Needs:
    return Needs(
        reads=("/run/udev",),
        lists=("/dev",),
        devices=(*_CAMERA_NODES, *_GPU_NODES),
        udev=True,
        programs=True,  # image processing that is not signed runs in a program of its own
        certain=False,
    )


def gstreamer(source: str) -> Needs:
    """The files and devices that a description names, and what its elements look for."""
    kind, _, rest = source.partition(":")
    reads, devices = _named(rest) if kind.lower() == "gst" else ((), ())
    if "shmsrc" in rest:
        reads = (*reads, "/dev/shm/shmpipe.*")
    return Needs(
        reads=("/run/udev", "/etc/fonts", "/var/cache/fontconfig", *_JETSON_FILES, *reads),
        lists=("/dev",),  # GStreamer reads all its plug-ins anew when the devices seem changed
        devices=(*_CAMERA_NODES, *_GPU_NODES, *devices),
        network=kind.lower() == "gst",
        unix_sockets=kind == "csi" or _BY_SOCKET.search(source) is not None,
        udev=True,
        programs=True,
        prepared_by=("gst-launch-1.0", "--version"),  # brings the list of plug-ins up to date
        certain=False,
    )


def _named(description: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(files, devices) that stand in a pipeline."""
    try:
        words = shlex.split(description)
    except ValueError:  # the source says so
        words = []
    properties = [word.partition("=") for word in words]
    paths = [
        unquote(value[7:]) if value.startswith("file://") else value
        for name, _, value in properties
        if "/" in value.strip("/") or name == "location"
    ]
    paths = [path for path in paths if path and "://" not in path]
    devices = tuple(path for path in paths if path.startswith("/dev/"))
    files = (_folder_of(path) if re.search(r"[%*]", path) else path for path in paths)
    return tuple(each for path in files for each in _file(path)), devices


def _file(path: str) -> tuple[str, ...]:
    """Of a playlist its folder."""
    return (_folder_of(path) if Path(path).suffix.lower() in _PLAYLISTS else path,)


def _folder_of(path: str) -> str:
    return str(Path(path).absolute().parent)

"""Whether a local device has come back: looked up often, because a pause may be half a minute.

A look costs some microseconds, and works where there is nothing yet to be notified of: with the
last camera the folders of its links (/dev/v4l/by-id) go, too.
"""

from __future__ import annotations

from pathlib import Path

LOOK_SECONDS = 0.2

Node = tuple[int, ...]
"""What tells one life of a device node from the next."""


def node_of(device: Path | None) -> Node | None:
    """None while it is not there. Links are followed.

    A device that returns may get the number it had, but as a new file. Mode, owners and the time of
    their last change tell that udev has granted access, a moment after the node was there.
    """
    if device is None:
        return None
    try:
        status = device.stat()
    except OSError:
        return None
    file = (status.st_dev, status.st_ino, status.st_rdev)
    return (*file, status.st_mode, status.st_uid, status.st_gid, status.st_ctime_ns)


def is_there(path: Path) -> bool:
    """False, too, where a folder above it is closed to us; pathlib itself raises then."""
    try:
        return path.exists()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """As `is_there`."""
    try:
        return path.is_dir()
    except OSError:
        return False

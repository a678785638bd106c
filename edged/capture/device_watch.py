"""Detects that a local device has returned, by polling.

A check takes some microseconds. Notification would not work: the folders of the links
(/dev/v4l/by-id) disappear with the last camera.
"""

from __future__ import annotations

from pathlib import Path

LOOK_SECONDS = 0.2

Node = tuple[int, ...]
"""Identifies one appearance of a device node."""


def node_of(device: Path | None) -> Node | None:
    """None while it does not exist. Follows links.

    A device that returns may get its old number, but as a new file. Mode, owners and ctime change
    when udev grants access, a moment after the node appears.
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
    """False also without permission for a folder above it, where pathlib raises."""
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

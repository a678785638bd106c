"""Files that contain a password: advice on their owner and mode."""

from __future__ import annotations

import grp
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from edged.state import in_container

SERVICE_FOLDER = Path("/etc/edged")
SERVICE_GROUP = "edged"
"""Group of the service's user; the package script and `edged service install` give it files."""


def for_the_service(path: Path, group: str = "") -> str:
    """The command that makes a file readable by root and the service only. A container's group has
    a number only on the device, where the command is for."""
    quoted = shlex.quote(str(path))
    group = group or (str(os.getegid()) if in_container(os.environ) else SERVICE_GROUP)
    return f"sudo chown root:{group} {quoted} && sudo chmod 640 {quoted}"


def keep_private(path: Path) -> str:
    """The fix for a world-readable file. In the service's folder, `chmod o=` alone would make a
    file of root unreadable for the service."""
    return for_the_service(path) if _is_of_service(path) else f"chmod o= {shlex.quote(str(path))}"


def how_to_read(path: Path, folder: Path = SERVICE_FOLDER, group: str = SERVICE_GROUP) -> str:
    """The fix for a file that this process may not read. folder, group: the service's."""
    if not _is_of_service(path, folder):
        return f"see its owner and mode: ls -l {shlex.quote(str(path))}"
    if in_container(os.environ):
        return f"on the device, with the path that it has there: {for_the_service(path)}"
    try:
        gid, found = grp.getgrnam(group).gr_gid, path.stat()
    except (KeyError, OSError):
        return "use sudo"
    if gid in (os.getegid(), *os.getgroups()):  # as the service itself
        return for_the_service(path, group)
    if found.st_gid != gid or not found.st_mode & stat.S_IRGRP:
        return "use sudo"
    return (
        f"use sudo; or join the group {group}, which may read it and the passwords in it: "
        f"sudo usermod -aG {group} $USER, then log in again"
    )


def _is_of_service(path: Path, folder: Path = SERVICE_FOLDER) -> bool:
    return path.absolute().is_relative_to(folder)


def readable_by_all(path: Path) -> Iterator[str]:
    """A warning if the file is world-readable."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & stat.S_IROTH:
        yield f"everybody can read {path}; {keep_private(path)}"

"""Files that contain a password: advice on their owner and mode."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

SERVICE_FOLDER = Path("/etc/edged")
SERVICE_GROUP = "edged"
"""Group of the service's user; the package script and `edged service install` give it files."""


def for_the_service(path: Path, group: str = SERVICE_GROUP) -> str:
    """The command that makes a file readable by root and the service only."""
    quoted = shlex.quote(str(path))
    return f"sudo chown root:{group} {quoted} && sudo chmod 640 {quoted}"


def keep_private(path: Path) -> str:
    """The fix for a world-readable file. In the service's folder, `chmod o=` alone would make a
    file of root unreadable for the service."""
    return for_the_service(path) if _is_of_service(path) else f"chmod o= {shlex.quote(str(path))}"


def how_to_read(path: Path) -> str:
    """The fix for a file that this process may not read."""
    if not _is_of_service(path):
        return f"see its owner and mode: ls -l {shlex.quote(str(path))}"
    return (
        f"only root and the service may: use sudo; if the service may not: {for_the_service(path)}"
    )


def _is_of_service(path: Path) -> bool:
    return path.absolute().is_relative_to(SERVICE_FOLDER)


def readable_by_all(path: Path) -> Iterator[str]:
    """A warning if the file is world-readable."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & stat.S_IROTH:
        yield f"everybody can read {path}; {keep_private(path)}"

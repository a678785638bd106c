"""Files that hold a password: who should read them, and what to do where others can."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

SERVICE_FOLDER = Path("/etc/edged")
SERVICE_GROUP = "edged"
"""Of the service's user; the package's script and edged service install give files to it."""


def for_the_service(path: Path, group: str = SERVICE_GROUP) -> str:
    """The command after which the service can read a file, and others than root cannot."""
    quoted = shlex.quote(str(path))
    return f"sudo chown root:{group} {quoted} && sudo chmod 640 {quoted}"


def keep_private(path: Path) -> str:
    """What to do where everybody can read a file. In the service's folder `chmod o=` alone would
    leave a file of root's that the service cannot read."""
    return for_the_service(path) if _is_of_service(path) else f"chmod o= {shlex.quote(str(path))}"


def how_to_read(path: Path) -> str:
    """What to do where this process may not read a file."""
    if not _is_of_service(path):
        return f"see its owner and mode: ls -l {shlex.quote(str(path))}"
    return (
        f"only root and the service may: use sudo; if the service may not: {for_the_service(path)}"
    )


def _is_of_service(path: Path) -> bool:
    return path.absolute().is_relative_to(SERVICE_FOLDER)


def readable_by_all(path: Path) -> Iterator[str]:
    """A warning where it is so."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & stat.S_IROTH:
        yield f"everybody can read {path}; {keep_private(path)}"

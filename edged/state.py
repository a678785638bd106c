"""The folder where edged keeps state, and how root writes there for its owner."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edged.errors import EdgedError

SERVICE_STATE = Path("/var/lib/edged")
"""The StateDirectory= of the service."""


def in_container(environ: Mapping[str, str]) -> bool:
    """Whether this is the container image, which sets a variable for it."""
    return bool(environ.get("EDGED_CONTAINER"))


def state_directory(environ: Mapping[str, str]) -> Path | None:
    """systemd's StateDirectory=, or the state folder of the XDG Base Directory Specification."""
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):
        return Path(state) / "edged"
    return Path(home) / ".local/state/edged" if home.startswith("/") else None


def daemon_state_directory(environ: Mapping[str, str], service: Path = SERVICE_STATE) -> Path:
    """Where a command finds what a daemon keeps: the service's folder if this user may write there
    or has no home, otherwise that of a daemon which this user starts."""
    writable = os.access(service, os.W_OK | os.X_OK, effective_ids=True)
    if writable and not environ.get("STATE_DIRECTORY"):
        return service
    return state_directory(environ) or service


@contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """As root, act as the owner of the folder, or of the first one above it that exists: nothing in
    it becomes root's, and no link in it leads where only root may write. For the whole process: not
    in a program with threads that need root. Raises EdgedError if the owner cannot read edged and
    this Python, whose modules are partly read when they are needed."""
    folder = folder.absolute()
    owner = next(each for each in (folder, *folder.parents) if each.is_dir()).stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups(_groups(owner.st_uid, owner.st_gid))
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        for module in (os.__file__, __file__):
            if not os.access(module, os.R_OK, effective_ids=True):
                raise EdgedError(
                    f"root acts as the owner of {folder}, user {owner.st_uid}, who cannot read it",
                    where=module,
                    fix="run this command as that user, or install edged where all may read it",
                )
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def credentials() -> dict[str, Any]:
    """Arguments of subprocess.Popen with which a child of a process inside `as_owner` cannot return
    to root. It begins in a folder that everybody may enter."""
    if os.getuid() == os.geteuid():
        return {}
    return {"user": os.geteuid(), "group": os.getegid(), "cwd": "/"}


def _groups(user: int, group: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:  # a user without a name
        return [group]

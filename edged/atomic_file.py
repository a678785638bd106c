"""Writes files atomically, also on a power cut or a full disk, and reads files without blocking.

Raises OSError.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal


def write_whole(path: Path, content: bytes) -> None:
    """Create or replace the file."""
    partial = partial_of(path)
    try:
        write_synced(partial, content)
        partial.replace(path)
    except OSError:
        with suppress(OSError):  # on a read-only disk this fails too
            partial.unlink()
        raise


def read_file(path: Path, most_bytes: int, *, links: bool = True) -> bytes:
    """The first bytes of a regular file; OSError for anything else, such as a pipe (it blocks).
    links: follow a symbolic link."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(most_bytes)


def write_synced(path: Path, content: bytes) -> None:
    """Write and sync a new file. Deletes an existing one first, so that a link made by another user
    is not followed."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in the folder last: those of files created, renamed or deleted."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_to_write(path: Path, mode: Literal["wb", "ab"]) -> IO[bytes]:
    """As `open`, but raises OSError for a symbolic link, which another user may have made, and for
    a pipe without a reader."""
    return open(path, mode, opener=_open_without_links)


def _open_without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def partial_of(path: Path) -> Path:
    """The temporary path of a file while it is written."""
    return path.with_name(f".{path.name}.partial")

"""Files reach the disk whole: a power cut or a full disk leaves the old content or the new one.

And they are read without waiting for anybody.

Raises OSError as the system does; what to say of it is the caller's business.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` in place of what is there, if anything is."""
    partial = partial_of(path)
    try:
        write_synced(partial, content)
        partial.replace(path)
    except OSError:
        with suppress(OSError):  # a disk that takes no writing does not take this either
            partial.unlink()
        raise


def read_file(path: Path, most_bytes: int) -> bytes:
    """The beginning of a file. OSError for anything else: a pipe would wait for its writer."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(most_bytes)


def write_synced(path: Path, content: bytes) -> None:
    """Into a new file, and on to the disk. What has that name is deleted: a link that somebody
    else may have made there must not lead the writing to another file."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def open_to_write(path: Path, mode: Literal["wb", "ab"]) -> IO[bytes]:
    """As `open`, but with an OSError for a symbolic link, which another user may have made, and for
    a pipe that nobody reads."""
    return open(path, mode, opener=_open_without_links)


def _open_without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def partial_of(path: Path) -> Path:
    """Where a file lies while it is being written."""
    return path.with_name(f".{path.name}.partial")

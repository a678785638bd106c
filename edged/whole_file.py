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
    """Into the file itself, and on to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def partial_of(path: Path) -> Path:
    """Where a file lies while it is being written."""
    return path.with_name(f".{path.name}.partial")

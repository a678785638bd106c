"""Folders that several processes read while one writes.

What is written appears by one rename, so a power cut leaves the old state or the new one. Names
with a leading dot are unfinished or removed: no reader looks at them, the next writer deletes them.
Symbolic links are not followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edged.atomic_file import partial_of, sync_folder, write_synced, write_whole
from edged.errors import EdgedError, InputError

LOCK = ".lock"
LOCK_SECONDS = 20.0
"""A writer needs far less, even on a slow memory card."""
_LOOK_SECONDS = 0.05
_MODE = 0o750
_REMOVED = ".removed-"


def made(folder: Path) -> Path:
    """The folder, created if missing, with those above it. Raises OSError."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        if folder.parent != folder:
            made(folder.parent)
        folder.mkdir(mode=_MODE, exist_ok=True)
        sync_folder(folder.parent)
        return folder
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return folder


def put(path: Path, content: bytes) -> None:
    """Create or replace the file, in a folder that is created if missing. Raises OSError."""
    made(path.parent)
    write_whole(path, content)
    sync_folder(path.parent)


def put_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Create the folder with these files at once. Raises OSError, FileExistsError too."""
    made(folder.parent)
    partial = partial_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(mode=_MODE)
        for name, content in files.items():
            write_synced(partial / name, content)
        move(partial, folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def move(folder: Path, target: Path) -> None:
    """Rename a folder. Raises OSError, FileExistsError where the target is not an empty folder."""
    made(target.parent)
    sync_folder(folder)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        raise
    sync_folder(target.parent)
    if folder.parent != target.parent:
        sync_folder(folder.parent)


def remove(path: Path) -> None:
    """Remove a file or folder; at once for every reader. Raises OSError."""
    aside = path.with_name(f"{_REMOVED}{secrets.token_hex(4)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    sync_folder(path.parent)
    _delete(aside)


def touch(path: Path) -> None:
    """Give the file a later time than it has. Raises OSError."""
    now = max(time.time_ns(), path.stat().st_mtime_ns + 1)
    os.utime(path, ns=(now, now))


def clear_remains(folder: Path) -> None:
    """Delete what an interrupted writer left in the folder."""
    with suppress(OSError):
        for each in list(os.scandir(folder)):
            if each.name.startswith(_REMOVED) or each.name.endswith(".partial"):
                _delete(Path(each.path))


def _delete(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Sorted by name, without those that begin with a dot; empty for what is not a folder."""
    if folder.is_symlink():
        return []
    try:
        found = [each for each in os.scandir(folder) if not each.name.startswith(".")]
    except OSError:
        return []
    return sorted(found, key=lambda each: each.name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """A real one, not a link."""
    return entry.is_dir(follow_symlinks=False)


def is_file(entry: os.DirEntry[str]) -> bool:
    """A regular one, not a link."""
    return entry.is_file(follow_symlinks=False)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns OSError into an EdgedError of one message."""
    try:
        yield
    except OSError as error:
        raise EdgedError(
            "cannot be written; what was there is unchanged",
            where=folder,
            got=error.strerror or type(error).__name__,
        ) from error


@contextmanager
def locked(folder: Path, seconds: float = LOCK_SECONDS) -> Iterator[int]:
    """Be the only writer in the folder; gives the descriptor of the lock's file.

    Raises InputError if the folder has gone, EdgedError if another writer does not finish in time,
    OSError.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            fd = os.open(
                folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640
            )
        except FileNotFoundError:
            raise InputError("no such folder", where=folder) from None
        try:
            if _lock(fd) and _is_at(fd, folder / LOCK):
                yield fd
                return
        finally:
            os.close(fd)
        if time.monotonic() > until:
            raise EdgedError(
                "another process is writing", where=folder, fix="try again in a moment"
            )
        time.sleep(_LOOK_SECONDS)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a classifier's training. Raises InputError if another process does."""
    path = folder / ".training"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        if not _lock(fd):
            what = "is being taught already; wait until that is done"
            raise InputError(what, where=folder.name)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """False if the folder was removed or replaced while this process waited."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False

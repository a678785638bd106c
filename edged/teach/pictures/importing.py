"""Hands pictures from outside to a confined process, and takes what it makes of them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from edged.capture.sent.bounds import PICTURE_SECONDS
from edged.capture.sent.process import DecodeProcess, EndedError
from edged.errors import InputError
from edged.printable import printable
from edged.teach.pictures.bounds import (
    IMPORT_SECONDS,
    MOST_CHILDREN,
    MOST_PICTURES,
    MOST_STORED_BYTES,
)

if TYPE_CHECKING:
    from edged.teach.moments import Look

_LOOK_BYTES = 16 * 16 * 3
_NAME_BYTES = 200


class Upload(NamedTuple):
    """name: for messages. content: or an open file, which is read from its beginning."""

    name: str
    content: bytes | IO[bytes]


@dataclass(frozen=True, slots=True)
class Picked:
    """A picture as it is stored. name: of its file. unix: when it was taken, if the file tells."""

    jpeg: bytes
    look: Look
    name: str
    unix: float | None


class Rejected(NamedTuple):
    name: str
    why: str


@dataclass(slots=True)
class Imported:
    """`picked` in the order of the files."""

    picked: list[Picked] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def import_pictures(
    items: Iterable[Path | Upload],
    progress: Callable[[int], None] = lambda pictures: None,
    *,
    seconds: float = PICTURE_SECONDS,
    most_seconds: float = IMPORT_SECONDS,
    starting: Callable[[], AbstractContextManager[None]] = nullcontext,
    program: Sequence[str] = ("-m", "edged.teach.pictures.worker"),
) -> Imported:
    """The pictures of files, folders and zip files; what is none is named with the reason.

    progress: gets the number of pictures so far. seconds: for one picture. most_seconds: for all;
    the rest is left out. starting: entered to start a process. Raises InputError for a path that
    cannot be read, EdgedError if no confined process can be started.
    """
    items = list(items)
    for each in items:
        if isinstance(each, Path):
            _check(each)  # before the others take minutes
    found = Imported()
    until = time.monotonic() + most_seconds
    with _Children(program, seconds, starting) as children:
        for name, fd in _opened(items):
            most = MOST_PICTURES - len(found.picked)
            try:
                for answer in _answers(children, name, fd, most):
                    if isinstance(answer, Rejected):
                        found.rejected.append(answer)
                    else:
                        found.picked.append(answer)
                        progress(len(found.picked))
                    if time.monotonic() > until:
                        why = f"the rest was left out: it took longer than {most_seconds:g} s"
                        found.rejected.append(Rejected(name, why))
                        return found
            finally:
                os.close(fd)
    return found


def _answers(children: _Children, name: str, fd: int, most: int) -> Iterator[Picked | Rejected]:
    if most == 0:
        yield Rejected(name, f"more than {MOST_PICTURES:,} pictures at once")
    elif why := _not_a_file(fd):
        yield Rejected(name, why)
    else:
        yield from children.ask(name, fd, most)


def looks_of(jpegs: Iterable[bytes]) -> list[Look | None]:
    """Of stored pictures; None for one that cannot be decoded any more."""
    items = [Upload(str(number), jpeg) for number, jpeg in enumerate(jpegs)]
    looks: list[Look | None] = [None] * len(items)
    if items:
        for each in import_pictures(items).picked:
            looks[int(each.name)] = each.look
    return looks


class _Children:
    """One process at a time; the next begins where one has ended early."""

    def __init__(
        self,
        program: Sequence[str],
        seconds: float,
        starting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._program = program
        self._seconds = seconds
        self._starting = starting
        self._child: DecodeProcess | None = None
        self._lost = 0

    def __enter__(self) -> _Children:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, name: str, fd: int, most: int) -> Iterator[Picked | Rejected]:
        """What is in the file, at most so many pictures."""
        begin, at = 0, name
        taken = 0
        while True:
            try:
                order = {"name": _short(name), "begin": begin}
                for values, content in self._running().ask(order, fd, self._seconds):
                    at = str(values.get("name", at))
                    if "at" in values:
                        begin = int(values["at"])
                        if taken == most:
                            yield Rejected(at, f"more than {MOST_PICTURES:,} pictures at once")
                            self._end()
                            return
                    elif "rejected" in values:
                        yield Rejected(printable(at), printable(str(values["rejected"])))
                    else:
                        taken += 1
                        yield _picked(values, content)
                return
            except (EndedError, ValueError, LookupError, TypeError) as error:  # noqa: PERF203
                why = str(error) if isinstance(error, EndedError) else "cannot be decoded"
                yield Rejected(printable(at), why)
                self._end()
                self._lost += 1
                if at == name:
                    return
                if self._lost >= MOST_CHILDREN:
                    yield Rejected(name, "the rest was left out: too many of its pictures fail")
                    return
                begin, at = begin + 1, name

    def _running(self) -> DecodeProcess:
        if self._child is None:
            with self._starting():
                self._child = DecodeProcess(self._program, MOST_STORED_BYTES + _LOOK_BYTES)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _picked(values: dict[str, Any], content: bytes) -> Picked:
    import numpy as np

    jpeg, seen = content[: int(values["jpeg"])], content[int(values["jpeg"]) :]
    unix = values["unix"]
    if not jpeg.startswith(b"\xff\xd8") or len(seen) != _LOOK_BYTES:
        raise ValueError("not a picture")
    pixels = np.frombuffer(seen, np.uint8).reshape(16, 16, 3)
    return Picked(
        jpeg, pixels, printable(str(values["name"])), None if unix is None else float(unix)
    )


def _check(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from None


def _short(name: str) -> str:
    """The end of a name that would be too long for an order."""
    return name if len(name.encode(errors="replace")) <= _NAME_BYTES else "…" + name[-60:]


def _not_a_file(fd: int) -> str:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return "not a file"
    return "" if found.st_size else "an empty file"


def _opened(items: Iterable[Path | Upload]) -> Iterator[tuple[str, int]]:
    """(name, descriptor), which the caller closes."""
    for item in items:
        if isinstance(item, Upload):
            yield item.name, _descriptor(item.content)
            continue
        for path in _files(item):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if path == item:
                    raise InputError(f"cannot be read: {error.strerror}", where=path) from None
                continue  # removed since it was listed
            yield printable(str(path)), fd


def _descriptor(content: bytes | IO[bytes]) -> int:
    """A new one, at the beginning."""
    if not isinstance(content, bytes):
        fd = os.dup(content.fileno())
        os.lseek(fd, 0, os.SEEK_SET)
        return fd
    fd = os.memfd_create("picture", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _files(path: Path) -> Iterator[Path]:
    """The file, or those of a folder and of the folders in it, by name; hidden ones are not."""
    if not path.is_dir():
        yield path
        return
    for each in sorted(path.iterdir()):
        if not each.name.startswith("."):
            if each.is_dir() and not each.is_symlink():
                yield from _files(each)
            else:
                yield each

"""Receives the body of a request.

Nothing is read before every check has passed. What is uploaded goes into a file without a name, so
that it does not outlive the request; a body has to keep arriving.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from edged.clock import Clock, monotonic_ns
from edged.web.answer import Answer, Request
from edged.web.changes.post import Body, Kept, Post

UPLOADS = 2
"""Into files, at once."""
PICTURES = 4
"""In memory, at once."""
STEP_BYTES = 256 * 1024
"""So much has to arrive in the time that a whole request without an upload has."""
FREE_BYTES = 100_000_000
"""An upload leaves so much of the disk free."""
_BLOCK_BYTES = 64 * 1024


class ClientGoneError(Exception):
    """The client has disconnected, or was cut off, before its request was complete."""


class Bodies:
    """folder: where uploads are kept while they are used; created if missing. None: the system's
    folder for temporary files."""

    def __init__(self, folder: Path | None = None, clock: Clock = monotonic_ns) -> None:
        self._folder = folder
        self._clock = clock
        self._free = {
            Kept.FILE: threading.BoundedSemaphore(UPLOADS),
            Kept.MEMFD: threading.BoundedSemaphore(PICTURES),
        }

    def refusal(self, request: Request, post: Post) -> Answer | None:
        """The answer to a request whose head announces a body that is not accepted."""
        if request.transfer_encoding:
            what = "Transfer-Encoding is not supported; send Content-Length"
            return Answer.error(HTTPStatus.NOT_IMPLEMENTED, what)
        if not request.content_length:
            return Answer.error(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        length = _length(request)
        if length is None:
            return Answer.error(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
        kind = _kind(request)
        if kind not in post.most_bytes:
            return Answer.error(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"expected the Content-Type {' or '.join(post.most_bytes)}",
                got=kind[:100] or "none",
            )
        if length > post.most_bytes[kind]:
            return Answer.error(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"expected at most {post.most_bytes[kind]} bytes of {kind}",
                got=str(length),
            )
        return None

    @contextmanager
    def receiving(
        self, request: Request, post: Post, read: Callable[[int], bytes]
    ) -> Iterator[Body | Answer]:
        """The body of a request that `refusal` let pass, or the answer if there is no room for it.

        read: up to so many further bytes, none at the end. Raises ClientGoneError if the body ends
        early, as `read` may.
        """
        length = _length(request) or 0
        if post.kept is Kept.BYTES:
            with io.BytesIO() as content:
                yield self._filled(content, request, length, read)
            return
        free = self._free[post.kept]
        if not free.acquire(blocking=False):
            retry = ("Retry-After", "2")
            yield Answer.error(HTTPStatus.TOO_MANY_REQUESTS, "too many uploads at once", retry)
            return
        try:
            file = _memfd() if post.kept is Kept.MEMFD else self._file(length)
            if isinstance(file, Answer):
                yield file
                return
            with file:
                yield self._filled(file, request, length, read)
        finally:
            free.release()

    def _filled(
        self, content: BinaryIO, request: Request, length: int, read: Callable[[int], bytes]
    ) -> Body:
        _fill(content, length, read)
        return Body(_kind(request), content, self._clock())

    def _file(self, length: int) -> BinaryIO | Answer:
        """Empty, with its space reserved."""
        with ExitStack() as closing:
            try:
                if self._folder is not None:
                    self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
                file = closing.enter_context(
                    tempfile.TemporaryFile(dir=self._folder, prefix=".upload.")
                )
                disk = os.fstatvfs(file.fileno())
                if disk.f_bavail * disk.f_frsize - length < FREE_BYTES:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.posix_fallocate(file.fileno(), 0, max(length, 1))
            except OSError as error:
                what = "the device cannot keep this upload"
                return Answer.error(HTTPStatus.INSUFFICIENT_STORAGE, what, got=error.strerror)
            closing.pop_all()
            return file


def _memfd() -> BinaryIO:
    return os.fdopen(os.memfd_create("upload", os.MFD_CLOEXEC), "w+b")


def _fill(content: BinaryIO, length: int, read: Callable[[int], bytes]) -> None:
    while length:
        block = read(min(length, _BLOCK_BYTES))
        if not block:
            raise ClientGoneError
        content.write(block)
        length -= len(block)
    content.seek(0)  # and flushes a file


def _length(request: Request) -> int | None:
    text = request.content_length
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def _kind(request: Request) -> str:
    return request.content_type.partition(";")[0].strip().lower()

"""Downloads one file over HTTP, and resumes an interrupted download.

`NAME.part` holds the received bytes, `NAME.mark` the ETag or Last-Modified of their content. With
a server that sends neither, or supports no ranges, the download starts over. Proxies come from the
environment, certificates are verified, and redirects from https to http are refused. Messages
mask user and password of a URL. The caller ensures that only one process downloads.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request

from edged.atomic_file import open_to_write
from edged.errors import EdgedError, InputError
from edged.secret import redact
from edged.variants.weights.http_client import (
    USUAL,
    BrokenOff,
    RetryPolicy,
    floor,
    make_request,
    open_request,
)

_BLOCK_BYTES = 1 << 16
_PROGRESS_BYTES = 1 << 20
"""An attempt that received this much resets the retry count."""
_TRANSIENT_STATUS = {408, 429}  # and 5xx
_NO_HEAD = {403, 405, 501}  # servers that support GET but not HEAD

_BROKEN_CONNECTION = (
    ConnectionResetError,  # includes http.client.RemoteDisconnected
    ConnectionAbortedError,
    BrokenPipeError,
    ssl.SSLEOFError,
    http.client.IncompleteRead,
)

T = TypeVar("T")


def _silent(message: str) -> None:
    pass


def _unseen(received_bytes: int) -> None:
    pass


def check_url(url: str) -> None:
    """Raise InputError for anything but an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises ValueError if not a number
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise InputError(
            "not an http or https address",
            got=redact(url),
            fix="write it as https://host/folder",
        )


def size_of(
    url: str, policy: RetryPolicy = USUAL, note: Callable[[str], None] = _silent
) -> int | None:
    """The file's size in bytes; None if the server does not state it. Raises EdgedError."""

    def ask() -> int | None:
        try:
            with open_request(make_request(url, "HEAD"), policy) as response:
                return _number(response.headers.get("Content-Length"))
        except HTTPError as error:
            if error.code not in _NO_HEAD:
                raise
            error.close()
            return None

    return _persist(url, ask, policy, note, lambda: 0)


def download(
    url: str,
    target: Path,
    most_bytes: int,
    policy: RetryPolicy = USUAL,
    progress: Callable[[int], None] = _unseen,
    note: Callable[[str], None] = _silent,
) -> None:
    """Download the file to `target` and sync it to disk.

    progress: called with the number of bytes received. note: called with a line for each retry.
    Raises EdgedError, and keeps the received bytes for the next call.
    """
    part = _Part(target)
    try:
        _persist(
            url,
            lambda: _receive(url, part, most_bytes, policy, progress),
            policy,
            note,
            part.size,
        )
        with _disk(target):
            part.path.replace(target)
            part.mark.unlink()
    finally:
        part.drop_if_empty()


class _Part:
    """The received bytes of a file, and the validator of their content."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self.mark = target.with_name(f"{target.name}.mark")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self, url: str) -> str:
        """The ETag or Last-Modified of the content, empty if it is not from `url`."""
        if not self.size() or not self.mark.exists():
            return ""
        source, _, validator = self.mark.read_text(encoding="latin-1").partition("\n")
        return validator if source == _fingerprint(url) else ""

    def begin(self, url: str, validator: str) -> IO[bytes]:
        """Start over: truncate the content before replacing its validator."""
        file = open_to_write(self.path, "wb")
        with open_to_write(self.mark, "wb") as mark:
            mark.write(f"{_fingerprint(url)}\n{validator}".encode("latin-1"))
        return file

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)

    def drop_if_empty(self) -> None:
        if not self.size():
            self.drop()


def _receive(
    url: str, part: _Part, most_bytes: int, policy: RetryPolicy, progress: Callable[[int], None]
) -> None:
    """One attempt. Raises EdgedError for permanent errors, OSError and HTTPException for others."""
    request = make_request(url, "GET")
    with _disk(part.path):
        validator, received = part.validator(url), part.size()
    if validator:
        request.add_header("Range", f"bytes={received}-")
        request.add_header("If-Range", validator)
    with _answer(request, part, policy) as response:
        file: IO[bytes]
        total = _number(response.headers.get("Content-Length"))
        if response.status == 206 and validator:
            start, total = _content_range(response.headers.get("Content-Range"))
            if start != received:
                with _disk(part.path):
                    part.drop()
                raise BrokenOff("the server sent another range than requested")
            with _disk(part.path):
                file = open_to_write(part.path, "ab")
        elif response.status == 200:
            received = 0
            with _disk(part.path):
                file = part.begin(url, _validator(response.headers))
        else:
            raise EdgedError("no file received", where=redact(url), got=f"HTTP {response.status}")
        with file:
            if total is not None and total > most_bytes:
                raise _too_large(url, most_bytes)
            with floor(response.socket, policy, lambda: received):
                while block := response.read1(_BLOCK_BYTES):
                    received += len(block)
                    if received > most_bytes:
                        part.drop()  # a retry would not help
                        raise _too_large(url, most_bytes)
                    with _disk(part.path):
                        file.write(block)
                    progress(received)
            if total is not None and received != total:
                raise BrokenOff(f"the transfer ended after {received} of {total} bytes")
            with _disk(part.path):
                file.flush()
                os.fsync(file.fileno())


def _answer(request: Request, part: _Part, policy: RetryPolicy) -> Any:
    try:
        return open_request(request, policy)
    except HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        with _disk(part.path):
            part.drop()
        raise BrokenOff("the server has no such range") from None


def _too_large(url: str, most_bytes: int) -> EdgedError:
    return EdgedError(
        "the file is larger than any official one",
        where=redact(url),
        got=f"over {most_bytes} bytes",
    )


# ---------------------------------------------------------------------------------------- attempts


def _persist(
    url: str,
    attempt: Callable[[], T],
    policy: RetryPolicy,
    note: Callable[[str], None],
    received: Callable[[], int],
) -> T:
    failures, reached = 0, received()
    while True:
        try:
            return attempt()
        except (OSError, http.client.HTTPException) as error:
            reason, transient = _judged(error, policy)
        if received() >= reached + _PROGRESS_BYTES:
            failures, reached = 0, received()
        failures += 1
        if not transient or failures > policy.retries:
            tries = f" ({failures} attempts)" if failures > 1 else ""
            raise EdgedError(f"download failed: {reason}{tries}", where=redact(url))
        pause_seconds = policy.pause_seconds * 2 ** (failures - 1)
        note(f"{redact(url)}: {reason}; retrying in {pause_seconds:g} s")
        policy.sleep(pause_seconds)


def _judged(error: OSError | http.client.HTTPException, policy: RetryPolicy) -> tuple[str, bool]:
    """The reason in words, and whether a retry may succeed."""
    if isinstance(error, HTTPError):
        error.close()
        if error.code < 400:
            return "the server redirects in a circle or to an invalid address", False
        transient = error.code >= 500 or error.code in _TRANSIENT_STATUS
        return f"HTTP {error.code} {http.client.responses.get(error.code, '')}".strip(), transient
    if isinstance(error, URLError) and isinstance(error.reason, OSError):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"no data for {policy.timeout_seconds:g} s", True
    if isinstance(error, socket.gaierror):
        return f"host not found ({error.strerror})", error.errno == socket.EAI_AGAIN
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message})", False
    if isinstance(error, BrokenOff):
        return str(error), True
    if isinstance(error, _BROKEN_CONNECTION):
        return "the connection was lost", True
    if isinstance(error, http.client.HTTPException):
        return "the answer is not HTTP", False
    return redact(error.strerror or str(error)), False


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Report an OSError in this block as a disk error."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise EdgedError(
            "cannot be written",
            where=error.filename or path,
            got=error.strerror,
            fix="free some space, then run the same command to continue" if full else None,
        ) from None


def _validator(headers: Any) -> str:
    """For If-Range: a strong ETag, or Last-Modified (RFC 9110, 13.1.5)."""
    etag = str(headers.get("ETag", "")).strip()
    if etag and not etag.startswith("W/"):
        return etag
    return str(headers.get("Last-Modified", "")).strip()


def _content_range(text: str | None) -> tuple[int | None, int | None]:
    """First byte and size of the whole file."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text or "")
    return (int(match[1]), _number(match[2])) if match else (None, None)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _fingerprint(url: str) -> str:
    """A hash, since the URL may contain a password."""
    return hashlib.sha256(url.encode()).hexdigest()

"""HTTP requests of a download: credentials, redirects and timeouts."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from edged import __version__
from edged.errors import EdgedError
from edged.secret import redact


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """timeout_seconds: for connecting, for the response headers, and for each read; at least
    `least_bytes` must arrive in this time. Pauses double from `pause_seconds`."""

    timeout_seconds: float = 30.0
    least_bytes: int = 4096
    retries: int = 4
    pause_seconds: float = 1.0
    sleep: Callable[[float], None] = time.sleep


USUAL = RetryPolicy()


class BrokenOff(http.client.HTTPException):
    """A failed transfer that a retry may complete."""


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, except from https to http or to another protocol."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        fp.close()  # the body is not needed
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != req.type:
            raise EdgedError(
                "the server redirects to an unencrypted address or another protocol",
                where=redact(req.full_url),
                got=redact(newurl),
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def floor(connection: Any, policy: RetryPolicy, received: Callable[[], int]) -> Iterator[None]:
    """Shut the connection down and raise BrokenOff if fewer than `least_bytes` arrive in
    `timeout_seconds`. The socket's own timeout restarts with every byte."""
    done, late = threading.Event(), threading.Event()
    came = 0

    def watch() -> None:
        nonlocal came
        had = received()
        while not done.wait(policy.timeout_seconds):
            came = received() - had
            if came < policy.least_bytes:
                late.set()
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                return
            had = received()

    thread = threading.Thread(target=watch, name="download floor", daemon=True)
    thread.start()
    try:
        yield
    except (OSError, ValueError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        done.set()
        thread.join()
    if late.is_set():
        what = f"fewer than {policy.least_bytes} bytes in" if came else "no data for"
        raise BrokenOff(f"{what} {policy.timeout_seconds:g} s")


class _PunctualHTTP(http.client.HTTPConnection):
    """Receives all response headers within the timeout of one read."""

    def getresponse(self) -> http.client.HTTPResponse:
        connection = self.sock
        seconds = USUAL.timeout_seconds if self.timeout is None else self.timeout
        with floor(connection, RetryPolicy(seconds), lambda: 0):
            response = super().getresponse()
        response.socket = connection  # type: ignore[attr-defined]
        return response


class _PunctualHTTPS(_PunctualHTTP, http.client.HTTPSConnection):
    pass


class _Handler(HTTPHandler):
    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_PunctualHTTP, req)


class _SecureHandler(HTTPSHandler):
    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_PunctualHTTPS, req)


def open_request(request: Request, policy: RetryPolicy) -> Any:
    opener = build_opener(_Redirects, _Handler, _SecureHandler)
    return opener.open(request, timeout=policy.timeout_seconds)


def make_request(url: str, method: str) -> Request:
    """User and password of the URL go into a header that redirects do not forward."""
    parts = urlsplit(url)
    credentials, at, host = parts.netloc.rpartition("@")
    request = Request(
        parts._replace(netloc=host, fragment="").geturl(),
        headers={"User-Agent": f"edged/{__version__}", "Accept-Encoding": "identity"},
        method=method,
    )
    if at:
        coded = base64.b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {coded}")
    return request

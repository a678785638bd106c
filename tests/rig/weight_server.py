"""A real HTTP server of weights with the troubles that real servers and lines have."""

from __future__ import annotations

import hashlib
import io
import socket
import struct
import tarfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Trouble = Callable[["_Handler"], None]


class WeightServer:
    """`files` by name, served under /weights/; what goes wrong with them and what was asked for.

    troubles: for each name what the next GETs meet, one each; then all is well. requests: method,
    name and Range header. ranges, etags, heads, sized: what the server can do. sizes: what HEAD
    says in place of the truth. password: the Authorization that it asks for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.troubles: dict[str, list[Trouble]] = defaultdict(list)
        self.requests: list[tuple[str, str, str | None]] = []
        self.ranges, self.etags, self.heads, self.sized = True, True, True, True
        self.sizes: dict[str, int] = {}
        self.password: str | None = None
        self.holding = threading.Event()
        self.let_go = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.http.daemon_threads = True
        self.http.weights = self  # type: ignore[attr-defined]
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}/weights"

    def gets(self) -> list[tuple[str, str | None]]:
        return [(name, asked) for method, name, asked in self.requests if method == "GET"]


@contextmanager
def weight_server(files: Mapping[str, bytes] | None = None) -> Iterator[WeightServer]:
    server = WeightServer()
    server.files.update(files or {})
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.http.shutdown()
        thread.join()
        server.http.server_close()


# --------------------------------------------------------------------------------------- troubles


def status(code: int) -> Trouble:
    return lambda handler: handler.answer(code, b"<html>trouble</html>")


def redirect(url: str) -> Trouble:
    return lambda handler: handler.answer(302, b"", {"Location": url})


def cut(after: int, *, reset: bool = False) -> Trouble:
    """Promises the rest, sends `after` bytes of it and ends the connection."""

    def trouble(handler: _Handler) -> None:
        handler.send_file(after)
        if reset:  # lingering for zero seconds is a reset
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return trouble


def hold(after: int) -> Trouble:
    """Sends `after` bytes, then nothing until the test lets go."""

    def trouble(handler: _Handler) -> None:
        handler.send_file(after)
        handler.wfile.flush()
        handler.weights.holding.set()
        handler.weights.let_go.wait()

    return trouble


def silent(handler: _Handler) -> None:
    """Takes the request and says nothing."""
    handler.weights.let_go.wait()


def gone(handler: _Handler) -> None:
    """Ends the connection without an answer."""


def garbage(handler: _Handler) -> None:
    handler.wfile.write(b"\x1b[31mSSH-2.0-OpenSSH_9.2\r\n")


def chunked(*blocks: bytes, ended: bool) -> Trouble:
    """Without a length; `ended`: whether the last chunk, which is empty, follows."""

    def trouble(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for block in blocks:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        if ended:
            handler.wfile.write(b"0\r\n\r\n")

    return trouble


def drip(before: bytes) -> Trouble:
    """Sends `before`, then a byte at a time until nobody reads: never silent, never done."""

    def trouble(handler: _Handler) -> None:
        with suppress(OSError):
            handler.wfile.write(before)
            while not handler.weights.let_go.wait(0.02):
                handler.wfile.write(b"1")

    return trouble


def endless(handler: _Handler) -> None:
    """Sends a file that has no end."""
    handler.send_response(200)
    handler.send_header("ETag", '"endless"')
    handler.end_headers()
    with suppress(OSError):
        while not handler.weights.let_go.is_set():
            handler.wfile.write(bytes(1 << 16))


def claimed(size: int) -> Trouble:
    """Says that the file has so many bytes, and sends none."""
    return lambda handler: handler.answer(200, b"", {"Content-Length": str(size)})


def other_range(handler: _Handler) -> None:
    """Answers a range with another one, from the file's first byte on."""
    content = handler.weights.files[handler.name]
    total = len(content)
    handler.answer(206, content, {"Content-Range": f"bytes 0-{total - 1}/{total}"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ThreadingHTTPServer

    @property
    def weights(self) -> WeightServer:
        return self.server.weights  # type: ignore[attr-defined, no-any-return]

    @property
    def name(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]

    def do_HEAD(self) -> None:
        self._take()

    def do_GET(self) -> None:
        self._take()

    def _take(self) -> None:
        self.close_connection = True
        weights = self.weights
        weights.requests.append((self.command, self.name, self.headers["Range"]))
        with suppress(OSError):  # the client has gone
            if weights.password not in (None, self.headers["Authorization"]):
                self.answer(401, b"")
            elif self.command == "HEAD" and not weights.heads:
                self.answer(405, b"")
            elif self.command == "GET" and weights.troubles[self.name]:
                weights.troubles[self.name].pop(0)(self)
            elif self.name not in weights.files:
                self.answer(404, b"<html>not found</html>")
            else:
                self.send_file(None)

    def send_file(self, most: int | None) -> None:
        """The file or the range that was asked for; `most`: of that only the first bytes."""
        content, weights = self.weights.files[self.name], self.weights
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        start, code, headers = 0, 200, {}
        if weights.etags:
            headers["ETag"] = etag
        asked = self.headers["Range"]
        if weights.ranges and asked is not None and self.headers["If-Range"] in (None, etag):
            start, code = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(content):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if weights.sized:
            size = len(content) - start
            if self.command == "HEAD":
                size = weights.sizes.get(self.name, size)
            headers["Content-Length"] = str(size)
        self._head(code, headers)
        if self.command == "GET":
            self.wfile.write(content[start:][:most])

    def answer(self, code: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._head(code, {"Content-Length": str(len(body)), **(headers or {})})
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, code: int, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing per request."""


def tgz(members: Mapping[str, bytes]) -> bytes:
    """An archive of these members, in their order; the same members give the same bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()

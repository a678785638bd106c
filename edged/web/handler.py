"""One HTTP request: TLS handshake, head, body, answer or stream, and close."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import socketserver
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from edged.errors import EdgedError
from edged.web.answer import Answer, Download, End, Request, Stream
from edged.web.changes.body import STEP_BYTES, ClientGoneError
from edged.web.changes.post import Post

if TYPE_CHECKING:
    from edged.web.access import Access
    from edged.web.changes.body import Bodies
    from edged.web.connections import Connections
    from edged.web.endpoints import Endpoints

HEAD_BYTES = 8192
"""Request line and headers together. Browsers send about one thousand."""
BODY_BYTES = 128 * 1024
"""Limit of a request body that is read and ignored: nobody asked for it."""
QUERY_FIELDS = 32
SPEAK_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 38\r\n"
    b"Connection: close\r\n\r\nThis port speaks TLS: write https://.\n"
)
DOWNLOAD_BYTES = 64 * 1024
"""So much of a download has to be taken in the time of a whole request."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ABSOLUTE = re.compile(r"(?i:https?)://(?P<host>[^/?#]+)(?P<rest>.*)")
"""Absolute-form request target; its host overrides the Host header (RFC 9112, 3.2.2)."""
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""What proxies add."""
NOT_UTF8 = "the query is not UTF-8; percent-encode its values, as UTF-8"
NOTHING_ELSE = "default-src 'none'; frame-ancestors 'none'"
_FRAMES = "frame-ancestors 'none'", "frame-ancestors 'self'"
"""In a policy: none, and those of Home Assistant, whose address an answer has behind ingress."""

log = logging.getLogger("edged.telemetry.http")


def _percent_encoded(line: bytes) -> bytes:
    """The request line as a client has to send it: http.server reads other bytes as Latin-1, and
    some of them as spaces."""
    return re.sub(rb"[\x80-\xff]", lambda found: b"%%%02X" % ord(found[0]), line)


class Context(socketserver.ThreadingTCPServer):
    """The server's state that handlers use."""

    access: Access
    bodies: Bodies
    endpoints: Endpoints
    connections: Connections
    connection_seconds: float
    failing_paths: set[str]


class _Connected(io.RawIOBase):
    """The connection as a file to write to. written: called after each piece."""

    def __init__(self, connection: socket.socket, written: Callable[[], None]) -> None:
        self._connection = connection
        self._written = written

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._connection.sendall(data)
        self._written()
        return len(data)


class Handler(BaseHTTPRequestHandler):
    server: Context
    protocol_version = "HTTP/1.1"
    default_request_version = request_version = "HTTP/1.1"  # errors have a status line too
    command = ""
    disable_nagle_algorithm = True
    framed = False

    def handle(self) -> None:
        with contextlib.suppress(OSError, ClientGoneError):  # it disconnected, or was cut off
            if isinstance(self.connection, ssl.SSLSocket) and not self._shakes_hands():
                return
            head = self._read_head()
            if head is None:
                self._send(Answer.text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
            else:
                self.server.connections.asked(self.connection)
                self.rfile.close()
                self.rfile = io.BufferedReader(io.BytesIO(head))
                self.raw_requestline = _percent_encoded(self.rfile.readline())
                if self.parse_request():
                    self._respond()
            self._end()

    def _shakes_hands(self) -> bool:
        """False for a client that speaks plain HTTP; it has been answered."""
        try:
            self.connection.do_handshake()
        except ssl.SSLError as error:
            if error.reason != "HTTP_REQUEST":
                raise
            below = socket.socket  # TLS
            below.sendall(self.connection, SPEAK_TLS)
            below.shutdown(self.connection, socket.SHUT_WR)
            below.recv(self.connection, HEAD_BYTES)  # left unread, it would reset the connection
            return False
        return True

    def _read_head(self) -> bytes | None:
        """Up to the empty line; shorter if the client stops sending; None above HEAD_BYTES."""
        head = b""
        while b"\n\n" not in head.replace(b"\r", b""):
            if len(head) > HEAD_BYTES:
                return None
            more = self.connection.recv(HEAD_BYTES)
            if not more:
                break
            head += more
        return head

    def _respond(self) -> None:
        answer = self._answer()
        if isinstance(answer, Answer):
            self._send(answer)
            return
        if isinstance(answer, Download):
            self._send_download(answer)
            return
        try:
            self._send_stream(answer)
        finally:
            answer.close()

    def _answer(self) -> Answer | Download | Stream:
        target, host = self.path, self.headers.get("Host", "")
        if absolute := _ABSOLUTE.fullmatch(target):
            target, host = absolute["rest"], absolute["host"]
        path, _, query = target.partition("?")
        try:
            fields = parse_qs(
                query, keep_blank_values=True, max_num_fields=QUERY_FIELDS, errors="strict"
            )
        except UnicodeDecodeError:
            return Answer.text(HTTPStatus.BAD_REQUEST, why=NOT_UTF8)
        except ValueError:
            return Answer.text(HTTPStatus.BAD_REQUEST)
        request = self._request(path or "/", fields, host)
        failing = self.server.failing_paths
        try:
            answer = self._answer_to(request)
        except ClientGoneError:
            raise
        except Exception:  # a scrape must not take the daemon down
            if path not in failing:
                log.exception("cannot answer %s %s", self.command, path)
            failing.add(path)
            return Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR)
        failing.discard(path)
        return answer

    def _request(self, path: str, fields: Mapping[str, list[str]], host: str) -> Request:
        def header(name: str) -> str:
            return ", ".join(self.headers.get_all(name, ()))

        client, server = (
            End(str(end[0]), int(end[1]))
            for end in (self.client_address, self.connection.getsockname())
        )
        return Request(
            method=self.command,
            path=path,
            query=fields,
            accept=self.headers.get("Accept", ""),
            accept_encoding=self.headers.get("Accept-Encoding", ""),
            authorization=self.headers.get("Authorization", ""),
            host=host,
            client=client.address,
            peer=client,
            server=server,
            origin=header("Origin"),
            fetch_site=header("Sec-Fetch-Site"),
            forwarded=", ".join(filter(None, map(header, _FORWARDED))),
            content_type=header("Content-Type"),
            content_length=header("Content-Length"),
            transfer_encoding=header("Transfer-Encoding"),
            ingress_path=header("X-Ingress-Path"),
            ingress_user=self._only("X-Remote-User-Name") if self._only("X-Remote-User-Id") else "",
        )

    def _only(self, name: str) -> str:
        """The value of a header of the supervisor, "" if there may be another's: the supervisor
        keeps back a client's own only where it is spelled in the same letters."""
        found = [each for each in self.headers.items() if each[0].lower() == name.lower()]
        if [key for key, _ in found] != [name]:
            return ""
        return found[0][1].encode("latin-1").decode(errors="replace")

    def _answer_to(self, request: Request) -> Answer | Download | Stream:
        admitted = self.server.access.admit(request)
        if isinstance(admitted, Answer):
            return admitted
        self.framed = admitted.framed
        answer = self.server.endpoints.answer(admitted)
        return self._post(admitted, answer) if isinstance(answer, Post) else answer

    def _post(self, request: Request, post: Post) -> Answer:
        bodies = self.server.bodies
        refusal = self.server.access.refusal_to_post(request, post.right)
        refusal = refusal or bodies.refusal(request, post)
        if refusal is not None:
            return refusal
        with bodies.receiving(request, post, self._body()) as body:
            if isinstance(body, Answer):
                return body
            self._may_last(post.seconds)
            return post.make(body)

    def _body(self) -> Callable[[int], bytes]:
        """Reads on after the head. A client that waits to be asked is asked at the first call."""
        waits = self.headers.get("Expect", "").lower() == "100-continue"
        arrived = 0

        def read(most: int) -> bytes:
            nonlocal waits, arrived
            block = self.rfile.read(most)  # came with the head
            try:
                if not block and waits and self.request_version >= "HTTP/1.1":
                    self.wfile.write(CONTINUE)
                block = block or self.connection.recv(most)
            except OSError:
                raise ClientGoneError from None
            waits = False
            arrived += len(block)
            if arrived >= STEP_BYTES:
                self._may_last(self.server.connection_seconds)
                arrived = 0
            return block

        return read

    def _may_last(self, seconds: float) -> None:
        self.server.connections.extend(self.connection, time.monotonic() + seconds)

    def _send(self, answer: Answer) -> None:
        length = ("Content-Length", str(len(answer.body)))
        self._send_head(answer.status, answer.content_type, length, *answer.headers)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _send_download(self, download: Download) -> None:
        name = ("Content-Disposition", f'attachment; filename="{download.name}"')
        self._send_head(HTTPStatus.OK, download.content_type, name)
        if self.command != "HEAD":
            seconds = self.server.connection_seconds
            connected = _Connected(self.connection, partial(self._may_last, seconds))
            with io.BufferedWriter(connected, DOWNLOAD_BYTES) as file:
                try:
                    download.write(file)
                except EdgedError as error:
                    log.error("cannot send %s: %s", download.name, error)

    def _send_stream(self, stream: Stream) -> None:
        self.server.connections.never_ends(self.connection)
        # The send buffer holds minutes of results: a client that reads nothing would stay.
        untaken_ms = int(4000 * self.server.connection_seconds)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, untaken_ms)
        # nginx buffers responses by default.
        unbuffered = ("X-Accel-Buffering", "no")
        self._send_head(HTTPStatus.OK, "text/event-stream; charset=utf-8", unbuffered)
        if self.command != "HEAD":
            for part in stream.parts():
                self.wfile.write(part)

    def _send_head(self, status: int, content_type: str, *headers: tuple[str, str]) -> None:
        self.request_version = self.protocol_version  # HTTP/0.9 would get a body without a head
        self.send_response_only(status)
        common = {
            "Content-Type": content_type,
            "Cache-Control": "no-store",
            "Connection": "close",
            "Content-Security-Policy": NOTHING_ELSE,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        own = {name for name, _ in headers}
        for name, value in (*(each for each in common.items() if each[0] not in own), *headers):
            self.send_header(name, value.replace(*_FRAMES) if self.framed else value)
        self.end_headers()

    def _end(self) -> None:
        """Read what is left of the request: closing with unread data would send a reset."""
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.settimeout(0)
            with contextlib.suppress(OSError, ValueError):
                self.connection.unwrap()  # sends close_notify; does not wait
            return
        self.connection.shutdown(socket.SHUT_WR)
        left = BODY_BYTES if self.command not in ("GET", "HEAD") else 0
        while left > 0 and (discarded := self.connection.recv(HEAD_BYTES)):
            left -= len(discarded)

    def handle_expect_100(self) -> bool:
        """Called by the base class, which would ask for every body; `_body` asks for those read."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by the base class for a request that it cannot parse."""
        self._send(Answer.text(HTTPStatus(code)))

    def log_message(self, format: str, *args: Any) -> None:
        """No access log."""

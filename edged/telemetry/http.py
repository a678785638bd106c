"""GET /metrics, /healthz and /readyz over plain HTTP, for Prometheus and for whoever restarts us.

Small and bounded: one request a connection, so many connections at once, so many seconds and
bytes each; a client that hangs is cut off. What is answered is decided by `Endpoints`, without
sockets. Knows nothing of authentication: who can reach the port can read what is there.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import math
import socket
import socketserver
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import CollectorRegistry

from edged.clock import Clock, monotonic_ns
from edged.errors import EdgedError
from edged.secret import redact
from edged.telemetry import Health, stuck_loops

CONNECTIONS = 8
"""At once: a Prometheus or two and a person. Further ones are turned away with 503."""
CONNECTION_SECONDS = 5.0
"""From the first byte to the last; a scrape takes milliseconds."""
HEAD_BYTES = 8192
"""Request line and headers together. Browsers send about one thousand."""
BODY_BYTES = 128 * 1024
"""What a request may hold besides; nothing here looks at it."""
STUCK_SECONDS = 5.0
SWEEP_SECONDS = 0.25
"""How often hanging connections and the wish to stop are looked for."""

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"

INDEX = (
    '<p>edged: <a href="/metrics">metrics</a>, <a href="/healthz">healthz</a>, '
    '<a href="/readyz">readyz</a></p>\n'
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: HTTPStatus, *headers: tuple[str, str]) -> Answer:
        return cls(status, TEXT, f"{status.value} {status.phrase}\n".encode(), headers)

    @classmethod
    def json(cls, status: HTTPStatus, body: Mapping[str, Any]) -> Answer:
        return cls(status, JSON, json.dumps(body).encode() + b"\n")


class Endpoints:
    """What each path answers."""

    def __init__(
        self,
        registry: CollectorRegistry,
        health: Health,
        stuck_seconds: float = STUCK_SECONDS,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._registry = registry
        self._health = health
        self._stuck_seconds = stuck_seconds
        self._clock = clock

    def answer(self, method: str, path: str, accept: str = "", accept_encoding: str = "") -> Answer:
        if method not in ("GET", "HEAD"):
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
        if path == "/metrics":
            return self._metrics(accept, accept_encoding)
        if path == "/healthz":
            return self._healthz()
        if path == "/readyz":
            return self._readyz()
        if path == "/":
            return Answer(HTTPStatus.OK, HTML, INDEX.encode())
        return Answer.text(HTTPStatus.NOT_FOUND)

    def _metrics(self, accept: str, accept_encoding: str) -> Answer:
        try:
            encode, content_type = choose_encoder(" ".join(accept.split()))
        except (TypeError, ValueError):  # a version that is no version
            encode, content_type = choose_encoder("")
        body = encode(self._registry)
        vary = ("Vary", "Accept, Accept-Encoding")
        if not gzip_accepted(accept_encoding):
            return Answer(HTTPStatus.OK, content_type, body, (vary,))
        packed = gzip.compress(body, compresslevel=1)  # a device's time is dearer than the bytes
        return Answer(HTTPStatus.OK, content_type, packed, (vary, ("Content-Encoding", "gzip")))

    def _healthz(self) -> Answer:
        stuck = stuck_loops(self._health.loops(), self._clock(), self._stuck_seconds)
        return Answer.json(
            HTTPStatus.SERVICE_UNAVAILABLE if stuck else HTTPStatus.OK,
            {
                "healthy": not stuck,
                "stuck_seconds": {loop: round(seconds, 3) for loop, seconds in stuck.items()},
            },
        )

    def _readyz(self) -> Answer:
        cameras = self._health.cameras()
        ready = all(camera.ready for camera in cameras)
        return Answer.json(
            HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
            {
                "ready": ready,
                "cameras": {
                    camera.name: {
                        "state": camera.state,
                        "ready": camera.ready,
                        "last_error": redact(camera.last_error or "") or None,
                    }
                    for camera in cameras
                },
            },
        )


class HttpServer:
    """Listens from its construction, answers from `start` to `close`, or inside `with`; its end
    takes a second at most.

    host: an address or a name. port: 0 takes a free one. Raises EdgedError when it cannot listen.
    stuck_seconds: a loop without a turn for longer makes the daemon unhealthy. beside: another one
    of this process, which may have the same port on another address and is to be closed soon.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Health,
        *,
        stuck_seconds: float = STUCK_SECONDS,
        connections: int = CONNECTIONS,
        connection_seconds: float = CONNECTION_SECONDS,
        beside: HttpServer | None = None,
    ) -> None:
        endpoints = Endpoints(registry, health, stuck_seconds)
        try:
            family, _, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._server = _Server(family, address, endpoints, connections, connection_seconds)
            self._server.listen(None if beside is None else beside._server)
        except OSError as error:
            raise EdgedError(
                "cannot listen for HTTP",
                where=_written(host, port),
                got=error.strerror,
                fix="choose another address or port in the configuration, http: {listen: …}; "
                "`ss -ltnp` as root shows who holds a port",
            ) from None
        bound_host, self.port = self._server.server_address[:2]
        self.address = _written(str(bound_host), int(self.port))
        """Where it listens, as it is written in a URL: `127.0.0.1:9640`, `[::1]:9640`."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SWEEP_SECONDS,), name="http", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut_off(math.inf)

    def __enter__(self) -> HttpServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(socketserver.ThreadingTCPServer):
    """A thread per connection, a bounded number of them, each with a deadline."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        family: socket.AddressFamily,
        address: Any,
        endpoints: Endpoints,
        connections: int,
        connection_seconds: float,
    ) -> None:
        self.address_family = family
        self.endpoints = endpoints
        self.failing_paths: set[str] = set()
        self._connections = connections
        self._connection_seconds = connection_seconds
        self._lock = threading.Lock()
        self._deadlines: dict[socket.socket, float] = {}
        super().__init__(address, _Handler, bind_and_activate=False)

    def listen(self, beside: _Server | None) -> None:
        sockets = () if beside is None else (self.socket, beside.socket)
        try:
            with _sharing_ports(*sockets):
                self.server_bind()
                self.server_activate()
        except OSError:
            self.server_close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._deadlines) >= self._connections
            if not full:
                self._deadlines[request] = time.monotonic() + self._connection_seconds
        if full:
            _turn_away(request)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._deadlines.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        self.cut_off(time.monotonic())

    def cut_off(self, now: float) -> None:
        """End the connections whose deadline has come."""
        with self._lock:
            due = [each for each, deadline in self._deadlines.items() if deadline <= now]
        for request in due:
            with contextlib.suppress(OSError):  # it has just gone by itself
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request failed", exc_info=True)


@contextlib.contextmanager
def _sharing_ports(*sockets: socket.socket) -> Iterator[None]:
    """0.0.0.0:9640 may be bound beside 127.0.0.1:9640 if both allow it. Only for that moment: two
    daemons on one port must not go unnoticed."""
    try:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield
    finally:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def _turn_away(request: socket.socket) -> None:
    """Never waits: the thread that accepts must not hang on a client."""
    request.setblocking(False)
    with contextlib.suppress(OSError):
        request.send(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")
        request.recv(HEAD_BYTES)  # a request left unread would turn the answer into a reset


class _Handler(BaseHTTPRequestHandler):
    """One request, then the connection ends."""

    server: _Server
    protocol_version = "HTTP/1.1"
    default_request_version = request_version = "HTTP/1.1"  # errors have a status line too
    command = ""
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client went away, or was cut off
            head = self._read_head()
            if head is None:
                self._send(Answer.text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
            else:
                self.rfile.close()
                self.rfile = io.BufferedReader(io.BytesIO(head))
                self.raw_requestline = self.rfile.readline()
                if self.parse_request():
                    self._send(self._answer())
            if self.command not in ("GET", "HEAD"):
                self._discard_body()

    def _read_head(self) -> bytes | None:
        """Up to the empty line; less when the client ends before it; None when it is too long."""
        head = b""
        while b"\n\n" not in head.replace(b"\r", b""):
            if len(head) > HEAD_BYTES:
                return None
            more = self.connection.recv(HEAD_BYTES)
            if not more:
                break
            head += more
        return head

    def _answer(self) -> Answer:
        path = self.path.partition("?")[0]
        accepts = (self.headers.get("Accept", ""), self.headers.get("Accept-Encoding", ""))
        failing = self.server.failing_paths
        try:
            answer = self.server.endpoints.answer(self.command, path, *accepts)
        except Exception:  # a scrape must not take the daemon down
            if path not in failing:
                log.exception("cannot answer GET %s", path)
            failing.add(path)
            return Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR)
        failing.discard(path)
        return answer

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in (
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
            *answer.headers,
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _discard_body(self) -> None:
        """What is left unread at the end would turn the answer into a reset."""
        self.connection.shutdown(socket.SHUT_WR)
        left = BODY_BYTES
        while left > 0 and (discarded := self.connection.recv(HEAD_BYTES)):
            left -= len(discarded)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class calls for a request it cannot parse."""
        self._send(Answer.text(HTTPStatus(code)))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing per request."""

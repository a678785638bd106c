"""A server of the endpoints on a free port, and clients of it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edged.web.history.endpoints import History
from edged.web.options import HttpConfig
from edged.web.server import HttpServer
from edged.web.teach import Teaching
from tests.rig.live import Device, endpoints_of


def make_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    return registry


@contextmanager
def serving(
    registry: CollectorRegistry | None = None,
    device: Device | None = None,
    *,
    host: str = "127.0.0.1",
    connections: int = 8,
    connection_seconds: float = 5.0,
    http: HttpConfig | None = None,
    teaching: Teaching | None = None,
    history: History | None = None,
    uploads: Path | None = None,
    **more: Any,
) -> Iterator[HttpServer]:
    """more: of `endpoints_of`."""
    with HttpServer(
        http or HttpConfig(host, 0),
        endpoints_of(
            device, registry or make_registry(), teaching=teaching, history=history, **more
        ),
        connections=connections,
        connection_seconds=connection_seconds,
        uploads=uploads,
    ) as server:
        yield server


def request(
    server: HttpServer,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    host: str = "127.0.0.1",
) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection(host, server.port, timeout=10)) as connection:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def raw(server: HttpServer, data: bytes) -> bytes:
    """Everything that comes back until the server ends the connection."""
    with connect(server) as client:
        client.sendall(data)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    received = b""
    while more := client.recv(65536):
        received += more
    return received


class Scripted(Collector):
    """Yields what the test put into `collected`, or raises it."""

    def __init__(self) -> None:
        self.collected: Metric | Exception = GaugeMetricFamily("small", "A small one.", 1.0)

    def collect(self) -> Iterator[Metric]:
        if isinstance(self.collected, Exception):
            raise self.collected
        yield self.collected


@contextmanager
def answering(answer: Callable[[str, Message], tuple[int, str, str]]) -> Iterator[int]:
    """The port of a server that answers a GET of a path, with headers, by a status, the content's
    type and the text. 401 asks for a password."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, text = answer(self.path, self.headers)
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm=""')
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *about: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()

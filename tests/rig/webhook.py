"""A scripted HTTP server, and the sink that posts to it."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from edged.result import Event
from edged.secret import Secret, SourceUrl
from edged.sinks.tls import TlsClient
from edged.sinks.webhook.options import WebhookConfig
from edged.sinks.webhook.webhook import Webhook
from edged.sinks.worker import Timing

EVENT = Event("door", "visitor", 10**18, None, 0.7, b"picture")


class Server(http.server.ThreadingHTTPServer):
    """answers: status codes, the last one for ever. headers: of each answer. judge: the status for
    a body, in place of answers."""

    def __init__(
        self,
        *answers: int,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        judge: Callable[[bytes], int] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.answers = list(answers)
        self.headers = headers or {}
        self.judge = judge
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what is tested."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        answers, judge = self.server.answers, self.server.judge
        if judge is not None:
            answers = [judge(body)]
        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(*answers: int, **keys: Any) -> Iterator[Server]:
    with Server(*answers, **keys) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(30)


def config_for(port: int, tls: TlsClient | None = None) -> WebhookConfig:
    url = SourceUrl(f"http://127.0.0.1:{port}/hook/s3cret")
    return WebhookConfig(
        url, tls, "127.0.0.1", port, Secret("/hook/s3cret"), Secret("Bearer t0ken")
    )


@contextmanager
def started(config: WebhookConfig, lasting_seconds: float = 600) -> Iterator[Webhook]:
    sink = Webhook(config, Timing(0.01, lasting_seconds=lasting_seconds))
    sink.start()
    try:
        yield sink
    finally:
        sink.close(5)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name.startswith("edged")]

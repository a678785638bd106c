"""Home Assistant as an add-on sees it: its ingress, and the supervisor's services."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SUPERVISOR = "127.0.0.2"
"""Where the ingress comes from: an address that every Linux machine has."""
INGRESS_PATH = "/api/hassio_ingress/d0XzPn2Ck-_8mQ"
USER_ID = "4f1d8a0b2c6e4d7f9a3b5c7d9e1f2a4b"
PANEL = f'<!doctype html><link rel=icon href="data:,"><iframe src="{INGRESS_PATH}/"></iframe>'
_KEPT_BACK = (
    *("Content-Length", "Transfer-Encoding", "Accept-Encoding"),
    *("X-Remote-User-Id", "X-Remote-User-Name"),  # only in this spelling, as the supervisor does
)
_OF_THE_CONNECTION = ("connection", "content-length", "transfer-encoding")


class HomeAssistant:
    """user: the name of who is logged in. strayed: paths that were asked beside the ingress."""

    def __init__(self, port: int, user: str) -> None:
        self.port = port
        self.user = user
        self.strayed: list[str] = []
        self.url = ""


@contextmanager
def ingress(port: int, user: str = "anna") -> Iterator[HomeAssistant]:
    """Shows the add-on that listens on `port` in a frame of its page `/`. It passes requests on as
    Home Assistant and its supervisor do: without the prefix, with the client's Host and headers."""
    home = HomeAssistant(port, user)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._say(200, "text/html", PANEL)
            elif self.path.startswith(f"{INGRESS_PATH}/"):
                with suppress(ConnectionError):  # one of the two is gone
                    self._pass_on(self.path.removeprefix(INGRESS_PATH))
            else:
                home.strayed.append(self.path)
                self._say(404, "text/plain", "")

        def do_POST(self) -> None:
            self.do_GET()

        def _pass_on(self, path: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with closing(
                http.client.HTTPConnection(
                    "127.0.0.1", home.port, timeout=60, source_address=(SUPERVISOR, 0)
                )
            ) as addon:
                addon.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name not in _KEPT_BACK:
                        addon.putheader(name, value)
                for name, value in (
                    ("X-Ingress-Path", INGRESS_PATH),
                    ("X-Remote-User-Id", USER_ID),
                    ("X-Remote-User-Name", home.user),
                    ("X-Forwarded-For", self.client_address[0]),
                    ("Content-Length", str(len(body))),
                ):
                    addon.putheader(name, value)
                addon.endheaders(body)
                self._relay(addon.getresponse())

        def _relay(self, answer: http.client.HTTPResponse) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.end_headers()
            while block := answer.read1(65536):
                self.wfile.write(block)

        def _say(self, status: int, kind: str, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *about: Any) -> None: ...

    with _served(Handler) as served:
        home.url = f"http://127.0.0.1:{served}"
        yield home


@contextmanager
def supervisor(token: str, mqtt: dict[str, Any] | None) -> Iterator[str]:
    """The address of a supervisor that knows this token. mqtt: the service; None for none."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == f"Bearer {token}"
            found = known and self.path == "/services/mqtt" and mqtt is not None
            says = {"result": "ok", "data": mqtt} if found else {"result": "error", "message": "no"}
            self.send_response(200 if found else 400 if known else 403)
            self.end_headers()
            self.wfile.write(json.dumps(says).encode())

        def log_message(self, *about: Any) -> None: ...

    with _served(Handler) as served:
        yield f"http://127.0.0.1:{served}"


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True  # a stream may last
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()

"""HTTP cameras made with http.server: their common part, and a scripted one that sends MJPEG."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

_Camera = TypeVar("_Camera", bound="CameraServer")


class CameraServer(ThreadingHTTPServer):
    """Serves in a thread of its own inside `with`. gone: set when it ends, for what still sends."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.gone = threading.Event()

    def url(self, path: str = "/stream", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.server_port}{path}"

    def __enter__(self: _Camera) -> _Camera:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gone.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the reader went away: that is how a stream ends


class HttpCamera(CameraServer):
    """An MJPEG camera that does what a script says: a function of the connection's output."""

    def __init__(self, script: Callable[[HttpCamera, Callable[[bytes], object]], None]) -> None:
        super().__init__(Answer)
        self.script = script
        self.asked = 0


class Answer(BaseHTTPRequestHandler):
    server: HttpCamera

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        self.server.script(self.server, self.wfile.write)


def part(jpeg: bytes) -> bytes:
    return b"--frame\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg)

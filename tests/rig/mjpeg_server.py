"""A scripted HTTP camera that sends MJPEG."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HttpCamera(ThreadingHTTPServer):
    """An MJPEG camera that does what a script says: a function of the connection's output."""

    daemon_threads = True

    def __init__(self, script: Callable[[HttpCamera, Callable[[bytes], object]], None]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.script = script
        self.asked = 0
        self.end = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/stream"

    def __enter__(self) -> HttpCamera:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the reader went away


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

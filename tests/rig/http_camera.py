"""A scripted HTTP camera on a real socket, controlled byte by byte."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from edged.capture.source import CaptureRequest
from edged.capture.sources.http.http import HttpSource
from tests.rig.camera import FakeTime, Notes


@dataclass(slots=True)
class Asked:
    """One question. number: counts from 1."""

    path: str
    headers: dict[str, str]
    number: int


@dataclass(slots=True)
class ScriptedCamera:
    """script: answers one question; what it writes goes out as it stands, and then the connection
    is closed unless it returns True.
    """

    script: Callable[[Asked, Callable[[bytes], None]], bool | None]
    listener: socket.socket
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def url(self, path: str = "/", login: str = "", host: str = "127.0.0.1") -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{login}{host}:{self.port}{path}"

    def serve(self) -> None:
        while not self.gone.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as lines:
                while request := lines.readline():
                    headers = {}
                    while (line := lines.readline().decode().strip()) != "":
                        name, _, value = line.partition(":")
                        headers[name] = value.strip()
                    path = request.decode().split()[1]
                    asked = Asked(path, headers, len(self.asked) + 1)
                    self.asked.append(asked)
                    if not self.script(asked, connection.sendall):
                        return

    def wait(self, seconds: float = 60) -> None:
        """Say nothing until the test is over."""
        self.gone.wait(seconds)


@contextmanager
def scripted(
    script: Callable[[Asked, Callable[[bytes], None]], bool | None],
    tls: ssl.SSLContext | None = None,
) -> Iterator[ScriptedCamera]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        camera = ScriptedCamera(script, listener, tls)
        thread = threading.Thread(target=camera.serve)
        thread.start()
        try:
            yield camera
        finally:
            camera.gone.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def answer(
    body: bytes = b"",
    content_type: str | None = "image/jpeg",
    *headers: str,
    status: str = "200 OK",
    length: int | None = -1,
) -> bytes:
    """length: what Content-Length says; -1 for the truth, None for nothing."""
    lines = [f"HTTP/1.1 {status}"]
    lines += [] if content_type is None else [f"Content-Type: {content_type}"]
    lines += [] if length is None else [f"Content-Length: {len(body) if length < 0 else length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


MIXED = "multipart/x-mixed-replace; boundary=frame"


def part(body: bytes, content_type: str = "image/jpeg") -> bytes:
    header = f"--frame\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return header.encode("latin-1") + body + b"\r\n"


class Opening:
    """`source` is opened by `with`, and closed at its end or when that fails."""

    source: HttpSource

    def __enter__(self) -> Any:
        try:
            self.granted = self.source.open()
        except BaseException:
            self.source.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()


class Opened(Opening):
    """A source that is closed at the end; its sleeps take no time."""

    def __init__(self, url: str, **request: float) -> None:
        self.time = FakeTime()
        self.begun_ns = self.time.now_ns
        self.notes = Notes(request.get("max_fps"))
        self.counts = self.notes.counts
        self.source = HttpSource(
            CaptureRequest(url, **request),  # type: ignore[arg-type]
            self.notes.admission,
            clock=self._clock,
            sleep=self.time.sleep,
        )

    def _clock(self) -> int:
        self.time.now_ns += 1000
        return self.time.now_ns

    def colours(self, pictures: int) -> str:
        """A letter for each: r, g or b."""
        found = ""
        for _ in range(pictures):
            picture = self.source.read(0)
            assert picture is not None
            found += "rgb"[int(picture.pixels[5, 5].argmax())]
        return found


def pace(write: Callable[[bytes], None], pieces: list[bytes], seconds: float = 0.02) -> None:
    """Each by itself, so that none overtakes another."""
    for piece in pieces:
        write(piece)
        time.sleep(seconds)


def hashed(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()

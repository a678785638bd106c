"""A TCP proxy between a camera and its reader that delays, stalls, corrupts and cuts."""

from __future__ import annotations

import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

QUEUED_CHUNKS = 100_000


class BadNetwork:
    """Forwards TCP connections to a local port.

    delay_seconds: of the camera's data. stall: hold back data until `resume`. spoil: changes each
    chunk of the camera's data.
    """

    def __init__(self, port: int) -> None:
        self.delay_seconds = 0.0
        self.spoil: Callable[[bytes], bytes] | None = None
        self.connections = 0
        self._target = port
        self._flowing = threading.Event()
        self._flowing.set()
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> BadNetwork:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._flowing.set()
        self._threads[0].join()
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def stall(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Close all connections."""
        for each in list(self._sockets):
            with suppress(OSError):  # it is cut already
                each.shutdown(socket.SHUT_RDWR)

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            reader, _ = self._listener.accept()
            self.connections += 1
            try:
                camera = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                reader.close()
                continue
            camera.settimeout(None)
            self._sockets += [reader, camera]
            pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(QUEUED_CHUNKS)
            self._run(self._forward, reader, camera)
            self._run(self._receive, camera, pieces)
            self._run(self._deliver, pieces, reader)

    def _forward(self, reader: socket.socket, camera: socket.socket) -> None:
        """Forward the reader's data at once."""
        with suppress(OSError):
            while data := reader.recv(65536):
                camera.sendall(data)
            camera.shutdown(socket.SHUT_RDWR)

    def _receive(self, camera: socket.socket, pieces: queue.Queue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = camera.recv(65536)
            except OSError:
                data = b""
            pieces.put((time.monotonic(), data))

    def _deliver(self, pieces: queue.Queue[tuple[float, bytes]], reader: socket.socket) -> None:
        with suppress(OSError):
            while (piece := pieces.get())[1]:
                arrived, data = piece
                self._closing.wait(max(0.0, arrived + self.delay_seconds - time.monotonic()))
                self._flowing.wait()
                reader.sendall(data if self.spoil is None else self.spoil(data))
            reader.shutdown(socket.SHUT_RDWR)

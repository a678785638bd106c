"""Results for HTTP clients as server-sent events; each client has a bounded queue of its own.

A client that reads too slowly loses the oldest results, and its stream says how many. Knows
nothing of sockets.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

from edged.frame import Result
from edged.sinks import to_json_line

QUEUE_RESULTS = 128
"""Some seconds of a camera."""
HEARTBEAT_SECONDS = 5.0
"""Without a result, a comment: so proxies keep the stream, and a client that is gone is noticed."""


class ResultStreams:
    """Hands every result to every stream. `publish` belongs to one thread at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: tuple[ResultStream, ...] = ()

    def open(self, cameras: frozenset[str] = frozenset()) -> ResultStream | None:
        """A stream of these cameras, all of them for none; None when there are `most` already."""
        with self._lock:
            if len(self._open) >= self._most:
                return None
            stream = ResultStream(self, cameras)
            self._open = (*self._open, stream)
            return stream

    def publish(self, result: Result) -> None:
        for stream in self._open:
            stream.put(result)

    def leave(self, stream: ResultStream) -> None:
        with self._lock:
            self._open = tuple(each for each in self._open if each is not stream)


class ResultStream:
    def __init__(self, streams: ResultStreams, cameras: frozenset[str]) -> None:
        self._streams = streams
        self._cameras = cameras
        self._queue: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._dropped = 0
        """Counted by one thread, told by another: each has a count of its own."""
        self._told = 0

    def put(self, result: Result) -> None:
        if self._cameras and result.camera not in self._cameras:
            return
        if self._queue.qsize() >= QUEUE_RESULTS:
            with contextlib.suppress(queue.Empty):  # the client has just taken it
                self._queue.get_nowait()
                self._dropped += 1
        self._queue.put(result)

    def parts(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> Iterator[bytes]:
        yield b"retry: 2000\n\n"
        while True:
            try:
                result = self._queue.get(timeout=heartbeat_seconds)
            except queue.Empty:
                yield b": nothing new\n\n"
                continue
            dropped = self._dropped
            if dropped != self._told:
                yield f'event: dropped\ndata: {{"results":{dropped - self._told}}}\n\n'.encode()
                self._told = dropped
            yield f"data: {to_json_line(result)}\n\n".encode()

    def close(self) -> None:
        self._streams.leave(self)

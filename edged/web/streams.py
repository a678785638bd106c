"""Results for HTTP clients as server-sent events; each client has a bounded queue of its own.

A client that reads too slowly loses the oldest results, and its stream says how many. A newcomer is
never turned away: one that has got its turn makes room.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from edged.result import Result, to_json_line

QUEUE_RESULTS = 128
"""Some seconds of a camera."""
HEARTBEAT_SECONDS = 5.0
"""Without a result, a comment: so proxies keep the stream, and a client that is gone is noticed."""
_DISPLACED = b'retry: 30000\nevent: end\ndata: {"reason":"displaced"}\n\n'
"""Comes again later than one that broke off: with too many clients they take turns."""
_REMOVED = b'event: end\ndata: {"reason":"camera_removed"}\n\n'


class ResultStreams:
    """Hands every result to every stream. `publish` belongs to one thread at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: tuple[ResultStream, ...] = ()
        """The oldest first."""

    def open(
        self,
        cameras: frozenset[str] = frozenset(),
        client: str = "",
        is_over: Callable[[], bool] = lambda: False,
    ) -> ResultStream:
        """A stream of these cameras, all of them for none. is_over: asked when nothing comes.

        With `most` already, it displaces the oldest of the client that has most: whether one still
        reads, nobody can tell where its machine takes what is sent; one that does comes again.
        """
        stream = ResultStream(self, cameras, client, is_over)
        with self._lock:
            if len(self._open) >= self._most:
                have = Counter(each.client for each in (*self._open, stream))
                most = max(have.values())
                leaving = next(each for each in self._open if have[each.client] == most)
                self._open = tuple(each for each in self._open if each is not leaving)
                leaving.displace()
            self._open = (*self._open, stream)
        return stream

    def publish(self, result: Result) -> None:
        for stream in self._open:
            stream.put(result)

    def leave(self, stream: ResultStream) -> None:
        with self._lock:
            self._open = tuple(each for each in self._open if each is not stream)


class ResultStream:
    def __init__(
        self,
        streams: ResultStreams,
        cameras: frozenset[str],
        client: str,
        is_over: Callable[[], bool],
    ) -> None:
        self.client = client
        self._streams = streams
        self._cameras = cameras
        self._is_over = is_over
        self._displaced = False
        self._queue: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        """None only wakes."""
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

    def displace(self) -> None:
        """End it, whatever still waits."""
        self._displaced = True
        self._queue.put(None)

    def parts(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> Iterator[bytes]:
        yield b"retry: 2000\n\n"
        while True:
            try:
                result = self._queue.get(timeout=heartbeat_seconds)
            except queue.Empty:
                if self._is_over():
                    yield _REMOVED
                    return
                yield b": nothing new\n\n"
                continue
            if result is None or self._displaced:
                yield _DISPLACED
                return
            dropped = self._dropped
            if dropped != self._told:
                yield f'event: dropped\ndata: {{"results":{dropped - self._told}}}\n\n'.encode()
                self._told = dropped
            yield f"data: {to_json_line(result)}\n\n".encode()

    def close(self) -> None:
        self._streams.leave(self)

"""Bounded queue of a sink: when it is full, the oldest entry is dropped.

Events have a queue of their own and go first: they are few, and each matters.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edged.clock import Clock, monotonic_ns
from edged.result import Event, Result

MOST_RESULTS = 1000
"""Half a minute of one camera, 1 MB."""
MOST_EVENTS = 64
"""Snapshots take up to 600 kB each."""

Entry = Result | Event


class Backlog:
    """Any thread may call `put`, which never blocks; only the sink's thread may call `take`. wake:
    called by `put`."""

    def __init__(
        self,
        wake: Callable[[], object],
        most_results: int = MOST_RESULTS,
        most_events: int = MOST_EVENTS,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.received = 0
        self.dropped = 0
        self._wake = wake
        self._most = {False: most_results, True: most_events}
        self._clock = clock
        self._queues: dict[bool, deque[tuple[int, Entry]]] = {False: deque(), True: deque()}
        """Key: whether the entries are events."""
        self._lock = threading.Lock()
        self._successor: Backlog | None = None
        self._closed = False

    def put(self, entry: Entry) -> None:
        with self._lock:
            successor = self._successor
            if successor is None:
                self.received += 1
                is_event = isinstance(entry, Event)
                self._queues[is_event].append((self._clock(), entry))
                self._make_room(is_event)
        if successor is not None:
            successor.put(entry)
            return
        self._wake()

    def take(self) -> tuple[int, Entry] | None:
        """(time of its `put` in nanoseconds, entry) of the next one; None if empty."""
        with self._lock:
            queue = self._queues[True] or self._queues[False]
            return queue.popleft() if queue else None

    def put_back(self, put_ns: int, entry: Entry) -> None:
        """Return a taken entry to the front of its queue."""
        with self._lock:
            successor = self._successor
            if self._closed:
                return
            if successor is None:
                is_event = isinstance(entry, Event)
                self._queues[is_event].appendleft((put_ns, entry))
                self._make_room(is_event)
            else:
                self.received -= 1
        if successor is not None:
            successor._adopt([(put_ns, entry)])

    @property
    def has_moved(self) -> bool:
        return self._successor is not None

    def close(self) -> None:
        """Ignore `put_back` from now on: the caller has counted what is taken as lost."""
        with self._lock:
            self._closed = True

    def move_to(self, successor: Backlog) -> None:
        """Move what is queued, and forward what is put later."""
        with self._lock:
            waiting = [*self._queues[True], *self._queues[False]]
            for queue in self._queues.values():
                queue.clear()
            self.received -= len(waiting)
            self._successor = successor
        successor._adopt(waiting)

    def _adopt(self, waiting: list[tuple[int, Entry]]) -> None:
        with self._lock:
            self.received += len(waiting)
            for put_ns, entry in reversed(waiting):
                self._queues[isinstance(entry, Event)].appendleft((put_ns, entry))
            for is_event in self._queues:
                self._make_room(is_event)
        self._wake()

    def _make_room(self, is_event: bool) -> None:
        queue, most = self._queues[is_event], self._most[is_event]
        while len(queue) > most:
            queue.popleft()
            self.dropped += 1

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

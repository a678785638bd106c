"""What waits for a way out that is slow or away: bounded, and the oldest gives way.

Events wait apart from results, and leave first: there are few of them, and each counts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edged.clock import Clock, monotonic_ns
from edged.result import Event, Result

MOST_RESULTS = 1000
"""Half a minute of one camera; 1 MB."""
MOST_EVENTS = 64
"""With snapshots of up to 600 kB each."""

Entry = Result | Event


class Backlog:
    """`put` never blocks and belongs to any thread, `take` to the sink's. wake: called by `put`."""

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
        """By whether they are events."""
        self._lock = threading.Lock()
        self._successor: Backlog | None = None
        self._closed = False

    def put(self, entry: Entry) -> None:
        with self._lock:
            successor = self._successor
            if successor is None:
                self.received += 1
                self._queues[isinstance(entry, Event)].append((self._clock(), entry))
                self._make_room()
        if successor is not None:
            successor.put(entry)
            return
        self._wake()

    def take(self) -> tuple[int, Entry] | None:
        """The next one, with when it was put there (nanoseconds); None when there is none."""
        with self._lock:
            queue = self._queues[True] or self._queues[False]
            return queue.popleft() if queue else None

    def put_back(self, put_ns: int, entry: Entry) -> None:
        """What was taken and has not left, in front of all that waits: the first to give way."""
        with self._lock:
            successor = self._successor
            if self._closed:
                return
            if successor is None:
                self._queues[isinstance(entry, Event)].appendleft((put_ns, entry))
                self._make_room()
            else:
                self.received -= 1
        if successor is not None:
            successor._adopt([(put_ns, entry)])

    @property
    def has_moved(self) -> bool:
        return self._successor is not None

    def close(self) -> None:
        """Whoever has something in hand keeps it: it has been counted as lost."""
        with self._lock:
            self._closed = True

    def move_to(self, successor: Backlog) -> None:
        """All that waits, and from now on all that is put here."""
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
            self._make_room()
        self._wake()

    def _make_room(self) -> None:
        for is_event, queue in self._queues.items():
            while len(queue) > self._most[is_event]:
                queue.popleft()
                self.dropped += 1

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

"""What waits for a way out that is slow or away: bounded, and the oldest gives way.

Events wait apart from results, and leave first: there are few of them, and each counts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edged.clock import Clock, monotonic_ns
from edged.frame import Event, Result

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
        self._most_results = most_results
        self._most_events = most_events
        self._clock = clock
        self._results: deque[tuple[int, Entry]] = deque()
        self._events: deque[tuple[int, Entry]] = deque()
        self._lock = threading.Lock()

    def put(self, entry: Entry) -> None:
        is_event = isinstance(entry, Event)
        queue = self._events if is_event else self._results
        most = self._most_events if is_event else self._most_results
        with self._lock:
            self.received += 1
            if len(queue) >= most:
                queue.popleft()
                self.dropped += 1
            queue.append((self._clock(), entry))
        self._wake()

    def take(self) -> tuple[int, Entry] | None:
        """The next one, with when it was put there (nanoseconds); None when there is none."""
        with self._lock:
            queue = self._events or self._results
            return queue.popleft() if queue else None

    def __len__(self) -> int:
        return len(self._results) + len(self._events)

"""At most so many messages within an hour. Pure: the caller passes the times."""

from __future__ import annotations

from collections import deque

HOUR_NS = 3_600_000_000_000


class HourlyLimit:
    """At most so many messages within any hour; remembers what was left out until a message has
    told it. Times to admit and to note are monotonic."""

    def __init__(self, most: int) -> None:
        self._sent: deque[int] = deque(maxlen=most)
        self.left_out = 0
        self.since_unix_ns = 0
        """Start of the first event that was left out."""

    def admits(self, now_ns: int) -> bool:
        return len(self._sent) != self._sent.maxlen or now_ns - self._sent[0] >= HOUR_NS

    def leave_out(self, started_unix_ns: int) -> None:
        if self.left_out == 0:
            self.since_unix_ns = started_unix_ns
        self.left_out += 1

    def note_sent(self, now_ns: int) -> None:
        """A message was sent, and told what was left out."""
        self._sent.append(now_ns)
        self.left_out = 0

    def continue_from(self, before: HourlyLimit) -> None:
        """Take over what was sent and left out under an earlier limit."""
        self._sent.extend(before._sent)
        self.left_out, self.since_unix_ns = before.left_out, before.since_unix_ns

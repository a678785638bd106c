"""When a destination gets no messages: in quiet hours, and after so many within an hour.

Pure: the caller passes the times.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from edged.errors import InputError

HOUR_NS = 3_600_000_000_000
_PERIOD = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))", re.ASCII)


class Period(NamedTuple):
    """A time of each day, in minutes after local midnight; it may go over midnight. The clock on
    the wall counts: where daylight saving time skips or repeats an hour, so does the period."""

    begin: int
    end: int

    @classmethod
    def of(cls, text: str) -> Period:
        """Raises InputError unless it is like 22:00-06:30."""
        found = _PERIOD.fullmatch(text)
        if found is None:
            fix = "write it as 22:00-06:30"
            raise InputError("expected a period of the day", got=repr(text), fix=fix)
        hours = [int(each) for each in found.groups() if each is not None]
        period = cls(60 * hours[0] + hours[1], 60 * hours[2] + hours[3])
        if period.begin == period.end:
            fix = "write 00:00-24:00 for the whole day"
            raise InputError("begin and end are the same", got=repr(text), fix=fix)
        return period

    def includes(self, minute: int) -> bool:
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


def is_quiet(periods: Iterable[Period], unix_ns: int) -> bool:
    local = time.localtime(unix_ns // 1_000_000_000)
    minute = 60 * local.tm_hour + local.tm_min
    return any(each.includes(minute) for each in periods)


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

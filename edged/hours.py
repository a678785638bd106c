"""Periods of the day and the week, on the clock on the wall: where daylight saving time skips or
repeats an hour, so does a period."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edged.errors import InputError

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
EVERY_DAY = frozenset(range(7))
PERIOD: dict[str, Any] = {"type": "string", "format": "period"}
"""Schema of a text that `Period.of` takes."""
_CLOCK = r"([01]\d|2[0-3]):([0-5]\d)"
_PERIOD = re.compile(rf"(?:([A-Za-z,-]+) +)?{_CLOCK}-(?:{_CLOCK}|(24):(00))", re.ASCII)


class Period(NamedTuple):
    """begin, end: minutes after local midnight; it may go over midnight. days: on which it begins,
    Monday is 0. text: as it was written."""

    begin: int
    end: int
    days: frozenset[int]
    text: str

    @classmethod
    def of(cls, text: str) -> Period:
        """Raises InputError unless it is like 22:00-06:30 or Mo-Fr 07:00-19:00."""
        found = _PERIOD.fullmatch(text)
        if found is None:
            fix = "write it as 22:00-06:30, or with days as Mo-Fr 07:00-19:00"
            raise InputError("expected a period of the day", got=repr(text), fix=fix)
        days = EVERY_DAY if found[1] is None else frozenset(_days(found[1]))
        hours = [int(each) for each in found.groups()[1:] if each is not None]
        begin, end = 60 * hours[0] + hours[1], 60 * hours[2] + hours[3]
        if begin == end:
            fix = "write 00:00-24:00 for the whole day"
            raise InputError("begin and end are the same", got=repr(text), fix=fix)
        return cls(begin, end, days, text)

    def includes(self, day: int, minute: int) -> bool:
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        if minute < self.end:  # it began yesterday
            return (day - 1) % 7 in self.days
        return minute >= self.begin and day in self.days


def within(periods: Iterable[Period], unix_s: int) -> bool:
    """Whether any of them includes the local time."""
    local = time.localtime(unix_s)
    minute = 60 * local.tm_hour + local.tm_min
    return any(each.includes(local.tm_wday, minute) for each in periods)


def hours_of(section: Mapping[str, Any]) -> tuple[Period, ...]:
    """The value of `hours`, a text or a list of them; none for always."""
    hours = section.get("hours", ())
    return tuple(map(Period.of, [hours] if isinstance(hours, str) else hours))


def _days(text: str) -> Iterable[int]:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (last if dash else first) not in DAYS:
            fix = f"the days are {', '.join(DAYS)}, as in Mo-Fr or Sa,Su"
            raise InputError("expected days of the week", got=repr(text), fix=fix)
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        yield from (day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0)))

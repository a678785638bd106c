"""What a view or an event rule is switched to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from edged.clock import rfc3339, unix_of
from edged.view import titled

_TIMES = "until", "changed_at"


class Kind(str, Enum):
    VIEW = "view"
    EVENT = "event"


class Target(NamedTuple):
    """What is switched. name: a view's id or an event rule's name."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return titled(self.name) if self.kind is Kind.VIEW else f"event {self.name}"


class State(str, Enum):
    ON = "on"
    OFF = "off"
    SNOOZED = "snoozed"  # off, and on again by itself
    HOURS = "hours"  # on, but outside its hours


class Switch(NamedTuple):
    """until_s: end of a snooze. changed_s, origin: when somebody last switched it, and who; None if
    nobody has. Times are Unix seconds."""

    state: State = State.ON
    until_s: int | None = None
    changed_s: int | None = None
    origin: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Switch:
        """The reverse of `told`. Raises LookupError, TypeError, ValueError or AttributeError."""
        until, changed = (None if told[key] is None else int(unix_of(told[key])) for key in _TIMES)
        return cls(State(told["state"]), until, changed, told["origin"])

    @property
    def on(self) -> bool:
        return self.state is State.ON

    def told(self) -> dict[str, Any]:
        """As JSON names it."""
        times = dict(zip(_TIMES, map(_time, self[1:3]), strict=True))
        return {"state": self.state.value, **times, "origin": self.origin}

    def words(self) -> str:
        """`snoozed until 14:30`, in local time; with the date if it ends on another day."""
        if self.state is State.HOURS:
            return "outside its hours"
        if self.until_s is None:
            return f"switched {self.state.value}"
        until = time.localtime(self.until_s)
        same_day = until[:3] == time.localtime(self.changed_s)[:3]
        return f"snoozed until {time.strftime('%H:%M' if same_day else '%Y-%m-%d %H:%M', until)}"


def _time(unix_s: int | None) -> str | None:
    return None if unix_s is None else rfc3339(unix_s * 1_000_000_000)


Switched = Mapping[Target, Switch]
ON = Switch()

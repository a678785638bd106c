"""Whether views and event rules count: switched on, off or snoozed, and within their hours.

What people switched outlives the daemon (memory.py). Any thread may call.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping

from edged.errors import InputError
from edged.hours import Period, within
from edged.switches.memory import Memory
from edged.switches.switch import ON, Kind, State, Switch, Switched, Target

MOST_MINUTES = 7 * 24 * 60
"""Of a snooze."""
SNOOZE_ENDED = "end of its snooze"
"""An origin."""

log = logging.getLogger("edged.switches")


class Switches:
    """Call `follow` first. memory: keeps what was switched; None for the time of the daemon. unix:
    seconds. changed: called after a change, from the thread that made it."""

    def __init__(
        self,
        memory: Memory | None = None,
        unix: Callable[[], float] = time.time,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self.states: Switched = {}
        """Whether each counts now, by what the configuration has; a new mapping after a change."""
        self._memory = memory
        self._unix = unix
        self._changed = changed
        self._hours: Mapping[Target, tuple[Period, ...]] = {}
        self._set: Switched | None = None
        """What people switched; None before it is loaded. A new mapping after a change."""
        self._looked_minute = 0
        self._lock = threading.Lock()
        self._saver = threading.Thread()

    def of_view(self, view: str) -> Switch:
        return self.states.get(Target(Kind.VIEW, view), ON)

    def of_event(self, rule: str) -> Switch:
        return self.states.get(Target(Kind.EVENT, rule), ON)

    def count(self, view: str, event: str) -> bool:
        """Whether an event may be in a view."""
        return self.of_view(view).on and self.of_event(event).on

    def follow(self, hours: Mapping[Target, tuple[Period, ...]]) -> None:
        """Those of a configuration, and when they count; others are forgotten."""
        with self._lock:
            if self._set is None:
                self._set = {} if self._memory is None else self._memory.load()
            for target in self._set.keys() - hours.keys():
                what = "%s is no longer configured; it was %s (%s), which is forgotten"
                switch = self._set[target]
                log.info(what, target, switch.words(), switch.origin)
            self._set = {each: switch for each, switch in self._set.items() if each in hours}
            self._hours = hours
            self._look(int(self._unix()))

    def change(self, target: Target, state: State, origin: str, minutes: int | None = None) -> None:
        """state: ON, OFF or SNOOZED, which takes minutes. Raises InputError."""
        if target not in self._hours:
            known = [each.name for each in self._hours if each.kind is target.kind]
            fix = f"there are {', '.join(known[:10])}" if known else "none is configured"
            what = f"no such {target.kind.value}"
            raise InputError(what, got=target.name[:80], fix=fix)
        if state is State.SNOOZED and not (minutes and 0 < minutes <= MOST_MINUTES):
            what = f"expected 1 to {MOST_MINUTES} minutes"
            raise InputError(what, got=None if minutes is None else str(minutes))
        with self._lock:
            now_s = int(self._unix())
            before = (self._set or {}).get(target, ON)
            if before.state is state and state is not State.SNOOZED:
                return
            until_s = None if state is not State.SNOOZED else now_s + 60 * (minutes or 0)
            self._put(target, Switch(state, until_s, now_s, origin))
            self._look(now_s)
        self._changed()

    def tick(self) -> None:
        """Call it a few times a second: ends snoozes, begins and ends hours, saves. Does not wait
        for the disk."""
        now_s = int(self._unix())
        due = min((each.until_s or math.inf for each in self._now().values()), default=math.inf)
        if due <= now_s or now_s // 60 != self._looked_minute:
            with self._lock:
                self._look(now_s)
        memory = self._memory
        if memory is not None and memory.is_due(self._now()) and not self._saver.is_alive():
            self._begin_to_save()

    def save(self) -> bool:
        """False if what people switched would not outlive the daemon."""
        return self._memory is not None and self._memory.save(self._now())

    def close(self, timeout_seconds: float) -> None:
        """Save, but give up at the time-out."""
        self._begin_to_save()
        self._saver.join(timeout_seconds)
        if self._memory is not None and not self._saver.is_alive():
            self._memory.close()

    def _begin_to_save(self) -> None:
        self._saver = threading.Thread(target=self.save, name="switches", daemon=True)
        self._saver.start()

    def _now(self) -> Switched:
        return self._set or {}

    def _put(self, target: Target, switch: Switch) -> None:
        self._set = {**self._now(), target: switch}
        log.info("%s: %s (%s)", target, switch.words(), switch.origin)

    def _look(self, now_s: int) -> None:
        self._looked_minute = now_s // 60
        for target, switch in self._now().items():
            if switch.until_s is not None and switch.until_s <= now_s:
                self._put(target, Switch(State.ON, None, switch.until_s, SNOOZE_ENDED))
        states = {target: self._effective(target, now_s) for target in self._hours}
        for target, switch in states.items():
            kinds = {switch.state, self.states.get(target, ON).state}
            if kinds == {State.ON, State.HOURS}:
                log.info("%s: %s", target, "within its hours" if switch.on else switch.words())
        if states != self.states:
            self.states = states

    def _effective(self, target: Target, now_s: int) -> Switch:
        switch, hours = self._now().get(target, ON), self._hours[target]
        if switch.on and hours and not within(hours, now_s):
            return switch._replace(state=State.HOURS)
        return switch

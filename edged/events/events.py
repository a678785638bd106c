"""Events: when classes become present in a view, and when they have gone.

A class or group is present when its smoothed score has been at least `above` for `for_seconds`, and
gone when it has been lower than `below` for `gone_seconds`. The score of a group is the sum of its
classes' scores: these are a softmax, so the sum is the probability of any of them.

Smoothing is exponential in time, not in frames, so frame rate, gaps and variants do not affect it.
Times are capture times on the monotonic clock. Wall time is taken once, at the start of an event;
its end is derived from that, so a step of the wall clock does not change the duration.

Pure, except for a lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from edged.errors import InputError, InputErrors
from edged.events.options import EventConfig, nearest
from edged.result import Event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PRESENTATION = ("views", "snapshot", "device_class", "hours")
AWAY_SECONDS = 10.0
"""Without a result for this time, a view's events end at its last one."""


@dataclass(slots=True)
class Presence:
    """State of a rule in one view. classes: indices into the scores."""

    view: str
    rule: EventConfig
    classes: tuple[int, ...]
    away_seconds: float = AWAY_SECONDS
    active: bool = False
    begun: int = 0
    """Events since the start."""
    counts: bool = True
    """The view and the rule are on; without it there is no event."""
    _smoothed: float = 0.0
    _peak: float = 0.0
    _scored_ns: int | None = None
    """Capture of the last frame; None if unknown."""
    _since_ns: int | None = None
    """Capture of the first frame in an unbroken row that indicates a change."""
    _started_ns: int = 0
    _started_unix_ns: int = 0
    _present_ns: int = 0
    """Capture of the last frame with the class present."""

    def asks_the_same(self, other: Presence) -> bool:
        """Whether the rules agree, except for their views and presentation."""
        shown = {key: getattr(other.rule, key) for key in _PRESENTATION}
        rule = replace(self.rule, **shown)
        return (rule, self.classes) == (other.rule, other.classes)

    def observe(self, score: float, captured_ns: int, captured_unix_ns: int) -> Iterator[Event]:
        """Starts and ends caused by the next frame. A score that is not finite is ignored."""
        yield from self.tick(captured_ns)
        if not math.isfinite(score):
            return
        self._smooth(score, captured_ns)
        if self.active:
            yield from self._still_there(captured_ns)
        elif self._smoothed < self.rule.above:
            self._since_ns = None
        else:
            if self._since_ns is None:
                self._since_ns, self._peak = captured_ns, 0.0
            self._peak = max(self._peak, self._smoothed)
            if captured_ns - self._since_ns >= self.rule.for_seconds * 1e9:
                yield self._start(self._since_ns, captured_ns, captured_unix_ns)

    def tick(self, now_ns: int) -> Iterator[Event]:
        """The end, if the view has been without a result for too long."""
        if self._scored_ns is not None and now_ns - self._scored_ns > self.away_seconds * 1e9:
            yield from self.end()

    def end(self) -> Iterator[Event]:
        """Forget the view; an active event ended when its class was last present."""
        if self.active:
            yield self._stop()
        self._scored_ns = self._since_ns = None

    def _smooth(self, score: float, captured_ns: int) -> None:
        weight = 1.0
        if self._scored_ns is not None and self.rule.smooth_seconds:
            seconds = max(0, captured_ns - self._scored_ns) / 1e9
            weight = 1 - math.exp(-seconds / self.rule.smooth_seconds)
        self._smoothed += weight * (score - self._smoothed)
        self._scored_ns = captured_ns

    def _still_there(self, captured_ns: int) -> Iterator[Event]:
        self._peak = max(self._peak, self._smoothed)
        if self._smoothed >= self.rule.below:
            self._present_ns, self._since_ns = captured_ns, None
            return
        if self._since_ns is None:
            self._since_ns = captured_ns
        if captured_ns - self._since_ns >= self.rule.gone_seconds * 1e9:
            yield self._stop()

    def _start(self, since_ns: int, captured_ns: int, captured_unix_ns: int) -> Event:
        self.active = True
        self.begun += 1
        self._started_ns, self._present_ns, self._since_ns = since_ns, captured_ns, None
        self._started_unix_ns = captured_unix_ns - (captured_ns - since_ns)
        return self._event(None)

    def _stop(self) -> Event:
        self.active, self._since_ns = False, None
        return self._event(self._started_unix_ns + self._present_ns - self._started_ns)

    def _event(self, ended_unix_ns: int | None) -> Event:
        started_unix_ns = self._started_unix_ns
        return Event(self.view, self.rule.name, started_unix_ns, ended_unix_ns, self._peak)


class EventCount(NamedTuple):
    """One rule in one view. begun: events since the start."""

    view: str
    event: str
    begun: int
    active: bool


@dataclass(slots=True)
class Watch:
    """All rules in all their views. Thread-safe."""

    presences: Sequence[Presence]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(
        cls,
        rules: Iterable[EventConfig],
        labels: Mapping[str, Sequence[str]],
        away_seconds: Mapping[str, float],
    ) -> Watch:
        """labels (of the scores), away_seconds: by view. InputErrors for unknown classes."""
        errors: list[InputError] = []
        presences = []
        for rule in rules:
            errors += _unknown(rule, labels)
            for view in rule.views:
                classes = tuple(
                    place for place, each in enumerate(labels[view]) if each in rule.classes
                )
                presences.append(Presence(view, rule, classes, away_seconds[view]))
        if errors:
            raise InputErrors(errors)
        return cls(presences)

    def observe(
        self, view: str, scores: NDArray[np.float32], captured_ns: int, captured_unix_ns: int
    ) -> list[Event]:
        events: list[Event] = []
        with self._lock:
            for each in self.presences:
                if each.view == view and each.counts:
                    # The sum of sigmoid scores may exceed 1.
                    score = min(float(sum(scores[place] for place in each.classes)), 1.0)
                    events += each.observe(score, captured_ns, captured_unix_ns)
        return events

    def tick(self, now_ns: int) -> list[Event]:
        """Ends of events whose view has been without a result for too long."""
        with self._lock:
            return [event for each in self.presences for event in each.tick(now_ns)]

    def switch(self, counts: Callable[[str, str], bool]) -> list[Event]:
        """Ends of events that no longer count. counts: whether a view and a rule are on."""
        events: list[Event] = []
        with self._lock:
            for each in self.presences:
                each.counts = counts(each.view, each.rule.name)
                if not each.counts:
                    events += each.end()
        return events

    def end(self) -> list[Event]:
        """Ends of all events."""
        with self._lock:
            return [event for each in self.presences for event in each.end()]

    def take_over(self, before: Watch) -> list[Event]:
        """Continue the state of `before` where rule and classes agree; returns the ends of the
        other events. Empties `before`."""
        with before._lock:
            old = {(each.view, each.rule.name): each for each in before.presences}
            before.presences = ()
        presences = []
        for each in self.presences:
            known = old.get((each.view, each.rule.name))
            if known is not None and known.asks_the_same(each):
                del old[each.view, each.rule.name]
                known.rule, known.away_seconds = each.rule, each.away_seconds
                each = known
            elif known is not None:
                each.begun = known.begun
            presences.append(each)
        self.presences = presences
        return [event for each in old.values() for event in each.end()]

    def counts(self) -> list[EventCount]:
        return [
            EventCount(each.view, each.rule.name, each.begun, each.active)
            for each in self.presences
        ]


def _unknown(rule: EventConfig, labels: Mapping[str, Sequence[str]]) -> Iterator[InputError]:
    differ = any(labels[view] != labels[rule.views[0]] for view in rule.views)
    for name in rule.classes:
        lacking = [view for view in rule.views if name not in labels[view]]
        having = [view for view in rule.views if view not in lacking]
        if lacking:
            whose = f"the family of {lacking[0]}" if differ else "the family"
            fix = nearest(name, labels[lacking[0]])
            if having:
                fix = f"watch only views whose family has it: cameras: [{', '.join(having)}]"
            yield InputError(f"{whose} has no such class", where=rule.where, got=name, fix=fix)

"""Messages about events to people.

Each destination has a queue and a thread of its own, so that one that fails holds up no other. One
child process sends for all of them, one message after the other.

A failed message is tried again with growing pauses, for an hour at most: then it is out of date.
One that its service refuses is dropped at once. A time-out may come after the service has taken the
message, so that it comes twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum

from edged.clock import Clock
from edged.hours import within
from edged.result import Event, Result
from edged.sinks.backlog import Entry
from edged.sinks.notify.limits import HOUR_NS, HourlyLimit
from edged.sinks.notify.messenger import Answer, Message, Messenger
from edged.sinks.notify.options import Destination, NotifyConfig
from edged.sinks.template import event_fields, fill, local
from edged.sinks.worker import Timing, Worker
from edged.switches.switches import Switches

MOST_WAITING = 32
"""Of a destination. Pictures take up to 600 kB each, and are shared among destinations."""
MOST_ATTEMPTS = 5
"""After this many failures that a message may have caused itself, it is dropped."""
OLDEST_NS = HOUR_NS
TIMING = Timing(first_pause_seconds=5.0, longest_pause_seconds=300.0)
"""In the longest pauses the child ends."""
_STARTED = "$place: $event since $time, $score %"
_ENDED = "$place: $event from $time to $ended, $score %"
_SETTLE_SECONDS = 0.25


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # service unreachable or too slow; drops the oldest
    GIVEN_UP = "given_up"  # failed for an hour, or the message itself seems to be the cause
    REFUSED = "refused"  # by the service, or its address is wrong
    CLOSED = "closed"  # not sent before the daemon ended


class LeftOut(str, Enum):
    """Reasons that are no losses: the configuration wants them."""

    QUIET_HOURS = "quiet_hours"
    HOURLY_LIMIT = "hourly_limit"


class Notify:
    """The sink: all destinations together. wall_clock: Unix time in nanoseconds."""

    name = "notify"
    broken_pipe = False

    def __init__(
        self,
        config: NotifyConfig,
        timing: Timing = TIMING,
        messenger: Messenger | None = None,
        wall_clock: Clock = time.time_ns,
    ) -> None:
        self._messenger: Messenger | None = messenger or Messenger()
        self._queues = {
            each.name: _Queue(each, timing, self._messenger, wall_clock) for each in config
        }

    @property
    def observe_delivery(self) -> Callable[[float], None]:
        return next(iter(self._queues.values())).observe_delivery

    @observe_delivery.setter
    def observe_delivery(self, observe: Callable[[float], None]) -> None:
        for each in self._queues.values():
            each.observe_delivery = observe

    @property
    def delivered(self) -> int:
        return sum(each.delivered for each in self._queues.values())

    @property
    def dropped(self) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for each in self._queues.values():
            total.update(each.dropped)
            total.update(each.left_out)
        return total

    @property
    def alive(self) -> bool:
        return all(each.alive for each in self._queues.values())

    @property
    def trouble(self) -> str | None:
        return next((each.trouble for each in self._queues.values() if each.trouble), None)

    def start(self) -> None:
        for each in self._queues.values():
            each.start()

    def renew(self) -> None:
        """A changed file with an address is another configuration."""

    def take_over(self, before: object) -> None:
        if isinstance(before, Notify) and before._messenger is not None:
            self._messenger, before._messenger = before._messenger, None
            for name, each in self._queues.items():
                each.messenger = self._messenger
                if name in before._queues:
                    each.take_over(before._queues[name])

    def observe_cameras(self, streaming: Mapping[str, bool]) -> None: ...

    def observe_switches(self, switches: Switches) -> None: ...

    def publish(self, result: Result) -> None:
        """Messages are about events only."""

    def publish_event(self, event: Event) -> None:
        for each in self._queues.values():
            each.publish_event(event)

    def close(self, timeout_seconds: float) -> None:
        until = time.monotonic() + timeout_seconds
        for each in self._queues.values():
            each.end(timeout_seconds)
        for each in self._queues.values():
            each.join(max(0.0, until - time.monotonic()))
        if self._messenger is not None:
            self._messenger.close()
        for each in self._queues.values():
            each.close(_SETTLE_SECONDS)


class _Queue(Worker):
    """Of one destination. left_out: events by reason, which are not counted as dropped here."""

    def __init__(
        self, destination: Destination, timing: Timing, messenger: Messenger, wall_clock: Clock
    ) -> None:
        super().__init__(
            "notify", destination.name, DropReason, timing, most_results=0, most_events=MOST_WAITING
        )
        self.messenger = messenger
        self.left_out: dict[str, int] = {each.value: 0 for each in LeftOut}
        self._destination = destination
        self._wall_clock = wall_clock
        self._limit = HourlyLimit(destination.per_hour)
        self._failing = False
        self._tried: Entry | None = None
        self._attempts = 0
        """Failures of `_tried` that it may have caused itself."""
        self._incomplete = ""
        """The last reason for a message without its picture, which is logged once."""

    def publish_event(self, event: Event) -> None:
        destination = self._destination
        if event.ended_unix_ns is not None and not destination.ends:
            return
        if destination.events is None or event.name in destination.events:
            self._backlog.put(event if destination.picture else replace(event, snapshot=None))

    def end(self, send_seconds: float) -> None:
        self._end(send_seconds)

    def join(self, seconds: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _is_over(self) -> bool:
        return super()._is_over() or (self._failing and self._closing.is_set())

    def _inherit(self, before: Worker) -> None:
        if isinstance(before, _Queue):
            self._limit.continue_from(before._limit)

    def _send(self, put_ns: int, entry: Entry) -> float | None:
        assert isinstance(entry, Event)
        if within(self._destination.quiet, self._wall_clock() // 1_000_000_000):
            self._leave_out(LeftOut.QUIET_HOURS)
            return None
        if not self._limit.admits(self._clock()):
            self._limit.leave_out(entry.started_unix_ns)
            self._leave_out(LeftOut.HOURLY_LIMIT)
            return None
        message = composed(self._destination, entry)
        if self._limit.left_out:
            since = local(self._limit.since_unix_ns)
            message = message._replace(
                text=f"{message.text}\n{self._limit.left_out} more since {since}"
            )
        answer = self.messenger.send(self._destination.address, message)
        self._failing = not answer.taken
        if answer.taken:
            self._taken(put_ns, answer)
            return None
        if self._closing.is_set() and not answer.final:
            self._backlog.put_back(put_ns, entry)
            return 0.0
        return self._failed(put_ns, entry, answer)

    def _taken(self, put_ns: int, answer: Answer) -> None:
        self._limit.note_sent(self._clock())
        if answer.why and answer.why != self._incomplete:
            self._incomplete = answer.why
            self._log.warning("notify: %s: %s", self._destination.name, answer.why)
        self._deliver(put_ns)
        self._outage.worked()

    def _failed(self, put_ns: int, entry: Entry, answer: Answer) -> float | None:
        if entry is not self._tried:
            self._tried, self._attempts = entry, 0
        self._attempts += answer.suspect
        reason, what = None, answer.why
        if answer.final:
            reason, what = DropReason.REFUSED, f"{answer.why}; not retried"
        elif self._attempts >= MOST_ATTEMPTS:
            reason, what = DropReason.GIVEN_UP, f"{answer.why}; given up"
        elif self._clock() - put_ns >= OLDEST_NS:
            reason = DropReason.GIVEN_UP
        if reason is None:
            self._backlog.put_back(put_ns, entry)
        else:
            self._counts[reason.value] += 1
            self._tried = None
        self._outage.failed(what)
        return 0.0 if reason is None else None

    def _leave_out(self, reason: LeftOut) -> None:
        self._set_aside += 1
        self.left_out[reason.value] += 1


def composed(destination: Destination, event: Event) -> Message:
    """The message that tells this destination of the event."""
    fields = event_fields(event)
    default = _STARTED if event.ended_unix_ns is None else _ENDED
    title, text = (fill(each, fields) for each in (destination.title, destination.text or default))
    return Message(title, text, event.snapshot if destination.picture else None)

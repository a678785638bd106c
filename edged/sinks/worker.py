"""Base of the sinks: a thread, its backlog and the counts."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue

from edged.clock import Clock, monotonic_ns
from edged.result import Event, Result
from edged.sinks.backlog import MOST_EVENTS, MOST_RESULTS, Backlog, Entry
from edged.switches.switches import Switches

LASTING_SECONDS = 10.0
"""An outage ends after this time without failures; a new reason is logged after this time."""
_HANDING_OVER_SECONDS = 2.0
"""How long a new sink waits for its predecessor to finish the current entry."""

Wait = Callable[[float], bool]
"""Waits for the seconds given; True if the sink is closed meanwhile."""


@dataclass(frozen=True, slots=True)
class Timing:
    """first_pause_seconds: after a failure; doubles up to longest_pause_seconds. spread: each pause
    is shortened by a random share up to this, so that a fleet does not retry in step. wait: for a
    pause; by default `close` ends it.
    """

    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 30.0
    spread: float = 0.5
    lasting_seconds: float = LASTING_SECONDS
    clock: Clock = monotonic_ns
    wait: Wait | None = None


TIMING = Timing()


class Worker:
    """where: destination, for the log. reasons: of drops, including `queue_full` and `closed`.
    wake: ends the thread's wait for entries.
    """

    def __init__(
        self,
        name: str,
        where: str,
        reasons: type[Enum],
        timing: Timing,
        *,
        wake: Callable[[], object] | None = None,
        most_results: int = MOST_RESULTS,
        most_events: int = MOST_EVENTS,
    ) -> None:
        self.name = name
        self.observe_delivery: Callable[[float], None] = lambda seconds: None
        self.delivered = 0
        self.broken_pipe = False
        self._log = logging.getLogger(f"edged.sinks.{name}")
        self._counts: dict[str, int] = {each.value: 0 for each in reasons}
        self._set_aside = 0
        """Entries taken that are neither delivered nor dropped."""
        self._timing = timing
        self._clock = timing.clock
        self._pause_seconds = timing.first_pause_seconds
        self._closing = threading.Event()
        self._send_until_ns = 0
        self._wait: Wait = timing.wait or self._closing.wait
        self._woken: SimpleQueue[None] = SimpleQueue()
        """Holds something after a wake-up; in place of an Event, it takes a tenth of the time."""
        self._wake = wake or self._wake_thread
        self._backlog = Backlog(self._wake, most_results, most_events, self._clock)
        self._outage = Outage(
            self._log, f"{name}: {where}", lambda: self.dropped, self._clock, timing.lasting_seconds
        )
        self._before: Worker | None = None
        self._thread = threading.Thread(target=self._work, name=f"sink-{name}", daemon=True)

    @property
    def dropped(self) -> dict[str, int]:
        return self._counts | {"queue_full": self._backlog.dropped}

    @property
    def alive(self) -> bool:
        """False only if the thread has ended unexpectedly."""
        return self._thread.ident is None or self._thread.is_alive() or self._closing.is_set()

    @property
    def trouble(self) -> str | None:
        return self._outage.trouble

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def renew(self) -> None:
        """By default there are no files to read again."""

    def publish(self, result: Result) -> None:
        self._backlog.put(result)

    def publish_event(self, event: Event) -> None:
        self._backlog.put(event)

    def observe_cameras(self, streaming: Mapping[str, bool]) -> None:
        """Ignored by default."""

    def observe_switches(self, switches: Switches) -> None:
        """Ignored by default."""

    def take_over(self, before: object) -> None:
        if isinstance(before, Worker):
            before._end()
            before._backlog.move_to(self._backlog)
            self._before = before

    def close(self, timeout_seconds: float) -> None:
        self._end(timeout_seconds)
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        if self._backlog.has_moved:  # the thread's current entry will follow
            return
        self._backlog.close()
        settled = self.delivered + self._set_aside + sum(self.dropped.values())
        self._counts["closed"] += self._backlog.received - settled

    def _end(self, send_seconds: float = 0.0) -> None:
        """Make the thread end once the backlog is empty, or after `send_seconds`."""
        self._send_until_ns = self._clock() + int(send_seconds * 1e9)
        self._closing.set()
        self._wake()

    def _run(self) -> None:
        """Send until the sink is closed."""
        while not self._is_over():
            waiting = self._backlog.take()
            if waiting is None:
                if self._closing.is_set():
                    return
                is_ending = self._outage.is_ending
                with suppress(Empty):
                    self._woken.get(timeout=self._timing.lasting_seconds if is_ending else None)
                if is_ending:
                    self._outage.worked()
                continue
            least_seconds = self._send(*waiting)
            if least_seconds is None:
                self._pause_seconds = self._timing.first_pause_seconds
            elif self._closing.is_set():
                return
            else:
                self._wait(max(least_seconds, self._next_pause()))

    def _wake_thread(self) -> None:
        if self._woken.empty():
            self._woken.put(None)

    def _is_over(self) -> bool:
        return self._closing.is_set() and self._clock() >= self._send_until_ns

    def _send(self, put_ns: int, entry: Entry) -> float | None:
        """Send one entry, or put it back. None if it is done with; else the least seconds until the
        next attempt. Must not raise."""
        raise NotImplementedError

    def _next_pause(self) -> float:
        pause_seconds = self._pause_seconds
        self._pause_seconds = min(2 * pause_seconds, self._timing.longest_pause_seconds)
        return pause_seconds * random.uniform(1 - self._timing.spread, 1)

    def _work(self) -> None:
        if self._before is not None:
            self._before._thread.join(_HANDING_OVER_SECONDS)
            self._inherit(self._before)
            self._before = None
        self._run()

    def _inherit(self, before: Worker) -> None:
        """Take over the state of `before`, which has ended; its backlog has been moved."""

    def _deliver(self, put_ns: int) -> None:
        """Count a delivery."""
        self.delivered += 1
        self.observe_delivery((self._clock() - put_ns) / 1e9)


class Outage:
    """Logs an outage: one line when it starts, one for the first loss, and one after it has ended.

    where: the destination. dropped: counts by reason.
    """

    def __init__(
        self,
        log: logging.Logger,
        where: str,
        dropped: Callable[[], Mapping[str, int]],
        clock: Clock,
        lasting_seconds: float = LASTING_SECONDS,
    ) -> None:
        self._log = log
        self._where = where
        self._dropped = dropped
        self._clock = clock
        self._lasting_ns = lasting_seconds * 1e9
        self._logged: str | None = None
        self._logged_ns = self._failed_ns = 0
        self._is_over = True
        self._lost_before = 0
        self._overflow_before: int | None = 0
        """Count of `queue_full` before this outage; None once an overflow is logged."""

    @property
    def is_ending(self) -> bool:
        """It is over but not logged as such: `worked` must be called again."""
        return self._logged is not None and self._is_over

    @property
    def trouble(self) -> str | None:
        """What is logged of the outage that lasts."""
        return None if self._is_over else self._logged

    def failed(self, trouble: str) -> None:
        self._failed_ns, self._is_over = self._clock(), False
        lasts = self._logged is None or self._failed_ns - self._logged_ns >= self._lasting_ns
        if trouble != self._logged and lasts:
            self._logged, self._logged_ns = trouble, self._failed_ns
            self._log.warning("%s: %s", self._where, trouble)
        before = self._overflow_before
        if before is not None and self._dropped()["queue_full"] > before:
            self._overflow_before = None
            self._log.warning("%s: backlog full, dropping the oldest entries", self._where)

    def worked(self) -> None:
        """Call at a delivery, and repeatedly after it."""
        self._is_over = True
        if self._logged is None or self._clock() - self._failed_ns < self._lasting_ns:
            return
        dropped = self._dropped()
        lost = sum(dropped.values()) - self._lost_before
        losses = f", {lost} results and events were lost" if lost else ""
        self._log.info("%s works again%s", self._where, losses)
        self._logged = None
        self._lost_before += lost
        self._overflow_before = dropped["queue_full"]

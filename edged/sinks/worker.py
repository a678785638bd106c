"""What the sinks have in common: a thread, what waits for it, and what became of all of it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from edged.clock import Clock, monotonic_ns
from edged.result import Event, Result
from edged.sinks.backlog import MOST_RESULTS, Backlog, Entry

LASTING_SECONDS = 10.0
"""What has not failed for as long works again; and another trouble is told after as long."""
_HANDING_OVER_SECONDS = 2.0
"""How long a sink waits for the one whose place it takes to finish what it has in hand."""

Wait = Callable[[float], bool]
"""Waits for so many seconds, or until the sink is closed: then it is true."""


@dataclass(frozen=True, slots=True)
class Timing:
    """first_pause_seconds: after a failure; the next ones double up to the longest. spread: by what
    share of it each is shortened at most, so that not all devices of a fleet come at the same
    moment. wait: for a pause; None to wait for the sink to be closed as well.
    """

    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 30.0
    spread: float = 0.5
    lasting_seconds: float = LASTING_SECONDS
    clock: Clock = monotonic_ns
    wait: Wait | None = None


TIMING = Timing()


class Worker:
    """where: what is written to, for the log. reasons: why a result or event may be given up;
    `queue_full` and `closed` among them. wake: ends the thread's wait for something to do.
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
    ) -> None:
        self.name = name
        self.observe_delivery: Callable[[float], None] = lambda seconds: None
        self.delivered = 0
        self.broken_pipe = False
        self._log = logging.getLogger(f"edged.sinks.{name}")
        self._counts: dict[str, int] = {each.value: 0 for each in reasons}
        self._set_aside = 0
        """What was taken and is neither delivered nor dropped."""
        self._timing = timing
        self._clock = timing.clock
        self._pause_seconds = timing.first_pause_seconds
        self._closing = threading.Event()
        self._send_until_ns = 0
        self._wait: Wait = timing.wait or self._closing.wait
        self._woken = threading.Event()
        self._wake = wake or self._woken.set
        self._backlog = Backlog(self._wake, most_results, clock=self._clock)
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
        """False only when the thread has ended without being told to."""
        return self._thread.ident is None or self._thread.is_alive() or self._closing.is_set()

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def renew(self) -> None:
        """The default: nothing that this sink uses is read from files."""

    def publish(self, result: Result) -> None:
        self._backlog.put(result)

    def publish_event(self, event: Event) -> None:
        self._backlog.put(event)

    def observe_cameras(self, streaming: Mapping[str, bool]) -> None:
        """The default: nobody is told."""

    def take_over(self, before: object) -> None:
        if isinstance(before, Worker):
            before._end()
            before._backlog.move_to(self._backlog)
            self._before = before

    def close(self, timeout_seconds: float) -> None:
        self._end(timeout_seconds)
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        if self._backlog.has_moved:  # what the thread still has in hand will follow
            return
        self._backlog.close()
        settled = self.delivered + self._set_aside + sum(self.dropped.values())
        self._counts["closed"] += self._backlog.received - settled

    def _end(self, send_seconds: float = 0.0) -> None:
        """Have the thread end: when all has left, or after so long."""
        self._send_until_ns = self._clock() + int(send_seconds * 1e9)
        self._closing.set()
        self._wake()

    def _run(self) -> None:
        """Until the sink is closed."""
        while not self._is_over():
            self._woken.clear()
            waiting = self._backlog.take()
            if waiting is None:
                if self._closing.is_set():
                    return
                is_ending = self._outage.is_ending
                self._woken.wait(self._timing.lasting_seconds if is_ending else None)
                if self._outage.is_ending:
                    self._outage.worked()
                continue
            least_seconds = self._send(*waiting)
            if least_seconds is None:
                self._pause_seconds = self._timing.first_pause_seconds
            elif self._closing.is_set():
                return
            else:
                self._wait(max(least_seconds, self._next_pause()))

    def _is_over(self) -> bool:
        return self._closing.is_set() and self._clock() >= self._send_until_ns

    def _send(self, put_ns: int, entry: Entry) -> float | None:
        """One that waits. None when it is done with; when it waits again, the seconds that the next
        attempt must wait at least. Whatever happens in it, the thread goes on."""
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
        """Take what `before`, which has ended, knew; beside what waited."""

    def _deliver(self, put_ns: int) -> None:
        """Count one that has left."""
        self.delivered += 1
        self.observe_delivery((self._clock() - put_ns) / 1e9)


class Outage:
    """Tells of a way out that does not work: one line when that begins, one for the first loss, and
    one when it has worked again for a while.

    where: what does not work, in words. dropped: by reason, until now.
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
        self._told: str | None = None
        self._told_ns = self._failed_ns = 0
        self._is_over = True
        self._lost_before = 0
        self._overflow_before: int | None = 0
        """What had overflowed before this outage; None when it has been told that more did."""

    @property
    def is_ending(self) -> bool:
        """It works, and that has not been told: `worked` has to be called once more."""
        return self._told is not None and self._is_over

    def failed(self, trouble: str) -> None:
        self._failed_ns, self._is_over = self._clock(), False
        lasts = self._told is None or self._failed_ns - self._told_ns >= self._lasting_ns
        if trouble != self._told and lasts:
            self._told, self._told_ns = trouble, self._failed_ns
            self._log.warning("%s: %s", self._where, trouble)
        before = self._overflow_before
        if before is not None and self._dropped()["queue_full"] > before:
            self._overflow_before = None
            self._log.warning("%s: the backlog is full: the oldest are lost", self._where)

    def worked(self) -> None:
        """At a delivery, and now and then after it."""
        self._is_over = True
        if self._told is None or self._clock() - self._failed_ns < self._lasting_ns:
            return
        dropped = self._dropped()
        lost = sum(dropped.values()) - self._lost_before
        told = f", {lost} results and events were lost" if lost else ""
        self._log.info("%s works again%s", self._where, told)
        self._told = None
        self._lost_before += lost
        self._overflow_before = dropped["queue_full"]

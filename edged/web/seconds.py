"""One camera's results of the last minutes, second by second."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

SECONDS = 300
MOST_RESULTS = 240
"""Latencies kept per second; the upper limit of `fps` in the configuration."""
RATE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Second:
    """number: on the monotonic clock. stale: frames too late to run. p50_ms, p95_ms, most_ms:
    latency; 0 without results. budget_ms: of the last frame. variant: of the last result; None
    without results.
    """

    number: int
    results: int
    late: int
    stale: int
    p50_ms: float
    p95_ms: float
    most_ms: float
    budget_ms: float
    variant: str | None
    latencies_ms: array[float]


@dataclass(frozen=True, slots=True)
class Summary:
    """on_time: share of results and frames too late to run; None without any. late: the number of
    the others."""

    p50_ms: float | None
    p95_ms: float | None
    on_time: float | None
    late: int
    fps: float


@dataclass(slots=True)
class _Current:
    """The current second."""

    number: int
    results: int = 0
    late: int = 0
    stale: int = 0
    budget_ms: float = 0.0
    variant: str | None = None
    latencies_ms: array[float] = field(default_factory=lambda: array("f"))

    def sum_up(self) -> Second:
        p50_ms, p95_ms = quantiles_ms([self.latencies_ms]) or (0.0, 0.0)
        return Second(
            self.number,
            self.results,
            self.late,
            self.stale,
            p50_ms,
            p95_ms,
            max(self.latencies_ms, default=0.0),
            self.budget_ms,
            self.variant,
            self.latencies_ms,
        )


class Seconds:
    """One thread at a time may write, any may read."""

    def __init__(self) -> None:
        self._seconds: deque[Second] = deque(maxlen=SECONDS)
        self._current = _Current(0)

    def observe(self, now_ns: int, latency_ms: float, budget_ms: float, variant: str) -> None:
        current = self._at(now_ns)
        current.results += 1
        current.late += latency_ms > budget_ms
        current.budget_ms, current.variant = budget_ms, variant
        if len(current.latencies_ms) < MOST_RESULTS:
            current.latencies_ms.append(latency_ms)

    def stale(self, now_ns: int, budget_ms: float) -> None:
        """Count a frame too late to run."""
        current = self._at(now_ns)
        current.stale += 1
        current.budget_ms = budget_ms

    def complete(self, now_ns: int) -> list[Second]:
        """The complete, non-empty ones of the last SECONDS, oldest first."""
        number = now_ns // 1_000_000_000
        current = self._current
        found = [each for each in tuple(self._seconds) if number - each.number <= SECONDS]
        if current.number < number and number - current.number <= SECONDS:
            found.append(current.sum_up())
        return [each for each in found if each.results or each.stale]

    def summary(self, now_ns: int) -> Summary:
        seconds, number = self.complete(now_ns), now_ns // 1_000_000_000
        p50_ms, p95_ms = quantiles_ms([each.latencies_ms for each in seconds]) or (None, None)
        results, late = sum(each.results for each in seconds), sum(each.late for each in seconds)
        stale = sum(each.stale for each in seconds)
        lately = sum(each.results for each in seconds if number - each.number <= RATE_SECONDS)
        known = number - seconds[0].number if seconds else 0
        return Summary(
            p50_ms,
            p95_ms,
            (results - late) / (results + stale) if results + stale else None,
            late + stale,
            lately / min(RATE_SECONDS, known) if known else 0.0,
        )

    def _at(self, now_ns: int) -> _Current:
        number = now_ns // 1_000_000_000
        if number != self._current.number:
            over, self._current = self._current, _Current(number)
            if over.number:
                self._seconds.append(over.sum_up())
        return self._current


def quantiles_ms(latencies_ms: Sequence[array[float]]) -> tuple[float, float] | None:
    """Median and 95th percentile; None without values."""
    parts = [np.array(each, np.float32) for each in latencies_ms if each]
    if not parts:
        return None
    ordered = np.sort(np.concatenate(parts))
    ranks = np.multiply((0.5, 0.95), len(ordered) - 1)  # np.quantile takes six times as long
    p50_ms, p95_ms = np.interp(ranks, np.arange(len(ordered)), ordered).tolist()
    return p50_ms, p95_ms

"""Two clocks. Durations and deadlines use the monotonic one; wall time only labels results."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

Clock = Callable[[], int]
"""Returns nanoseconds."""

monotonic_ns: Clock = time.monotonic_ns
"""CLOCK_MONOTONIC, which all processes and V4L2 buffer timestamps share."""

SMALLEST_STEP_NS = 500_000_000
"""Smaller differences come from rate correction, or from reading the clocks one after the other."""


class WallClock:
    """Detects steps of the wall clock against the monotonic clock."""

    def __init__(self, monotonic: Clock = monotonic_ns, unix: Clock = time.time_ns) -> None:
        self._monotonic = monotonic
        self._unix = unix
        self._offset_ns = unix() - monotonic()

    def step_seconds(self) -> float:
        """The step since the last call; 0 if there was none."""
        before_ns, self._offset_ns = self._offset_ns, self._unix() - self._monotonic()
        step_ns = self._offset_ns - before_ns
        return step_ns / 1e9 if abs(step_ns) >= SMALLEST_STEP_NS else 0.0


def unix_ns_of(moment_ns: int, now_ns: int) -> int:
    """Unix time in nanoseconds of a monotonic time, given the current monotonic time."""
    return time.time_ns() - (now_ns - moment_ns)


def rfc3339(unix_ns: int) -> str:
    """`2026-01-31T12:00:00.123456Z`."""
    return f"{_of_second(unix_ns // 1_000_000_000)}.{unix_ns % 1_000_000_000 // 1000:06d}Z"


def unix_of(rfc3339_text: str) -> float:
    """Seconds. Raises ValueError, OverflowError."""
    # Python 3.10 knows no Z.
    return datetime.fromisoformat(rfc3339_text.replace("Z", "+00:00")).timestamp()


@lru_cache(maxsize=16)
def _of_second(unix_seconds: int) -> str:
    """Many results have the same one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_seconds))

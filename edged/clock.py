"""Two clocks. Durations and deadlines use the monotonic one; wall time only labels results."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

Clock = Callable[[], int]
"""Returns nanoseconds."""

monotonic_ns: Clock = time.monotonic_ns
"""CLOCK_MONOTONIC: one time line for every process of the machine, and for V4L2 buffer stamps."""


def unix_ns_of(moment_ns: int, now_ns: int) -> int:
    """Wall-clock nanoseconds (Unix time) of a monotonic moment, given the monotonic present."""
    return time.time_ns() - (now_ns - moment_ns)


def rfc3339(unix_ns: int) -> str:
    """`2026-01-31T12:00:00.123456Z`."""
    stamp = datetime.fromtimestamp(unix_ns // 1_000_000_000, tz=timezone.utc)
    return f"{stamp.isoformat()[:19]}.{unix_ns % 1_000_000_000 // 1000:06d}Z"

"""Whether the device runs short of memory, so that training waits."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from edged.errors import EdgedError
from edged.sensors.memory import meminfo
from edged.sensors.reading import read_text

LEAST_AVAILABLE_BYTES = 64 * 1024**2
MOST_STALLED = 10.0
"""Percent of the last 10 s in which some program waited for memory (PSI)."""
PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 1.0
_SOME = re.compile(r"^some avg10=(\d+\.\d+)", re.MULTILINE)


def shortage(root: Path = Path("/")) -> str:
    """Why memory is short; empty if it is not, or if the kernel does not tell."""
    available = meminfo(root).get("MemAvailable")
    if available is not None and available < LEAST_AVAILABLE_BYTES:
        return f"{available >> 20} MB of memory available"
    stalled = _SOME.search(read_text(root / "proc/pressure/memory") or "")
    if stalled is not None and float(stalled[1]) > MOST_STALLED:
        return f"programs wait for memory {float(stalled[1]):.0f} % of the time"
    return ""


class Yielding:
    """Waits while memory is short. told: called with the reason when a wait begins."""

    def __init__(
        self,
        told: Callable[[str], None],
        *,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._told = told
        self._root = root
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0

    def __call__(self) -> None:
        """Call often; looks once a second. Raises EdgedError if it does not get better."""
        if self._clock() < self._next:
            return
        begun = self._clock()
        if why := shortage(self._root):
            self._told(why)
        while why:
            if self._clock() - begun > PATIENCE_SECONDS:
                raise EdgedError(
                    "not enough memory to go on teaching; what is done so far is kept",
                    got=why,
                    fix="stop other programs, then train again",
                )
            self._sleep(_LOOK_SECONDS)
            why = shortage(self._root)
        self._next = self._clock() + _LOOK_SECONDS

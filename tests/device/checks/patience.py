"""Waiting on a machine of unknown speed: idle seconds count, and busy ones a tenth.

While the machine computes, what is waited for may still come, however slow it is; while it idles,
nothing is on its way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from edged.effort import Effort, Silence

_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq and steal of the first line of /proc/stat: proc(5)."""
LOOK_SECONDS = 0.2


def busy() -> Effort:
    """Of the machine: the mean of its cores."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    ticks = sum(int(fields[n]) for n in _BUSY) / (os.cpu_count() or 1)
    return Effort(ticks / _TICKS, 0.0, 0)


def wait_for(condition: Callable[[], object], seconds: float) -> tuple[bool, float]:
    """(whether it came true, after how many seconds by the clock). seconds: of an idle machine."""
    begun = time.monotonic()
    silence = Silence(time.monotonic_ns())
    while not condition():
        if silence.look(time.monotonic_ns(), busy) > seconds:
            return False, time.monotonic() - begun
        time.sleep(LOOK_SECONDS)
    return True, time.monotonic() - begun

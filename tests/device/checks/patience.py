"""Waiting on a machine of unknown speed: idle seconds count, and busy ones a tenth.

While the machine computes, what is waited for may still come, however slow it is; while it idles,
nothing is on its way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS = 0.2
BUSY_SHARE = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq and steal of the first line of /proc/stat: proc(5)."""


def wait_for(condition: Callable[[], object], seconds: float) -> tuple[bool, float]:
    """(whether it came true, after how many seconds by the clock). seconds: of an idle machine."""
    begun = looked = time.monotonic()
    waited, worked = 0.0, busy_seconds()
    while not condition():
        time.sleep(LOOK_SECONDS)
        now, before = time.monotonic(), worked
        worked = busy_seconds()
        waited += max(BUSY_SHARE * (now - looked), now - looked - (worked - before))
        looked = now
        if waited > seconds:
            return False, now - begun
    return True, time.monotonic() - begun


def busy_seconds() -> float:
    """Of all cores together: where one works, the machine is busy."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[n]) for n in _BUSY) / _TICKS

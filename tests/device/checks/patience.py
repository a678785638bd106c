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
CORES = os.cpu_count() or 1
_TICKS = os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], object], seconds: float) -> tuple[bool, float]:
    """(whether it came true, after how many seconds by the clock). seconds: of an idle machine."""
    begun = looked = time.monotonic()
    waited, idled = 0.0, idle_seconds()
    while not condition():
        time.sleep(LOOK_SECONDS)
        now, before = time.monotonic(), idled
        idled = idle_seconds()
        # What is not idle is busy: a host that takes the cores away leaves no other trace.
        waited += max(BUSY_SHARE * (now - looked), idled - before - (CORES - 1) * (now - looked))
        looked = now
        if waited > seconds:
            return False, now - begun
    return True, time.monotonic() - begun


def idle_seconds() -> float:
    """Of all cores together: `idle` and `iowait` of /proc/stat, proc(5)."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return (int(fields[3]) + int(fields[4])) / _TICKS

"""The share of the time that the device may compute so that it stays below a temperature.

The share of the time spent computing heats the chip. Close to the limit the allowed share shrinks
in proportion to the degrees left, to almost nothing just below the limit: so the temperature
settles below the limit, whatever the weather, the cooler and other programs. Nothing is integrated
over time, so nothing can wind up or oscillate. The share shrinks at once but grows slowly, and only
after cooling by more than a sensor's step: otherwise two variants would alternate with every
reading.

With a share, each run may take that part of the time between two frames, which selects cheaper
variants; if even the cheapest takes longer, frames are skipped. No clock and no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MARGIN_C = 1.0
"""Distance from the limit at which almost nothing runs: sensors have steps of 0.5 or 1 degree, and
some round down."""
BAND_C = 5.0
"""Over this many degrees below that, the share falls from 1 to 0. A narrower band lets the device
come closer to the limit, but a single run must heat it by much less."""
HYSTERESIS_C = 2.0
"""Cooling required before shed work comes back."""
GROWTH_PER_SECOND = 0.02
"""Of the share: from 0 to 1 in 50 s, as fast as a chip with its cooler warms up."""
RETREAT_PER_SECOND = 0.05
"""Loss of share while the firmware throttles below the limit."""
LEAST_SHARE = 0.02
"""Least share, even if the surroundings alone are too hot."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """share: of the time that may be spent computing; 1: no limit.

    sensors: readings by name, for a trace.
    """

    share: float = 1.0
    sensors: Mapping[str, float] = field(default_factory=dict)


def next_share(
    share: float,
    limit_c: float,
    temperature_c: float | None,
    throttled: bool | None,
    seconds: float,
) -> float:
    """The share from now on, `seconds` after the one before; between LEAST_SHARE and 1.

    Unknown readings (None) change nothing.
    """
    if temperature_c is not None:
        room_c = limit_c - MARGIN_C - temperature_c
        if room_c < share * BAND_C:
            share = room_c / BAND_C
        else:
            cooled = (room_c - HYSTERESIS_C) / BAND_C
            share = max(share, min(cooled, share + GROWTH_PER_SECOND * seconds))
    if throttled:
        share -= (RETREAT_PER_SECOND + GROWTH_PER_SECOND) * seconds
    return min(1.0, max(LEAST_SHARE, share))


class Pace:
    """Which frames of a view run if even the cheapest variant takes longer than allowed.

    Each frame adds its allowed time; a frame runs when enough is saved up.
    """

    __slots__ = ("_saved_ms",)

    def __init__(self) -> None:
        self._saved_ms = 0.0

    def admits(self, allowed_ms: float, cheapest_ms: float) -> bool:
        """Call it once per frame. cheapest_ms: expected time of the cheapest variant."""
        self._saved_ms += allowed_ms
        if self._saved_ms < cheapest_ms:
            return False
        self._saved_ms = min(self._saved_ms - cheapest_ms, cheapest_ms)
        return True

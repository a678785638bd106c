"""The share of the time that the device may compute so that it stays below a temperature, a power.

The share of the time spent computing heats the chip, and takes power. Close to a limit the allowed
share shrinks in proportion to what is left, to almost nothing just below the limit: so the reading
settles below the limit, whatever the weather, the cooler and other programs. Nothing is integrated
over time, so nothing can wind up or oscillate. The share shrinks at once but grows slowly, and only
after the reading has fallen by more than a sensor's step: otherwise two variants would alternate
with every reading.

The law needs readings that follow the load slowly, as a temperature does; power is averaged to do
so. With a share, each run may take that part of the time between two frames, which selects cheaper
variants; if even the cheapest takes longer, frames are skipped. No clock and no I/O.
"""

from __future__ import annotations

import math
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
MARGIN_W, BAND_W, HYSTERESIS_W = 0.02, 0.10, 0.04
"""The same for power, in parts of the limit."""
POWER_SECONDS = 20.0
"""Time constant of the average of power, so that it follows the load as slowly as a temperature."""
GROWTH_PER_SECOND = 0.02
"""Of the share: from 0 to 1 in 50 s, as fast as a chip with its cooler warms up."""
RETREAT_PER_SECOND = 0.05
"""Loss of share while the firmware throttles below the limit."""
LEAST_SHARE = 0.02
"""Least share, even if the surroundings alone are too hot."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """share: of the time that may be spent computing; 1: no limit.

    by_power: the power allows no more, not the temperature. sensors: readings by name, for a trace.
    """

    share: float = 1.0
    sensors: Mapping[str, float] = field(default_factory=dict)
    by_power: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What a reading must stay below; margin, band and hysteresis in its unit."""

    most: float
    margin: float
    band: float
    hysteresis: float

    @classmethod
    def of_temperature(cls, most_c: float) -> Limit:
        return cls(most_c, MARGIN_C, BAND_C, HYSTERESIS_C)

    @classmethod
    def of_power(cls, most_w: float) -> Limit:
        return cls(most_w, *(part * most_w for part in (MARGIN_W, BAND_W, HYSTERESIS_W)))


def next_share(
    share: float, limit: Limit, reading: float | None, throttled: bool | None, seconds: float
) -> float:
    """The share from now on, `seconds` after the one before; between LEAST_SHARE and 1.

    Unknown readings (None) change nothing.
    """
    if reading is not None:
        room = limit.most - limit.margin - reading
        if room < share * limit.band:
            share = room / limit.band
        else:
            fallen = (room - limit.hysteresis) / limit.band
            share = max(share, min(fallen, share + GROWTH_PER_SECOND * seconds))
    if throttled:
        share -= (RETREAT_PER_SECOND + GROWTH_PER_SECOND) * seconds
    return min(1.0, max(LEAST_SHARE, share))


def averaged(before: float | None, reading: float | None, seconds: float) -> float | None:
    """The average of power, `seconds` after the one before."""
    if before is None or reading is None:
        return reading
    return reading + (before - reading) * math.exp(-seconds / POWER_SECONDS)


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

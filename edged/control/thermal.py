"""How much of the time the device may compute, so that it stays below a temperature.

What heats the chip is the share of the time spent computing. Close to the limit the allowed share
shrinks in proportion to the degrees that are left, and it is next to nothing just below the limit:
so the temperature settles where heat and share agree, below the limit whatever the weather, the
cooler and the other programs. Nothing is summed up over time, so there is nothing to wind up and
to swing with. The share shrinks at once, but grows slowly, and only when it has become cooler by
more than a sensor's step: else two variants would take turns at every reading.

With a share, each run may take that part of the time between two frames, which makes for cheaper
variants; where even the cheapest takes longer, frames are left out.

Pure: knows no sensor, no clock and no camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MARGIN_C = 1.0
"""So far below the limit next to nothing runs any more: sensors have steps of 0.5 or 1 degree,
and some show the one below."""
BAND_C = 5.0
"""Over so many degrees below that the share falls from everything to nothing. A narrower band lets
the device come closer to the limit, but what a run heats must stay small against it."""
HYSTERESIS_C = 2.0
"""So much cooler than where work was shed it must be before work comes back."""
GROWTH_PER_SECOND = 0.02
"""Of the share: from nothing to everything in 50 s, as fast as a chip with its cooler warms up."""
RETREAT_PER_SECOND = 0.05
"""What is given up while the firmware throttles although the limit is not reached."""
LEAST_SHARE = 0.02
"""Where the surroundings alone are too hot, seeing something now and then is worth this much."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """share: of the time that may be spent computing; 1 is no limit.

    sensors: readings by name that were known then, for a trace.
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
    """Which frames of a camera run where even its cheapest variant takes longer than it may.

    Each frame brings the time that it is allowed; one runs when there is enough for it.
    """

    __slots__ = ("_saved_ms",)

    def __init__(self) -> None:
        self._saved_ms = 0.0

    def admits(self, allowed_ms: float, cheapest_ms: float) -> bool:
        """Asked once a frame. cheapest_ms: expected time of the cheapest variant."""
        self._saved_ms += allowed_ms
        if self._saved_ms < cheapest_ms:
            return False
        self._saved_ms = min(self._saved_ms - cheapest_ms, cheapest_ms)
        return True

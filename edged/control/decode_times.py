"""How long one camera's pictures take to decode, by the resolution requested.

The next picture is decoded for the variant that should run on it, so the decoding cost of a larger
resolution must be known before it is requested. Resolutions that were never used are unknown:
requesting one only to measure it would slow the camera down.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from edged.control.profile import Spread

FRAMES_KEPT = 100
"""Of each resolution."""
GAIN = 0.05
"""Weight of the latest picture in the typical time."""


class DecodeTimes:
    """One thread writes, any may read. resolutions: those of the family."""

    def __init__(self, resolutions: Iterable[int] = ()) -> None:
        self._resolutions = sorted(resolutions, reverse=True)
        self._times_ms: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=FRAMES_KEPT))
        self._typical_ms: dict[int, float] = {}
        """On an undisturbed device."""

    def observe(self, wanted: int, decode_ms: float, slowdown: float) -> None:
        """Add the time of one picture. slowdown: the device's, at that time."""
        self._times_ms[wanted].append(decode_ms)
        typical_ms = self._typical_ms.get(wanted, decode_ms / slowdown)
        self._typical_ms[wanted] = typical_ms + GAIN * (decode_ms / slowdown - typical_ms)

    def dearer_ms(self, wanted: int, slowdown: float) -> Mapping[int, float]:
        """How much longer each resolution takes than `wanted`: positive for larger, negative for
        smaller ones. An unknown one is taken to cost as much as the next larger known one."""
        here_ms = self._typical_ms.get(wanted)
        if here_ms is None:
            return {}
        dearer, typical_ms = {}, max(self._typical_ms.items())[1]
        for side in self._resolutions:
            typical_ms = self._typical_ms.get(side, typical_ms)
            difference_ms = slowdown * (typical_ms - here_ms)
            dearer[side] = max(0.0, difference_ms) if side > wanted else min(0.0, difference_ms)
        return dearer

    def spreads(self) -> dict[int, Spread]:
        times = {side: list(each) for side, each in self._times_ms.copy().items()}
        return {side: Spread.of(each) for side, each in times.items()}

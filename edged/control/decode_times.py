"""How long the pictures of one camera take to decode, by the resolution wanted of them.

For the reader of the profile: decisions do not need it, a frame's age has it taken off the slack
already. Resolutions that never ran are not there, because wanting one only to measure it would make
a running camera's pictures dearer. Knows no files.
"""

from __future__ import annotations

from collections import deque

from edged.control.profile import Spread

FRAMES_KEPT = 100
"""Of each resolution."""


class DecodeTimes:
    """One thread writes, any may read."""

    def __init__(self) -> None:
        self._wanted = 0
        self._since_ns = 0
        self._times_ms: dict[int, deque[float]] = {}

    def want(self, resolution: int, now_ns: int) -> None:
        """What is decoded from now on is decoded for this resolution."""
        if resolution != self._wanted:
            self._wanted, self._since_ns = resolution, now_ns
            self._times_ms.setdefault(resolution, deque(maxlen=FRAMES_KEPT))

    def observe(self, received_ns: int, ready_ns: int) -> None:
        """A picture was decoded between these moments."""
        if self._wanted and received_ns >= self._since_ns:
            self._times_ms[self._wanted].append((ready_ns - received_ns) / 1e6)

    def spreads(self) -> dict[int, Spread]:
        times = {side: list(each) for side, each in self._times_ms.copy().items()}
        return {side: Spread.of(each) for side, each in times.items() if each}

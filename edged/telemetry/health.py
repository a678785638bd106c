"""What the daemon says about itself: metrics, HTTP endpoints, systemd notification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

DOWN_STATES = frozenset({"stalled", "backoff", "ended"})
"""A camera in one of these is known to be down: that is a state, nothing to wait for."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """One camera now. `state` is the source's state, as the metric's label."""

    name: str
    state: str
    has_result: bool
    last_error: str | None = None

    @property
    def ready(self) -> bool:
        """It streams and has produced a result, or it was played to its end."""
        return self.state == "ended" or (self.state == "streaming" and self.has_result)

    @property
    def settled(self) -> bool:
        """Nothing more can be waited for at the start: there is a result, or it is known to be
        down, also while it is tried once more.
        """
        return self.has_result or self.state in DOWN_STATES or self.last_error is not None


@dataclass(frozen=True, slots=True)
class Health:
    """What the health endpoints ask the daemon; answered at once, without I/O.

    loops: each loop that must never stop → monotonic nanoseconds of its last turn.
    """

    loops: Callable[[], Mapping[str, int]]
    cameras: Callable[[], Sequence[CameraHealth]]


def stuck_loops(loops: Mapping[str, int], now_ns: int, limit_seconds: float) -> dict[str, float]:
    """The loops without a turn for longer than the limit, and for how many seconds.

    /healthz and the systemd watchdog decide by this alone, so that they agree.
    """
    still_seconds = {name: (now_ns - turned_ns) / 1e9 for name, turned_ns in loops.items()}
    return {name: still for name, still in still_seconds.items() if still > limit_seconds}

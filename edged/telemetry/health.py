"""Health of loops and cameras, for /healthz, /readyz and the systemd watchdog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

DOWN_STATES = frozenset({"stalled", "backoff", "ended"})
"""States in which a camera is known to be down."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """state: of the source, as in the metric's label. has_result: each of its views that is on.
    off: none of them is."""

    name: str
    state: str
    has_result: bool
    last_error: str | None = None
    off: bool = False

    @property
    def ready(self) -> bool:
        """Streams and has produced a result, has been played to its end, or is off."""
        streams = self.state == "streaming" and self.has_result
        return self.off or self.state == "ended" or streams

    @property
    def settled(self) -> bool:
        """Start-up need not wait for it: it has a result or is known to be down, even during a
        retry.
        """
        return self.has_result or self.state in DOWN_STATES or self.last_error is not None


@dataclass(frozen=True, slots=True)
class Health:
    """The daemon's state, read without I/O. loops: name → monotonic ns of the last turn."""

    loops: Callable[[], Mapping[str, int]]
    cameras: Callable[[], Sequence[CameraHealth]]


def stuck_loops(loops: Mapping[str, int], now_ns: int, limit_seconds: float) -> dict[str, float]:
    """Loops without a turn for longer than the limit → seconds since the last one.

    Used by both /healthz and the systemd watchdog, so that they agree.
    """
    still_seconds = {name: (now_ns - turned_ns) / 1e9 for name, turned_ns in loops.items()}
    return {name: still for name, still in still_seconds.items() if still > limit_seconds}

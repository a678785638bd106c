"""Which variants rest after a failed run, and until when. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edged.variants.variant import Choice

FIRST_REST_SECONDS = 60.0
LONGEST_REST_SECONDS = 3600.0


class Setbacks:
    """Replaces, never changes its values: any thread may read."""

    def __init__(self) -> None:
        self.failures: Mapping[Choice, int] = MappingProxyType({})
        """Runs that failed."""
        self.resting: frozenset[Choice] = frozenset()
        self._until_ns: dict[Choice, int] = {}

    def fail(self, choice: Choice, now_ns: int) -> float:
        """Let `choice` rest after a failed run, and return for how many seconds. Each further
        failure doubles them, up to LONGEST_REST_SECONDS.
        """
        failures = self.failures.get(choice, 0) + 1
        self.failures = MappingProxyType({**self.failures, choice: failures})
        seconds = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2.0 ** min(failures - 1, 30))
        self._until_ns[choice] = now_ns + int(seconds * 1e9)
        self.resting = frozenset(self._until_ns)
        return seconds

    def end_rests(self, now_ns: int) -> bool:
        """Release choices whose rest is over; whether there were any."""
        over = [choice for choice, until_ns in self._until_ns.items() if now_ns >= until_ns]
        for choice in over:
            del self._until_ns[choice]
        self.resting = frozenset(self._until_ns)
        return bool(over)

"""How much accuracy a view whose goal is power gives up, and for what.

A run is charged accuracy in proportion to its cost, and the variant that is worth most after that
runs (choose_by_cost in selector.py). So accuracy is given up on the frames on which it saves most.
The charge rises while a frame loses less than give_up, and falls while it loses more: dual ascent
on "as cheap as possible, subject to a mean loss of give_up", as share.py does with misses.

A frame's loss is what the variant that the goal accuracy would have run was worth, less what the
one that ran was. Whether the first would have been on time is estimated from the run: it would have
waited as long for other programs, and have met them more often the longer it takes, for which each
miss counts so many times. The chances before the run would not do: where nothing disturbs, they are
a per cent low.

No clock and no I/O; the whole state is three numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from edged.control.selector import Decision, Terms
from edged.errors import InputError

FIRST_CHARGE = 1.0
"""So high that at first the cheapest runs that is within give_up."""
LEAST_CHARGE, MOST_CHARGE = 0.002, 5.0
STEP = 0.005
"""Growth of the charge, in log, with a frame that loses nothing."""
AIMED = 0.95
"""Part of give_up that is used; the estimate errs."""
LEAST_AIMED = 0.0005
"""Half of what a variant must gain to replace another (HOLD)."""
MEMORY_FRAMES = 1800.0
"""What was lost is a mean over about so many frames: a minute of a camera."""


class Thrift:
    """One view's account. give_up: accuracy, 0 to 1."""

    __slots__ = ("_aimed", "_charge", "_frames", "_lost")

    def __init__(self, give_up: float) -> None:
        self._aimed = max(LEAST_AIMED, AIMED * give_up)
        self._charge = FIRST_CHARGE
        self._lost = self._frames = 0.0
        """Sums over frames, of which old ones weigh less."""

    @classmethod
    def from_state(cls, give_up: float, state: Mapping[str, float]) -> Thrift:
        """Restore the exact state. Raises InputError if it is invalid."""
        thrift = cls(give_up)
        try:
            charge, lost, frames = (float(state[key]) for key in ("charge", "lost", "frames"))
        except (KeyError, TypeError, ValueError):
            raise InputError(
                "not the state of a view whose goal is power", where="thrift"
            ) from None
        if not (LEAST_CHARGE <= charge <= MOST_CHARGE and math.isfinite(lost) and frames >= 0):
            raise InputError("not the state of a view whose goal is power", where="thrift")
        thrift._charge, thrift._lost, thrift._frames = charge, lost, frames
        return thrift

    def state(self) -> dict[str, float]:
        """The whole state, for JSON."""
        return {"charge": self._charge, "lost": self._lost, "frames": self._frames}

    @property
    def terms(self) -> Terms:
        lost = self._lost / self._frames if self._frames else 0.0
        return Terms(self._charge, lost, self._aimed)

    def observe(self, decision: Decision, service_ms: float, on_time: bool, level: float) -> None:
        """Count a result. level: how far runs were stretched before it (Slowdown.level)."""
        lost = _lost(decision, service_ms, on_time, level)
        kept = 1 - 1 / MEMORY_FRAMES
        self._lost = kept * self._lost + lost
        self._frames = kept * self._frames + 1
        step = STEP * (1 - lost / self._aimed)
        charge = self._charge * math.exp(min(step, 20.0))
        self._charge = min(MOST_CHARGE, max(LEAST_CHARGE, charge))


def _lost(decision: Decision, service_ms: float, on_time: bool, level: float) -> float:
    """Accuracy that the goal accuracy would have had more on this frame."""
    if decision.instead_of is None:
        return 0.0
    ran, (accurate, slack_ms) = decision.candidate, decision.instead_of
    paused_ms = service_ms - level * ran.p50_ms
    late = level * accurate.p50_ms + paused_ms > slack_ms
    misses = accurate.p50_ms / ran.p50_ms if late else 0.0
    return accurate.top1 * (1 - misses) - ran.top1 * on_time

"""How much accuracy a view whose goal is power gives up, and for what.

A run is charged accuracy in proportion to its cost, and the variant that is worth most after that
runs (choose_by_cost in selector.py). So accuracy is given up on the frames on which it saves most.
The charge rises with each frame that loses less than the target, and falls with each that loses
more: dual ascent on "as cheap as possible, subject to a mean loss", as share.py does with misses.

The loss of a frame is the accuracy of the variant that the goal accuracy would have run, less that
of the one that ran; a late result has 0. Whether the more accurate one would have been on time is
estimated from the run: other programs would have delayed it by as much. Because it takes longer,
they would have delayed it more often, so that a miss of it counts as several. The chances before
the run are no substitute: where nothing disturbs, they are a per cent too low.

No clock and no I/O.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edged.control.selector import Decision, Terms

FIRST_CHARGE = 1.0
"""So high that the cheapest variant runs that loses no more than is aimed at."""
LEAST_CHARGE, MOST_CHARGE = 0.002, 2.0
STEP = 0.005
"""Growth of the charge, in log, with a frame that loses nothing."""
TARGET = 0.95
"""Target of the mean loss, in parts of give_up; the estimate errs."""
LEAST_TARGET = 0.0005
"""Half of what a variant must gain to replace another (HOLD)."""
MOST_MISSES = 2.0
"""What a miss of the more accurate variant counts as at most: some disturbances come once a frame,
however long the run."""
MEMORY_FRAMES = 1800.0
"""What was lost is a mean over about so many frames."""


class Account(NamedTuple):
    """The whole state. lost, frames: sums over frames, of which old ones weigh less."""

    charge: float = FIRST_CHARGE
    lost: float = 0.0
    frames: float = 0.0


class Thrift:
    """One view's account. give_up: accuracy, 0 to 1."""

    __slots__ = ("_target_loss", "account")

    def __init__(self, give_up: float, account: Account | None = None) -> None:
        self._target_loss = max(LEAST_TARGET, TARGET * give_up)
        self.account = account or Account()

    @property
    def terms(self) -> Terms:
        charge, lost, frames = self.account
        return Terms(charge, lost / frames if frames else 0.0, self._target_loss)

    def observe(self, decision: Decision, service_ms: float, on_time: bool) -> None:
        """Count a result. service_ms: from when the frame was taken until its result was made."""
        charge, lost, frames = self.account
        loss = _loss(decision, service_ms, on_time)
        charge *= math.exp(min(STEP * (1 - loss / self._target_loss), 20.0))
        kept = 1 - 1 / MEMORY_FRAMES
        self.account = Account(
            min(MOST_CHARGE, max(LEAST_CHARGE, charge)), kept * lost + loss, kept * frames + 1
        )


def _loss(decision: Decision, service_ms: float, on_time: bool) -> float:
    """Accuracy that the goal accuracy would have had more on this frame."""
    if decision.instead_of is None:
        return 0.0
    ran, (accurate, slack_ms, level) = decision.candidate, decision.instead_of
    paused_ms = service_ms - level * ran.p50_ms
    late = level * accurate.p50_ms + paused_ms > slack_ms
    misses = min(accurate.p50_ms / ran.p50_ms, MOST_MISSES) if late else 0.0
    return accurate.top1 * (1 - misses) - ran.top1 * on_time

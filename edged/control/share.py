"""Keeps the configured share of results on time over the long run, whatever the distribution.

Predictions err. So each view has an account of its misses: each miss above the allowed share
raises the price of a miss, each result on time lowers it, and the selector weighs accuracy against
that price. This is dual ascent on "as accurate as possible, subject to the share", and the same
feedback as adaptive conformal inference (arXiv 2106.00170), which moves a quantile instead: while
the account is bounded, the share of misses cannot stay above the allowed one.
"""

from __future__ import annotations

CREDIT_FRAMES = 200.0
"""The allowed misses of this many frames may be saved up, and used before the price rises."""
UNIT_FRAMES = 500.0
"""Debt, in allowed misses of this many frames, at which a miss costs more than its lost answer."""
MOST_FRAMES = 1500.0
"""Debt is capped at this, which bounds the time to pay it back. The price grows without bound
towards it, until only the chance of being on time counts."""
UNAVOIDABLE_PRICE = 10.0
"""Misses of the fastest variant, and of frames that arrive too old, raise the price no higher: a
higher price cannot avoid them, and would cost other frames accuracy."""
HIGHEST_PRICE = 1e6


class OnTimeShare:
    """One view's account. target: the share of frames whose result must be on time."""

    __slots__ = ("_allowed", "_owed", "price")

    def __init__(self, target: float, owed: float = 0.0) -> None:
        self._allowed = 1 - target
        self._owed = owed
        self._set_price()

    @property
    def owed(self) -> float:
        """Misses above the allowed ones; negative: saved. The whole state."""
        return self._owed

    def observe(self, on_time: bool, avoidable: bool = True) -> None:
        """Count a result, or, as a miss, a frame dropped as too old.

        avoidable: something faster could have run.
        """
        if on_time:
            self._owed = max(self._owed - self._allowed, -CREDIT_FRAMES * self._allowed)
        elif avoidable or self.price < UNAVOIDABLE_PRICE:
            self._owed = min(self._owed + 1 - self._allowed, MOST_FRAMES * self._allowed)
        self._set_price()

    def _set_price(self) -> None:
        """Set the cost of a miss beyond its lost answer, in answers."""
        debt = max(0.0, self._owed / (UNIT_FRAMES * self._allowed))
        room = 1 - debt * UNIT_FRAMES / MOST_FRAMES
        self.price = debt / room if debt < HIGHEST_PRICE * room else HIGHEST_PRICE

"""Keeps the promised share of results on time over the long run, whatever the distribution.

Predictions err. So every camera keeps an account of its misses: each one above the promised share
raises the price of a miss, each result on time lowers it, and the selector weighs accuracy against
that price. It is the dual ascent of "as accurate as possible, subject to the share", and the same
feedback as adaptive conformal inference (arXiv 2106.00170), which moves a quantile instead: while
the account is bounded, the share of misses cannot stay above the promised one.
"""

from __future__ import annotations

CREDIT_FRAMES = 200.0
"""So many frames' worth of misses may be saved up while all goes well, and be spent on a rough
patch before the price rises."""
UNIT_FRAMES = 500.0
"""Misses owed, in frames' worth, at which a miss begins to cost more than the answer it loses."""
MOST_FRAMES = 1500.0
"""Debt is forgiven above this, which bounds the time in which it is paid back. Towards it the price
grows without bound, and in the end nothing but the chance of being on time counts."""
UNAVOIDABLE_PRICE = 10.0
"""Misses of the fastest variant, and frames that came too old, raise the price no higher: a dearer
miss would change nothing about them, and cost the frames that can be served well."""
HIGHEST_PRICE = 1e6


class OnTimeShare:
    """One camera's account. target: the share of frames whose result must be on time."""

    __slots__ = ("_allowed", "_owed", "price")

    def __init__(self, target: float, owed: float = 0.0) -> None:
        self._allowed = 1 - target
        self._owed = owed
        self._set_price()

    @property
    def owed(self) -> float:
        """Misses above the allowed ones; below zero: saved. All there is to know of the past."""
        return self._owed

    def observe(self, on_time: bool, avoidable: bool = True) -> None:
        """Count a result, or a frame that was dropped because its budget was spent: a miss.

        avoidable: something faster could have run.
        """
        if on_time:
            self._owed = max(self._owed - self._allowed, -CREDIT_FRAMES * self._allowed)
        elif avoidable or self.price < UNAVOIDABLE_PRICE:
            self._owed = min(self._owed + 1 - self._allowed, MOST_FRAMES * self._allowed)
        self._set_price()

    def _set_price(self) -> None:
        """What a miss costs beyond the answer that is lost, in answers."""
        debt = max(0.0, self._owed / (UNIT_FRAMES * self._allowed))
        room = 1 - debt * UNIT_FRAMES / MOST_FRAMES
        self.price = debt / room if debt < HIGHEST_PRICE * room else HIGHEST_PRICE

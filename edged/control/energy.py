"""What a result costs in energy, estimated from what the device takes while variants run.

A regression of the device's power on the share of time that each choice ran: power = rest + sum of
(slope x share) + noise. A slope is what the device takes more while the choice runs; times the mean
duration of a run it is the energy of a result, with whatever goes along with each run. Old readings
are forgotten within half an hour.

A camera gives as many frames each second, so that more runs of one choice are fewer of another, and
the readings alone tell only by how much two results differ. So the slopes of one runtime's choices
are taken to differ by SPREAD, per thread: each computes on the same processor. This is a prior, no
measurement: it gives way to readings, and does not suffice to make a slope significant.

A slope counts only while it is significantly above 0: Student's t with 30 degrees of freedom, one
side, at 0.1 %. Its standard error allows for noise that lasts, as other programs' load does: the
number of readings is divided by (1 + r) / (1 - r), r being the correlation of the residuals of one
reading and the next. What always runs for the same share of time has no slope.

No clock and no I/O; memory for MOST_CHOICES.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edged.variants.variant import Choice

MOST_CHOICES = 24
"""If more run, the estimate begins anew, as while the profile is measured."""
FORGETTING_SECONDS = 1800.0
LONGEST_SECONDS = 5.0
"""Between two readings; longer ones, as after a suspend, are left out."""
SIGNIFICANT = 3.385
"""Quantile 0.999 of Student's t with 30 degrees of freedom ..."""
FEWEST_READINGS = 30.0
"""... of which there must be as many beyond the slopes: independent readings."""
SPREAD = 0.3
"""Standard deviation of a runtime's slopes, in parts of their mean. 1 / SPREAD < SIGNIFICANT."""
LEAST_SPREAD_W = 0.05
RESOLUTION_W = 0.01
"""Least noise to assume: sensors have steps."""


@dataclass(slots=True)
class Use:
    """Of a choice, since some time."""

    seconds: float = 0.0
    runs: int = 0


Uses: TypeAlias = Mapping[Choice, Use]


class Energy:
    """joules: of a result of each choice, where it is significant; replaced, never changed, so that
    any thread may read."""

    def __init__(self) -> None:
        self.joules: Mapping[Choice, float] = {}
        self._used: Uses = {}
        self._begin()

    def _begin(self) -> None:
        self._choices: list[Choice] = []
        self._seconds, self._runs = np.zeros((2, MOST_CHOICES))
        # Sums over readings of products: of two shares, the last of which is 1, that of the rest;
        # of a share and the power; of the power and itself; of residuals.
        self._products = np.zeros((MOST_CHOICES + 1, MOST_CHOICES + 1))
        self._with_power = np.zeros(MOST_CHOICES + 1)
        self._power_squared = self._residual_squared = self._residual_lagged = 0.0
        self._slopes = np.zeros(MOST_CHOICES + 1)
        self._residual = 0.0

    def of(self, choice: Choice) -> float | None:
        """Joules of a result; None if they are not known."""
        return self.joules.get(choice)

    def observe(self, seconds: float, watts: float | None, used: Uses) -> None:
        """A reading, `seconds` after the one before. used: of each choice, since its
        networks were loaded. watts: of the whole device; None without a reading."""
        before, self._used = self._used, used
        if watts is None or not 0 < seconds <= LONGEST_SECONDS:
            self._residual = 0.0
            return
        decay = math.exp(-seconds / FORGETTING_SECONDS)
        self._seconds *= decay
        self._runs *= decay
        shares = self._shares(seconds, before, used)
        residual = watts - float(shares @ self._slopes)
        if self._products[-1, -1] < FEWEST_READINGS:  # the slopes are not yet known
            residual = 0.0
        self._residual_squared = decay * self._residual_squared + residual**2
        self._residual_lagged = decay * self._residual_lagged + residual * self._residual
        self._residual = residual
        self._products = decay * self._products + np.outer(shares, shares)
        self._with_power = decay * self._with_power + watts * shares
        self._power_squared = decay * self._power_squared + watts**2
        self._estimate()

    def _shares(self, seconds: float, before: Uses, used: Uses) -> NDArray[np.float64]:
        """Of the time that each choice ran, and 1 for the rest; counts its runs."""
        new = {choice: use for choice, use in used.items() if use != before.get(choice)}
        if len({*self._choices, *new}) > MOST_CHOICES:
            self._begin()
            new = dict(list(new.items())[:MOST_CHOICES])
        self._choices += [choice for choice in new if choice not in self._choices]
        shares = np.zeros(MOST_CHOICES + 1)
        shares[-1] = 1.0
        for choice, use in new.items():
            old, at = before.get(choice, Use()), self._choices.index(choice)
            if use.runs < old.runs:  # the networks were loaded anew, and counted from 0
                old = Use()
            self._seconds[at] += use.seconds - old.seconds
            self._runs[at] += use.runs - old.runs
            shares[at] = (use.seconds - old.seconds) / seconds
        return shares

    def _estimate(self) -> None:
        count = len(self._choices)
        at = [*range(count), MOST_CHOICES]
        products, with_power = self._products[np.ix_(at, at)], self._with_power[at]
        readings = self._products[-1, -1]
        lag = max(0.0, self._residual_lagged / max(self._residual_squared, 1e-12))
        independent = readings * (1 - lag) / (1 + lag)
        slopes = self._slopes[at]
        squares = self._power_squared - 2 * slopes @ with_power + slopes @ products @ slopes
        variance = max(squares / readings, RESOLUTION_W**2) * readings / max(independent, 1.0)
        # The little added keeps the matrix invertible; what is not determined gets a huge error.
        precision = products / variance + self._prior(slopes) + 1e-9 * np.eye(len(at))
        covariance = np.linalg.inv(precision)
        self._slopes[at] = slopes = covariance @ with_power / variance
        errors = np.sqrt(covariance.diagonal().clip(0))
        known = independent - len(at) >= FEWEST_READINGS
        self.joules = {
            choice: float(slopes[n] * self._seconds[n] / self._runs[n])
            for n, choice in enumerate(self._choices)
            if known and slopes[n] > SIGNIFICANT * errors[n]
        }

    def _prior(self, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its precision: of the slopes' distance from the mean of their runtime, per thread."""
        prior = np.zeros((len(slopes), len(slopes)))
        for runtime in {choice.runtime for choice in self._choices}:
            own = [n for n, choice in enumerate(self._choices) if choice.runtime == runtime]
            threads = np.array([self._choices[n].threads for n in own])
            spread_w = max(LEAST_SPREAD_W, SPREAD * float((slopes[own] / threads).mean()))
            distance = (np.eye(len(own)) - 1 / len(own)) / threads
            prior[np.ix_(own, own)] = distance.T @ distance / spread_w**2
        return prior

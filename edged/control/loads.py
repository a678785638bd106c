"""Distributions of a run's time, given the kind of load and the undisturbed time.

A busy device does two things to a run that needs `work` milliseconds of computing: it *stretches*
all of it (clocks, caches, memory), which the caller handles, and it *interrupts* it: the scheduler
gives the core to another process for some milliseconds. Each load below is one pattern of
interruptions. The distributions are tables over logarithmic grids of time, computed once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

STEP = 0.08
"""Grid of log(milliseconds): 8 %, well below the 20 to 40 % between neighbours on the ladder."""
SHORTEST_MS, LONGEST_MS = 0.05, 4000.0
MOST_INTERRUPTIONS = 24
"""Above this, their number is treated as normally distributed."""
INTERRUPTION_SPREAD = 0.2
"""Standard deviation of an interruption's length, in parts of it."""
ODD, ODD_SPREAD = 0.005, 0.4
"""Share of runs that fit no load: exponential in log(time), both ways, with this scale. Without it,
one outlier would count as proof of the load that explains it least badly."""


@dataclass(frozen=True, slots=True)
class Load:
    """spread: standard deviation of log(time) between runs that are not interrupted.

    interruptions_per_ms: of running, after the first grace_ms of it; pause_ms: length of each.
    regularity: 0 when interruptions are independent of each other (Poisson), 1 when they come
    after every so many milliseconds of running, as between processes that take turns on a core.
    """

    spread: float
    interruptions_per_ms: float
    pause_ms: float
    regularity: float = 0.0
    grace_ms: float = 0.0

    def interruptions(self, work_ms: NDArray[np.float64], threads: int) -> NDArray[np.float64]:
        """Expected number of them. Each thread can be interrupted, and the others wait for it."""
        return threads * self.interruptions_per_ms * np.maximum(work_ms - self.grace_ms, 0.0)


# Measured beside processes that compute without a pause (tests/benchmarks/traces): where each has
# a core of its own, one run in fifty is interrupted; where they share it, they take it for 4 ms, a
# tick of a kernel with CONFIG_HZ=250, again and again: the run of 1.3 ms is interrupted with chance
# 0.09, that of 2.5 ms with 0.24 and that of 6 ms with 0.72.
_LOADS = (
    ((0.04, 0.1, 0.2), ((0.001, 5.0), (0.02, 4.5))),
    ((0.05, 0.15), ((0.08, 4.5), (0.2, 4.0, 0.7, 0.7))),
)
LOADS = tuple(
    Load(spread, *kind) for spreads, kinds in _LOADS for spread in spreads for kind in kinds
)


def grid_position(time_ms: float) -> float:
    """Where a time lies on the grid; whole numbers are its points."""
    return (math.log(time_ms) - _ORIGIN) / STEP


_ORIGIN = math.log(SHORTEST_MS)
POINTS = int(grid_position(LONGEST_MS)) + 1


@cache
def duration_table(threads: int) -> NDArray[np.float32]:
    """P(run takes at most t | work, load), shape (POINTS of t, POINTS of work * loads)."""
    grid_ms = SHORTEST_MS * np.exp(STEP * np.arange(POINTS))
    table = np.empty((POINTS, POINTS, len(LOADS)), np.float32)
    log_ratio = STEP * (np.arange(POINTS)[:, None] - np.arange(POINTS)[None, :])
    half = 0.5 * np.exp(-np.abs(log_ratio) / ODD_SPREAD)
    odd = np.where(log_ratio < 0, half, 1 - half)
    for index, load in enumerate(LOADS):
        usual = _duration(grid_ms, load, load.interruptions(grid_ms, threads))
        table[:, :, index] = (1 - ODD) * usual + ODD * odd
    return table.reshape(POINTS, -1)


def _duration(
    grid_ms: NDArray[np.float64], load: Load, expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """P(t | work) for one load, shape (t, work). expected: interruptions, for each work."""
    time_ms, work_ms = grid_ms[:, None], grid_ms[None, :]
    spread = math.hypot(load.spread, STEP / 4)  # not narrower than the grid can show
    table = np.zeros((len(grid_ms), len(grid_ms)))
    poisson = np.exp(-expected)
    for number in range(MOST_INTERRUPTIONS + 1):
        regular = np.clip(1 - np.abs(expected - number), 0, 1)
        weight = load.regularity * regular + (1 - load.regularity) * poisson
        poisson = poisson * expected / (number + 1)
        columns = (weight > 1e-5) & (expected <= MOST_INTERRUPTIONS / 2)
        if not columns.any():
            continue
        work = work_ms[:, columns]
        if number == 0:
            chance = _normal_cdf(np.log(time_ms / work) / spread)
        else:
            deviation = np.hypot(
                spread * work, math.sqrt(number) * INTERRUPTION_SPREAD * load.pause_ms
            )
            chance = _normal_cdf((time_ms - work - number * load.pause_ms) / deviation)
        table[:, columns] += weight[columns] * chance
    many = expected > MOST_INTERRUPTIONS / 2
    if many.any():
        work = work_ms[:, many]
        mean = work + expected[many] * load.pause_ms
        dispersion = (1 - load.regularity) + INTERRUPTION_SPREAD**2
        deviation = np.hypot(spread * work, load.pause_ms * np.sqrt(expected[many] * dispersion))
        table[:, many] = _normal_cdf((time_ms - mean) / deviation)
    return table


def _normal_cdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: within 2e-7."""
    x = np.abs(z) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    tail = 0.5 * series * np.exp(-x * x)
    return np.where(z < 0, tail, 1 - tail)

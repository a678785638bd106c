"""How much slower than its profile the device is now, learnt from the runs that happen anyway.

One factor is shared by all variants (observed / profiled, the xi of ALERT, arXiv 1911.00119), so
that variants which are not running need no probing; what a variant's own runs keep saying beyond it
corrects it for that variant. But a busy neighbour does not only stretch
runs, it interrupts some of them, the likelier the longer they are. So what is estimated is two
things at once: the level (how far every run is stretched) and the kind of load (how runs scatter
and are interrupted, loads.py). It is the forward filter of a hidden Markov model: a probability
for each pair of level and load, moved a little with every run, and, with a small chance,
anywhere. One slow run is then most likely an interruption; several are a change of regime; and a
calmer device is believed as soon as a few runs show it.

Knows no clock, no budget and no camera: the same observations give the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edged.control.loads import LOADS, POINTS, SHORTEST_MS, STEP, duration_table, grid_position
from edged.control.profile import Candidate
from edged.errors import InputError

LOWEST, HIGHEST = 0.4, 16.0
"""Levels considered. Below 1: the profile was measured on a disturbed device."""
CHANGE = 0.005
"""Chance per run that everything is different: a change of regime every few seconds of a camera."""
DRIFT = 0.01
"""Chance per run that the level moves one step up, and down: clocks that follow the heat."""
OTHER_LOAD = 0.005
"""Chance per run that the load is of another kind while the level stays."""
RARITY = 500.0
"""Before any run, loads that interrupt a run of one millisecond with chance p are taken to be
1 + 500 p times as rare as those that never do ..."""
ACQUAINTANCE = 0.002
"""... and then as frequent as they were in the last few hundred runs, this share of which is the
latest one: a device with busy neighbours learns to expect them, another not to be alarmed."""
UNKNOWN = 0.1
"""So much of the expectation stays with the loads that have not been met."""
CORRECTION_GAIN = 0.02
"""How much of what a run says beyond the shared level is believed of its variant alone."""
CORRECTION_DECAY = 0.001
"""Per run: what no run confirms is forgotten."""
MOST_CORRECTED = 0.25
"""In log, both ways; a run further off the level was interrupted, and says nothing of it."""
FIRST_SPREAD = 0.08
"""Before any run, how far (in log) the level may lie from 1."""

_LEVELS = int(math.log(HIGHEST / LOWEST) / STEP) + 1
_SIZE = _LEVELS * len(LOADS)
_NEGLIGIBLE = np.float32(1.6e-4)
_IMPOSSIBLE = np.float32(1e-7)
"""No likelihood is below, so that no run, however absurd, leaves nothing to believe in."""
_PLACES_KEPT = 256


@dataclass(slots=True)
class _Place:
    """Where a candidate's levels lie in the table of its thread count.

    correction: what its runs take in parts of what the shared level says.
    """

    name: str
    table: NDArray[np.float32]
    columns: slice
    offset: float
    correction: float


def _level_moves() -> NDArray[np.float32]:
    moves = np.eye(_LEVELS) * (1 - 2 * DRIFT)
    moves += DRIFT * (np.eye(_LEVELS, k=1) + np.eye(_LEVELS, k=-1))
    moves[0, 0] += DRIFT
    moves[-1, -1] += DRIFT
    return (moves * (1 - CHANGE)).astype(np.float32)


_LOG_LEVELS = math.log(LOWEST) + STEP * np.arange(_LEVELS)
# Where a new regime may lie: levels far above 1 are met less often, far below 1 rarely.
_LEVEL_SHARES = np.where(_LOG_LEVELS < -0.2, 0.15, np.exp(-0.7 * np.maximum(_LOG_LEVELS, 0)))
_CHANGES = (CHANGE * _LEVEL_SHARES / _LEVEL_SHARES.sum()).astype(np.float32)
_LEVEL_MOVES = _level_moves()
_LOAD_SHARES = np.array(
    [1 / (1 + RARITY * load.interruptions_per_ms) for load in LOADS], np.float32
)
_LOAD_SHARES /= _LOAD_SHARES.sum()
_UNKNOWN_SHARES = ACQUAINTANCE * UNKNOWN * _LOAD_SHARES
_FIRST_LEVELS = np.exp(-0.5 * (_LOG_LEVELS / FIRST_SPREAD) ** 2)
_START = np.outer(_FIRST_LEVELS / _FIRST_LEVELS.sum(), _LOAD_SHARES).ravel().astype(np.float32)
_PAUSED = np.array([1 + load.interruptions_per_ms * load.pause_ms for load in LOADS])
_LOG_STRETCH = np.add.outer(_LOG_LEVELS, np.log(_PAUSED)).ravel().astype(np.float32)
_ALL_LEVELS, _ALL_LOADS = np.ones(_LEVELS, np.float32), np.ones(len(LOADS), np.float32)


class Slowdown:
    """The state of one backend's estimate. `observe` a run, ask the `chance` of another."""

    __slots__ = (
        "_corrections",
        "_expected",
        "_floor",
        "_level",
        "_places",
        "_weights",
        "ratio",
    )

    def __init__(self, threads: Sequence[int] = (1,)) -> None:
        for count in threads:
            duration_table(count)  # made now rather than on a frame
        self._places: dict[tuple[float, int], _Place] = {}
        self._corrections: dict[str, float] = {}
        """In log, by candidate."""
        self._weights = _START
        self._expected = _LOAD_SHARES
        """What share each load has among those that a change may bring."""
        self._conclude()

    @classmethod
    def from_state(cls, state: Mapping[str, object], threads: Sequence[int] = (1,)) -> Slowdown:
        """What `state` was taken from, exactly. Raises InputError for anything else."""
        slowdown = cls(threads)
        slowdown._weights = _numbers(state, "weights", _SIZE)
        slowdown._expected = _numbers(state, "expected", len(LOADS))
        slowdown._corrections = _corrections(state)
        slowdown._conclude()
        return slowdown

    def state(self) -> dict[str, object]:
        """Everything that answers depend on, for JSON."""
        return {
            "weights": self._weights.tolist(),
            "expected": self._expected.tolist(),
            "corrections": dict(self._corrections),
        }

    def observe(self, candidate: Candidate, service_ms: float) -> None:
        """Learn from one run of `candidate` that took `service_ms`."""
        place = self._place(candidate)
        service_ms = max(service_ms, SHORTEST_MS) / place.correction
        self._correct(place, math.log(service_ms / candidate.p50_ms) - self._level)
        table, columns = place.table, place.columns
        position = min(max(grid_position(service_ms) + place.offset - 0.5, 0.0), POINTS - 3.0)
        row = int(position)
        share = position - row
        # The probability of the run's cell of the grid, between the two cells that it touches.
        differences = np.array((share - 1, 1 - 2 * share, share), np.float32)
        weights = differences @ table[row : row + 3, columns]
        np.maximum(weights, _IMPOSSIBLE, out=weights)
        weights *= self._weights
        self._move(weights.reshape(_LEVELS, len(LOADS)))

    def chance(self, candidate: Candidate, slack_ms: float) -> float:
        """Probability that a run of `candidate` begun now takes at most `slack_ms`."""
        place = self._place(candidate)
        slack_ms /= place.correction
        if slack_ms <= candidate.p50_ms * self._floor:
            return 0.0
        position = grid_position(slack_ms) + place.offset
        row = int(position)
        if row >= POINTS - 1:
            return 1.0
        below, above = (place.table[row : row + 2, place.columns] @ self._weights).tolist()
        return float(below + (position - row) * (above - below))

    def _correct(self, place: _Place, beyond: float) -> None:
        """beyond: by how much, in log, a run took longer than level and correction say."""
        if abs(beyond) > MOST_CORRECTED:
            return
        before = self._corrections.get(place.name, 0.0)
        correction = (before + CORRECTION_GAIN * beyond) * (1 - CORRECTION_DECAY)
        correction = max(-MOST_CORRECTED, min(MOST_CORRECTED, correction))
        self._corrections[place.name] = correction
        place.correction = math.exp(correction)

    def _place(self, candidate: Candidate) -> _Place:
        key = (candidate.p50_ms, candidate.threads)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= _PLACES_KEPT:
                self._places.clear()
            exact = grid_position(candidate.p50_ms * LOWEST)
            first = min(max(round(exact), 0), POINTS - _LEVELS)
            columns = slice(first * len(LOADS), first * len(LOADS) + _SIZE)
            # Shifting the rows by what the columns were rounded keeps time / work exact.
            table, name = duration_table(candidate.threads), candidate.name
            correction = math.exp(self._corrections.get(name, 0.0))
            place = _Place(name, table, columns, first - exact, correction)
            self._places[key] = place
        return place

    def _move(self, weights: NDArray[np.float32]) -> None:
        """From what is now to what the next run will meet; shape (levels, loads), sum not 1."""
        by_load = _ALL_LEVELS @ weights
        scale = 1 / float(by_load.dot(_ALL_LOADS))
        by_load *= ACQUAINTANCE * (1 - UNKNOWN) * scale
        by_load += _UNKNOWN_SHARES
        by_load += (1 - ACQUAINTANCE) * self._expected
        self._expected = by_load
        weights = _LEVEL_MOVES @ weights
        anew = weights @ _ALL_LOADS
        anew *= OTHER_LOAD * scale
        anew += _CHANGES
        weights *= (1 - OTHER_LOAD) * scale
        weights += anew[:, None] * self._expected
        self._weights = weights.ravel()
        self._conclude()

    def _conclude(self) -> None:
        self.ratio = math.exp(float(self._weights.dot(_LOG_STRETCH)))
        """Observed / profiled, as expected of the next run: 1 is an undisturbed device."""
        by_level = self._weights.reshape(_LEVELS, len(LOADS)) @ _ALL_LOADS
        self._level = float(by_level.dot(_LOG_LEVELS))
        level = int((by_level > _NEGLIGIBLE).argmax())
        self._floor = LOWEST * math.exp(STEP * (level - 1))


def _numbers(state: Mapping[str, object], key: str, count: int) -> NDArray[np.float32]:
    values = state.get(key)
    if not isinstance(values, list) or len(values) != count:
        raise InputError(
            "not the state of this version's slow-down estimate",
            where=key,
            got=f"{len(values)} values" if isinstance(values, list) else type(values).__name__,
        )
    if not all(isinstance(value, float) and 0 <= value <= 1 for value in values):
        raise InputError("not a list of probabilities", where=key)
    if abs(sum(values) - 1) > 0.01:
        raise InputError("probabilities that do not add up to 1", where=key, got=sum(values))
    return np.array(values, np.float32)


def _corrections(state: Mapping[str, object]) -> dict[str, float]:
    values = state.get("corrections")
    if not isinstance(values, dict) or not all(
        isinstance(value, float) and abs(value) <= MOST_CORRECTED for value in values.values()
    ):
        raise InputError("not the corrections of a slow-down estimate", where="corrections")
    return {str(name): value for name, value in values.items()}

"""How much slower than its profile the device is now, learnt from the runs on frames.

All variants share one factor (observed / profiled, the xi of ALERT, arXiv 1911.00119), so variants
that are not running need no probing; a small correction per variant follows its own runs. Other
load does not only stretch runs, it also interrupts some of them, longer runs more often. So two
things are estimated together: the level (how far every run is stretched) and the kind of load (how
runs scatter and are interrupted, loads.py). This is the forward filter of a hidden Markov model: a
probability for each pair of level and load, which each run moves a little and, with a small
chance, anywhere. One slow run is then most likely an interruption, several are a change of regime,
and a few fast runs suffice to show a calmer device.

It has no clock: the same observations give the same answers.
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
"""Range of levels. Below 1: the profile was measured on a disturbed device."""
CHANGE = 0.005
"""Chance per run of a change of regime: one every few seconds of a camera."""
DRIFT = 0.01
"""Chance per run that the level moves one step up, and down, as clocks follow the temperature."""
OTHER_LOAD = 0.005
"""Chance per run that the load is of another kind while the level stays."""
RARITY = 500.0
"""At first, loads that interrupt a run of one millisecond with chance p are assumed to be
1 + 500 p times as rare as those that never do ..."""
ACQUAINTANCE = 0.002
"""... later as frequent as in the last few hundred runs; this is the weight of the latest run."""
UNKNOWN = 0.1
"""Share of the expectation that stays with loads not yet observed."""
CORRECTION_GAIN = 0.02
"""Weight of a run's deviation from the shared level in its variant's correction."""
CORRECTION_DECAY = 0.001
"""Decay of a correction per run."""
MOST_CORRECTED = 0.25
"""In log, both ways; a run further from the level was interrupted and is not counted."""
FIRST_SPREAD = 0.08
"""Initial spread of the level around 1, in log."""

_LEVELS = int(math.log(HIGHEST / LOWEST) / STEP) + 1
_SIZE = _LEVELS * len(LOADS)
# Arrays, because NumPy takes twice as long to broadcast a number to so few.
_NEGLIGIBLE = np.full(_LEVELS, 1.6e-4, np.float32)
_IMPOSSIBLE = np.full(_SIZE, 1e-7, np.float32)
"""Least likelihood, so that no run, however odd, makes all weights zero."""
_PLACES_KEPT = 256


@dataclass(slots=True)
class _Place:
    """A candidate's levels in the table of its thread count.

    correction: its times relative to the shared level.
    """

    name: str
    table: NDArray[np.float32]
    columns: slice
    offset: float
    correction: float


_LOG_LEVELS = math.log(LOWEST) + STEP * np.arange(_LEVELS)
_LOAD_SHARES = np.array(
    [1 / (1 + RARITY * load.interruptions_per_ms) for load in LOADS], np.float32
)
_LOAD_SHARES /= _LOAD_SHARES.sum()
_UNKNOWN_SHARES = ACQUAINTANCE * UNKNOWN * _LOAD_SHARES
_PAUSED = np.array([1 + load.interruptions_per_ms * load.pause_ms for load in LOADS])
_LOG_STRETCH = np.add.outer(_LOG_LEVELS, np.log(_PAUSED)).ravel()
_LOGS = np.array((_LOG_STRETCH, np.repeat(_LOG_LEVELS, len(LOADS))), np.float32)
"""Of each pair's expected time and level."""
_ALL_LOADS, _ALL_PAIRS = np.ones(len(LOADS), np.float32), np.ones((_SIZE, 1), np.float32)


def _first_belief() -> NDArray[np.float32]:
    levels = np.exp(-0.5 * (_LOG_LEVELS / FIRST_SPREAD) ** 2)
    pairs = np.outer(levels / levels.sum(), _LOAD_SHARES)
    return np.vstack((pairs, _LOAD_SHARES)).astype(np.float32)


def _level_moves() -> NDArray[np.float32]:
    """(levels, levels + 1): from each level to each; last, to each after a change of regime: far
    above 1 less often, far below 1 rarely."""
    moves = np.eye(_LEVELS) * (1 - 2 * DRIFT)
    moves += DRIFT * (np.eye(_LEVELS, k=1) + np.eye(_LEVELS, k=-1))
    moves[0, 0] += DRIFT
    moves[-1, -1] += DRIFT
    changed = np.where(_LOG_LEVELS < -0.2, 0.15, np.exp(-0.7 * np.maximum(_LOG_LEVELS, 0)))
    changed *= CHANGE / changed.sum()
    return np.column_stack((moves * (1 - CHANGE), changed)).astype(np.float32)


_FIRST_BELIEF = _first_belief()
_ACQUAINTANCE = np.full(_LEVELS + 1, ACQUAINTANCE * (1 - UNKNOWN), np.float32)
_ACQUAINTANCE[-1] = 1 - ACQUAINTANCE
# A move multiplies by both of these; OTHER_LOAD is taken out of the second. The last row is for the
# loads that are expected.
_MOVES = np.vstack((OTHER_LOAD * _level_moves(), _ACQUAINTANCE)).astype(np.float32)
_SAME_LOAD = np.eye(len(LOADS), dtype=np.float32) * np.float32(1 / OTHER_LOAD - 1)


class Slowdown:
    """`observe` runs; `chance` tells how likely another is to be on time."""

    __slots__ = (
        "_belief",
        "_corrections",
        "_expected",
        "_floor",
        "_log_level",
        "_pairs",
        "_places",
        "_weights",
        "ratio",
    )

    def __init__(self, threads: Sequence[int] = (1,)) -> None:
        for count in threads:
            duration_table(count)  # computed now rather than during a frame
        self._places: dict[tuple[float, int, str], _Place] = {}
        self._corrections: dict[str, float] = {}
        """In log, by candidate: its name and, where it is known, its network."""
        self._believe(_FIRST_BELIEF)

    @classmethod
    def from_state(cls, state: Mapping[str, object], threads: Sequence[int] = (1,)) -> Slowdown:
        """Restore the exact state. Raises InputError if it is invalid."""
        slowdown = cls(threads)
        numbers = _numbers(state, "weights", _SIZE), _numbers(state, "expected", len(LOADS))
        slowdown._corrections = _corrections(state)
        slowdown._believe(np.concatenate(numbers).reshape(_FIRST_BELIEF.shape))
        return slowdown

    def state(self) -> dict[str, object]:
        """The whole state, for JSON."""
        return {
            "weights": self._weights.tolist(),
            "expected": self._expected.tolist(),
            "corrections": dict(self._corrections),
        }

    @property
    def level(self) -> float:
        """How far every run is stretched, apart from interruptions: observed / profiled time."""
        return math.exp(self._log_level)

    def observe(self, candidate: Candidate, service_ms: float) -> None:
        """Learn from one run of `candidate` that took `service_ms`."""
        place = self._place(candidate)
        service_ms = max(service_ms, SHORTEST_MS) / place.correction
        self._correct(place, math.log(service_ms / candidate.p50_ms) - self._log_level)
        table, columns = place.table, place.columns
        position = min(max(grid_position(service_ms) + place.offset - 0.5, 0.0), POINTS - 3.0)
        row = int(position)
        share = position - row
        # The probability of the run's cell of the grid, between the two cells that it touches.
        differences = np.array((share - 1, 1 - 2 * share, share), np.float32)
        likelihoods = differences.dot(table[row : row + 3, columns])
        self._weights *= np.maximum(likelihoods, _IMPOSSIBLE, out=likelihoods)
        self._weights /= self._weights.dot(_ALL_PAIRS)
        self._move()

    def chance(self, candidate: Candidate, slack_ms: float) -> float:
        """Probability that a run of `candidate` takes at most `slack_ms` now."""
        place = self._place(candidate)
        slack_ms /= place.correction
        share = slack_ms / candidate.p50_ms
        if share <= self.ratio and share <= self._least():
            return 0.0
        position = grid_position(slack_ms) + place.offset
        row = int(position)
        if row >= POINTS - 1:
            return 1.0
        below, above = place.table[row : row + 2, place.columns].dot(self._weights).tolist()
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
        key = (candidate.p50_ms, candidate.threads, candidate.network)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= _PLACES_KEPT:
                self._places.clear()
            exact = grid_position(candidate.p50_ms * LOWEST)
            first = min(max(round(exact), 0), POINTS - _LEVELS)
            columns = slice(first * len(LOADS), first * len(LOADS) + _SIZE)
            # Shifting the rows by what the columns were rounded keeps time / work exact.
            table = duration_table(candidate.threads)
            name = f"{candidate.name} {candidate.network}".rstrip()
            for other in [each for each, known in self._places.items() if known.name == name]:
                del self._places[other]  # of former figures: it is not corrected any more
            correction = math.exp(self._corrections.get(name, 0.0))
            place = _Place(name, table, columns, first - exact, correction)
            self._places[key] = place
        return place

    def _believe(self, belief: NDArray[np.float32]) -> None:
        """(levels + 1, loads): probability of each pair; last, of each load after a change."""
        self._belief = belief.copy()
        self._pairs, self._expected = self._belief[:-1], self._belief[-1]
        self._weights = self._pairs.reshape(-1)
        self._conclude()

    def _move(self) -> None:
        """Predict the belief for the next run."""
        moved = _MOVES.dot(self._belief)
        np.add(moved[-1], _UNKNOWN_SHARES, out=self._expected)
        moved[:-1].dot(_SAME_LOAD + self._expected, out=self._pairs)
        self._conclude()

    def _conclude(self) -> None:
        log_stretch, self._log_level = _LOGS.dot(self._weights).tolist()
        self.ratio = math.exp(log_stretch)
        """Expected observed / profiled time of the next run; 1: undisturbed device."""
        self._floor: float | None = None

    def _least(self) -> float:
        """Below `ratio`: a run is certainly not faster, observed / profiled. Computed only for runs
        that have little time."""
        if self._floor is None:
            by_level = self._pairs.dot(_ALL_LOADS)
            level = int((by_level > _NEGLIGIBLE).argmax())
            self._floor = LOWEST * math.exp(STEP * (level - 1))
        return self._floor


def _numbers(state: Mapping[str, object], key: str, count: int) -> NDArray[np.float32]:
    values = state.get(key)
    if not isinstance(values, list) or len(values) != count:
        raise InputError(
            "not a state of this version's slow-down estimate",
            where=key,
            got=f"{len(values)} values" if isinstance(values, list) else type(values).__name__,
        )
    if not all(isinstance(value, float) and 0 <= value <= 1 for value in values):
        raise InputError("not a list of probabilities", where=key)
    if abs(sum(values) - 1) > 0.01:
        raise InputError("probabilities must add up to 1", where=key, got=sum(values))
    return np.array(values, np.float32)


def _corrections(state: Mapping[str, object]) -> dict[str, float]:
    values = state.get("corrections")
    if not isinstance(values, dict) or not all(
        isinstance(value, float) and abs(value) <= MOST_CORRECTED for value in values.values()
    ):
        raise InputError("not the corrections of a slow-down estimate", where="corrections")
    return {str(name): value for name, value in values.items()}

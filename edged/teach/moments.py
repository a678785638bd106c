"""Which pictures are one piece of evidence: a moment.

Neighbouring pictures of a clip, or of a burst, tell the same thing. Taught apart, they would prove
each other right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Look = NDArray[np.uint8]
"""A picture of LOOK_SIDE pixels, RGB (LOOK_SIDE, LOOK_SIDE, 3)."""
Looks = NDArray[np.uint8]
"""Several, (n, LOOK_SIDE, LOOK_SIDE, 3)."""
LOOK_SIDE = 16
BURST_SECONDS = 30.0
"""Pictures at most this far apart are one moment."""

_MEAN = 1.8
_CELLS, _CELL = 8, 9
"""Alike: the mean difference is below _MEAN levels, and fewer than _CELLS pixels of a look differ
by _CELL; brightness alone is no difference.

On two clips: 75 % of the pairs of neighbouring pictures are alike; of 2,000 pairs from different
moments of things on a belt none. An empty scene is alike at any time.
"""


def look(pixels: NDArray[np.uint8]) -> Look:
    """Of an RGB picture (height, width, 3)."""
    import cv2  # 10 MB, and only what takes pictures needs it

    size = LOOK_SIDE, LOOK_SIDE
    found: Look = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return found


class _Levels:
    """Looks without their brightness, and their 4 x 4 means."""

    def __init__(self, looks: Looks) -> None:
        self._fine = looks.astype(np.float32)
        self._fine -= self._fine.mean((1, 2), keepdims=True)
        side = LOOK_SIDE // 4
        self._coarse = self._fine.reshape(-1, side, 4, side, 4, 3).mean((2, 4)).reshape(-1, 48)

    def alike(self, at: int) -> NDArray[np.int64]:
        """Which of those before number `at` are alike."""
        # The difference of means is at most the mean difference, and compares much quicker.
        distance = np.abs(self._coarse[:at] - self._coarse[at]).mean(1)
        near = np.flatnonzero(distance < _MEAN)
        apart = np.abs(self._fine[near] - self._fine[at])
        many = (apart.max(3) >= _CELL).sum((1, 2)) >= _CELLS
        found: NDArray[np.int64] = near[(apart.mean((1, 2, 3)) < _MEAN) & ~many]
        return found


def differs(one: Look, kept: Sequence[Look]) -> bool:
    """Whether a picture adds something to those kept of its moment."""
    return not len(_Levels(np.array([*kept, one], np.uint8)).alike(len(kept)))


@dataclass(frozen=True, slots=True)
class Shot:
    """What groups a picture: its look, and the time at which it was taken, if known. moment: the
    one that it belongs to already."""

    look: Look
    unix: float | None = None
    moment: str | None = None


def grouped(shots: Sequence[Shot], known: Sequence[Shot] = ()) -> list[int]:
    """A number for each shot; those of one moment have the same.

    Shots with a time belong together when one follows the other within BURST_SECONDS, others when
    they look alike. known: shots of existing moments; a shot that belongs to one of them has the
    index of one of its shots as -1 - index.
    """
    every = [*known, *shots]
    sets = _Sets(len(every))
    first: dict[str, int] = {}
    for index, each in enumerate(known):
        if each.moment is not None:
            sets.join(first.setdefault(each.moment, index), index)
    timed = [(each.unix, len(known) + at) for at, each in enumerate(shots) if each.unix is not None]
    for (before, one), (unix, other) in pairwise(sorted(timed)):
        if unix - before <= BURST_SECONDS:
            sets.join(one, other)
    begun = [(each.unix, index) for index, each in enumerate(known) if each.unix is not None]
    for unix, at in timed:
        near = min(((abs(unix - each), index) for each, index in begun), default=(np.inf, 0))
        if near[0] <= BURST_SECONDS:
            sets.join(near[1], at)
    if shots:
        levels = _Levels(np.array([each.look for each in every], np.uint8))
        for at, each in enumerate(shots, len(known)):
            if each.unix is None:
                for other in levels.alike(at).tolist():
                    sets.join(other, at)
    roots = [sets.root(index) for index in range(len(every))]
    standing = {root: index for index, root in enumerate(roots[: len(known)])}
    numbers: dict[int, int] = {}
    found = []
    for root in roots[len(known) :]:
        if root in standing:
            found.append(-1 - standing[root])
        else:
            found.append(numbers.setdefault(root, len(numbers)))
    return found


class _Sets:
    """Disjoint sets of the numbers below `count`."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, number: int) -> int:
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number

    def join(self, one: int, other: int) -> None:
        self._above[self.root(other)] = self.root(one)

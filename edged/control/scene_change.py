"""Whether a camera shows another scene: a test for change on its pictures.

Pictures are compared by the means of a few parts. One is novel in either of two ways:

- unlike: its distance from the nearest known picture is at least 4 levels, and 1.5 times the
  largest such distance of the last 32 pictures;
- alike: its distance from the picture before is below the smallest such distance of the last 32,
  which all differed by at least 6 levels. So a camera that moved stands still, before something it
  had not shown.

NOVEL of one kind in a row mean another scene. If pictures came in any order, each kind would happen
once in 58,905: 36 choose 4. Of pictures drawn at random the second did once in about 20,000.

Pure: no clock; memory for a hundred small pictures.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOVEL = 4
_JUDGED, _FEWEST = 32, 16
"""Pictures that one is judged by."""
_FURTHER, _LEVELS = 1.5, 4.0
"""Unlike is this many times as far, and so many of 256 levels. Where pictures differ by less than
the product of both, none are alike."""
_NEARER = 0.9
"""Pictures that are alike, but too few for another scene, lower what alike is by so much at most:
much lower, and the next ones would not be noticed; not at all, and false alarms are 20 times as
frequent."""
_KEPT = 64

Levels = bytes
"""Of a picture: means of its parts, one byte each."""


class _Seen(NamedTuple):
    """apart, step: mean difference from the nearest one, and from the one before, in levels."""

    picture: NDArray[np.int16]
    apart: float
    step: float


class SceneChange:
    """Remembers the pictures of one scene."""

    def __init__(self) -> None:
        self._pictures: list[NDArray[np.int16]] = []
        self._before: _Seen | None = None
        self._judges: deque[_Seen] = deque(maxlen=_JUDGED)
        self._novel: list[_Seen] = []
        """The last pictures if they are another scene's."""
        self._alike = False
        """Which of the two kinds they are."""

    def see(self, levels: Levels) -> int:
        """How many of the last pictures, this one included, are novel. levels: as many as in every
        other call."""
        picture = np.frombuffer(levels, np.uint8).astype(np.int16)
        before = self._before
        if before is None:
            self._pictures, self._before = [picture], _Seen(picture, 0.0, 0.0)
            return 0
        apart = np.abs(np.stack(self._pictures) - picture).mean(axis=1)
        nearest, step = int(apart.argmin()), np.abs(before.picture - picture).mean()
        seen = self._before = _Seen(picture, float(apart[nearest]), float(step))
        furthest, least = math.inf, 0.0
        if len(self._judges) >= _FEWEST:
            furthest = max(_LEVELS, _FURTHER * max(each.apart for each in self._judges))
            least = min(each.step for each in self._judges)
        alike = seen.step < least and least >= _FURTHER * _LEVELS
        if not self._novel and before.apart < _LEVELS:
            alike = False  # it has stopped at what is known
        if alike or seen.apart > furthest:
            if alike != self._alike:
                self._alike = alike
                self._novel.clear()
            self._novel.append(seen)
            return len(self._novel)
        if seen.apart < _LEVELS:
            del self._pictures[nearest]  # the new one stands for it
        for each in (*self._novel, seen):  # a passer-by blinds no one
            bounded = min(each.apart, furthest), max(each.step, _NEARER * least)
            self._judges.append(_Seen(each.picture, *bounded))
            self._pictures.append(each.picture)
        self._novel.clear()
        del self._pictures[:-_KEPT]
        return 0

    def begin(self) -> None:
        """Another scene has begun: it has what was novel."""
        self._pictures = [each.picture for each in self._novel]
        self._novel.clear()
        self._judges.clear()
        if not self._pictures:
            self._before = None

"""The learning curve: how accurate heads are after fewer moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.teach.estimate import Evidence, raw_shares

_COUNTS = (1, 2, 4, 8, 16, 32, 64)
_CLOSEST = 0.75
"""A point has at most this share of the moments of the last one."""


class Split(NamedTuple):
    """taught: which pictures are, (n,). held_out: the fold that is not; None where nothing is."""

    taught: NDArray[np.bool_]
    held_out: int | None


@dataclass(frozen=True, slots=True)
class Point:
    """Balanced accuracy of the smallest network, mean over its resolutions, on moments that were
    not taught, after so many moments and pictures of all classes."""

    moments: int
    pictures: int
    top1: float


def smaller_splits(evidence: Evidence, folds: NDArray[np.intp]) -> list[Split]:
    """Those of the points before the last, 1, 2, 4 … moments a class: of each point one a fold."""
    most = max(evidence.moments_by_class()) * (1 - 1 / (folds.max() + 1))
    return [
        Split(_some_moments(evidence, folds != fold, count), fold)
        for count in _COUNTS
        if count <= most * _CLOSEST
        for fold in range(folds.max() + 1)
    ]


def point(evidence: Evidence, splits: Sequence[Split], scores: NDArray[Any]) -> Point:
    """splits: one a fold. scores: out of these folds, (n, resolutions, rows)."""
    taught = [split.taught for split in splits]
    moments = [len(set(evidence.moments[each])) for each in taught]
    pictures = [int(each.sum()) for each in taught]
    shares = raw_shares(evidence, scores)
    return Point(
        round(sum(moments) / len(splits)),
        round(sum(pictures) / len(splits)),
        sum(shares) / len(shares),
    )


def _some_moments(evidence: Evidence, kept: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """(n,): of the pictures kept, those of `count` moments of each class."""
    random = np.random.default_rng(0)
    chosen: list[int] = []
    for label in range(evidence.classes):
        own = np.unique(evidence.moments[kept & (evidence.labels == label)])
        chosen.extend(random.permutation(own)[:count].tolist())
    return np.asarray(kept & np.isin(evidence.moments, chosen))

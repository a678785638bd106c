"""How good taught heads are on moments that they were not taught: folds, intervals, shrinkage.

Neighbouring pictures are one piece of evidence: a moment lies in one fold as a whole, and what
counts for an interval is the number of moments. tests/benchmarks/teach.md has how far the estimates
are from the truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Key = tuple[str, int]
"""A network, by its sha256, and a resolution: one variant."""

FOLDS = 5
ENOUGH_MOMENTS = 3
"""Of a class, for an estimate that is not rough."""
_Z = 1.959964
"""Of a 95 % interval."""
_BORROWED = 100
"""Moments that the order of the variants on the backbone's own classes counts for."""
_STRENGTH = 0.3
"""How much of the differences on the backbone's own classes is expected on taught ones. At full
strength they are worse than none."""
_MOST_DOUBTS = 12


@dataclass(frozen=True, slots=True)
class Share:
    """Balanced accuracy, from 0 to 1, with the ends of its 95 % interval."""

    top1: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Accuracy on moments that were not taught.

    judged: False where a class has fewer than two moments; then there are no shares. rough: a class
    has fewer than three. moments: of all classes.
    """

    judged: bool
    rough: bool
    moments: int
    variants: Mapping[Key, Share] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Confusion:
    """counts[label][said]: pictures, mean over the variants. labels: the classes and, where it is
    taught, `none`, which is said but is no class of pictures."""

    labels: tuple[str, ...]
    counts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A picture that was answered badly while it was not taught. said: index into the classes, or
    their number for `none`. score: of its own label, mean over the variants."""

    picture: str
    label: int
    said: int
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Labelled pictures: the class and the moment of each, as indices (n,)."""

    labels: NDArray[np.intp]
    moments: NDArray[np.intp]
    classes: int

    def moments_by_class(self) -> list[int]:
        return [len(set(self.moments[self.labels == each])) for each in range(self.classes)]

    def weights(self, kept: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """(n,), with sum 1: classes count alike, in a class its moments, in a moment its pictures.
        Pictures not kept, 0."""
        taken = np.ones(len(self.labels), bool) if kept is None else kept
        sizes = np.bincount(self.moments, taken)
        first = np.unique(self.moments[taken], return_index=True)[1]
        moments = np.bincount(self.labels[taken][first], minlength=self.classes)
        weights = taken / (np.maximum(sizes, 1)[self.moments] * np.maximum(moments, 1)[self.labels])
        return np.asarray(weights / weights.sum())

    def folds(self) -> NDArray[np.intp]:
        """(n,): the fold of each picture, from 0. The moments of each class are spread evenly, so
        that every class is left in training wherever it has two."""
        random = np.random.default_rng(0)
        count = min(FOLDS, max(self.moments_by_class()))
        fold_of = np.zeros(self.moments.max() + 1, np.intp)
        for label in range(self.classes):
            own = random.permutation(np.unique(self.moments[self.labels == label]))
            fold_of[own] = (np.arange(len(own)) + label) % count
        return fold_of[self.moments]

    def judge(self) -> tuple[bool, bool]:
        """(judged, rough): see Estimate."""
        fewest = min(self.moments_by_class())
        return fewest >= 2, fewest < ENOUGH_MOMENTS


def estimate(
    evidence: Evidence, scores: NDArray[Any], variants: Sequence[Key], priors: Sequence[float]
) -> Estimate:
    """scores: out of fold, (n, variants, rows). priors: of each variant, its top-1 on the
    backbone's own classes."""
    judged, rough = evidence.judge()
    moments = len(set(evidence.moments))
    raw = raw_shares(evidence, scores)
    intervals = {
        key: Share(share, *_interval(evidence, share))
        for key, share in zip(variants, shrunken(raw, priors, moments), strict=True)
    }
    return Estimate(judged, rough, moments, intervals)


def _interval(evidence: Evidence, share: float) -> tuple[float, float]:
    """Wilson's, by moments. The upper end allows for what the head gains that is taught all moments
    over those that were taught all folds but one: errors fall at most as moments grow."""
    counts = evidence.moments_by_class()
    folds = min(FOLDS, max(counts))
    taught = sum(1 - 1 / min(each, folds) for each in counts) / len(counts)
    hopeful = 1 - (1 - share) * taught
    return wilson(share, sum(counts))[0], wilson(hopeful, sum(counts))[1]


def raw_shares(evidence: Evidence, scores: NDArray[Any]) -> list[float]:
    """Balanced accuracy of each variant, from scores (n, variants, rows)."""
    right = scores.argmax(axis=-1) == evidence.labels[:, None]
    return [float(each) for each in evidence.weights() @ right]


def shrunken(raw: Sequence[float], priors: Sequence[float], moments: int) -> list[float]:
    """The shares, drawn towards their mean as ordered by the priors: what few moments tell of the
    differences between variants is mostly noise."""
    level = _logit(sum(raw) / len(raw))
    order = [_logit(each) for each in priors]
    middle = sum(order) / len(order)
    expected = [_logistic(level + _STRENGTH * (each - middle)) for each in order]
    return [
        (moments * own + _BORROWED * share) / (moments + _BORROWED)
        for own, share in zip(raw, expected, strict=True)
    ]


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many independent trials."""
    spread = _Z * _Z / count
    middle = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(share * (1 - share) / count * _Z * _Z + spread * spread / 4) / (1 + spread)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def confusion(evidence: Evidence, scores: NDArray[Any], labels: Sequence[str]) -> Confusion:
    """scores: out of fold, (n, variants, rows); labels: of the rows."""
    said = np.eye(scores.shape[-1])[scores.argmax(axis=-1)].mean(axis=1)
    counts = (said[evidence.labels == each].sum(axis=0) for each in range(evidence.classes))
    return Confusion(
        tuple(labels), tuple(tuple(round(float(each), 2) for each in row) for row in counts)
    )


def doubts(evidence: Evidence, scores: NDArray[Any], pictures: Sequence[str]) -> tuple[Doubt, ...]:
    """The pictures with the lowest scores of their own label, of those answered wrongly or below
    a half, worst first."""
    mean = scores.mean(axis=1)
    own = mean[np.arange(len(mean)), evidence.labels]
    said = mean.argmax(axis=1)
    found = []
    for index in np.argsort(own, kind="stable")[:_MOST_DOUBTS]:
        label = int(evidence.labels[index])
        if said[index] != label or own[index] < 0.5:
            found.append(Doubt(pictures[index], label, int(said[index]), float(own[index])))
    return tuple(found)


def _logit(share: float) -> float:
    bounded = min(0.999, max(0.001, share))
    return math.log(bounded / (1 - bounded))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))

"""Suggests thresholds for events, from scores of moments that were not taught."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.teach.estimate import Evidence

SCENES_PER_DAY = 24 * 60
"""A new scene each minute: what expected false starts are stated for."""
_CANDIDATES = tuple(round(0.3 + step * 0.05, 2) for step in range(14))
_FALSE_COST = 20
"""A false start counts as much as so many missed ones: scenes without the class are the rule."""
_MOST_MISSED = 0.3
"""Beyond this share of missed starts, false ones are accepted instead."""
_LEAST_WIDTH = 0.5
"""Of the kernel that smooths scores, in logits."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """For an event of a class: `above`, and the false starts that are expected a day if a new scene
    comes each minute."""

    above: float
    false_starts_per_day: float


def thresholds(
    evidence: Evidence, scores: NDArray[Any], strangers: NDArray[Any], classes: Sequence[str]
) -> dict[str, Threshold]:
    """By class. scores: out of fold, (n, variants, rows). strangers: those of the pictures of
    `none`, (pictures, variants, rows), maybe none.

    Any variant may run: a moment starts an event falsely if one of them scores high enough, and is
    missed as often as variants score too low.
    """
    order = np.unique(evidence.moments)
    first = np.searchsorted(np.sort(evidence.moments), order)
    sorting = np.argsort(evidence.moments, kind="stable")
    sums = np.add.reduceat(scores[sorting], first)
    sizes = np.bincount(evidence.moments)[order]
    by_moment = sums / sizes[:, None, None]
    labels = evidence.labels[sorting][first]
    found = {}
    for index, name in enumerate(classes):
        own, others = by_moment[labels == index, :, index], by_moment[labels != index, :, index]
        false = [others.max(axis=1)]
        if len(strangers):
            false.append(strangers[:, :, index].max(axis=1))
        found[name] = _best(own.ravel(), false)
    return found


def _best(own: NDArray[Any], false: Sequence[NDArray[Any]]) -> Threshold:
    """own: scores that should pass. false: groups of scores that should not, which count alike."""
    costs: list[tuple[float, float, float]] = []
    for above in _CANDIDATES:
        missed = 1 - _passing(own, above)
        starts = sum(_passing(each, above) for each in false) / len(false)
        if not costs or missed <= _MOST_MISSED:
            costs.append((missed + _FALSE_COST * starts, above, starts))
    _, above, starts = min(costs)
    return Threshold(above, round(starts * SCENES_PER_DAY, 2))


def _passing(scores: NDArray[Any], above: float) -> float:
    """The share of scores above, smoothed: more is expected than was seen."""
    logits = _logits(scores)
    width = max(_LEAST_WIDTH, 1.06 * float(logits.std()) * len(logits) ** -0.2)
    distances = (logits - float(_logits(np.array([above]))[0])) / (width * math.sqrt(2))
    return sum((1 + math.erf(each)) / 2 for each in distances.tolist()) / len(distances)


def _logits(scores: NDArray[Any]) -> NDArray[np.float64]:
    bounded = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(bounded / (1 - bounded)))

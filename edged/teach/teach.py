"""What is taught from labelled pictures: a head for each network, and how good they are.

Pictures come as features: numbers that a backbone's network pools over the picture. NumPy only; no
files, no networks, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.teach.advice import advice
from edged.teach.curve import Point, Split, point, smaller_splits
from edged.teach.estimate import (
    Confusion,
    Doubt,
    Estimate,
    Evidence,
    Key,
    Share,
    confusion,
    doubts,
    estimate,
)
from edged.teach.fit import fit_heads, scores
from edged.teach.thresholds import Threshold, thresholds

__all__ = [
    "NONE",
    "Confusion",
    "Doubt",
    "Estimate",
    "Example",
    "Extractor",
    "Features",
    "Key",
    "Point",
    "Share",
    "Taught",
    "Threshold",
    "teach",
]

NONE = "none"
"""The class of everything else."""
_LIT_SHARE = 0.15
"""Of a picture's weight, what its lit copies have: half loses accuracy where colours tell."""
_NONE_SHARE = 1.0
"""How much `none` counts, in classes."""
Features = Callable[[str], NDArray[Any]]
"""Features by network, float16 or float32. Asked for one network at a time; the array is dropped
before the next is asked for."""


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled picture. label: index into the classes. moment: pictures taken together are one
    piece of evidence; a moment has one label."""

    picture: str
    label: int
    moment: str


@dataclass(frozen=True, slots=True)
class Extractor:
    """A network of the backbone. name: its sha256. priors: its top-1 in the backbone's own classes
    by resolution, or any order of accuracy; the resolutions in the order of the features."""

    name: str
    priors: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Taught:
    """heads: by network, float32 (rows, features + 1): a row for each class and, where `none` is
    taught, a last one for it; the last column is the bias. Confusion, worst, curve, thresholds (by
    class) and right are empty where nothing can be judged. advice: sentences, the most useful
    first. right: by picture, the share of the variants that knew it while it was not taught."""

    heads: Mapping[str, NDArray[np.float32]]
    estimate: Estimate
    confusion: Confusion
    worst: tuple[Doubt, ...]
    curve: tuple[Point, ...]
    thresholds: Mapping[str, Threshold]
    advice: tuple[str, ...]
    right: Mapping[str, float]


def teach(
    examples: Sequence[Example],
    classes: Sequence[str],
    networks: Sequence[Extractor],
    features: Features,
    none: Features | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Taught:
    """Teach a head to each network.

    features: by network, (examples, copies, resolutions, C); copy 0 is the picture as it was taken,
    the others are lit copies of it (light.py). none: by network, (pictures, resolutions, C).
    progress: called with the networks done and their number. The learning curve is that of the
    first network: name the smallest first.

    Raises InputError where fewer than two classes are named, a class has no picture, a label has
    no class, a moment has two labels, or features are not finite or have another shape.
    """
    evidence = _evidence(examples, classes)
    judged, _ = evidence.judge()
    folds = evidence.folds()
    splits = [Split(np.ones(len(folds), bool), None)]
    if judged:
        splits += [Split(folds != fold, fold) for fold in range(folds.max() + 1)]
    smaller = smaller_splits(evidence, folds) if judged else []
    heads: dict[str, NDArray[np.float32]] = {}
    own: list[NDArray[np.float32]] = []
    strange: list[NDArray[np.float32]] = []
    points: tuple[Point, ...] = ()
    for network in networks:
        lesson = _lesson(evidence, examples, network, folds, features, none)
        first = not heads
        fitted = lesson.fit([*splits, *smaller] if first else splits)
        heads[network.name] = fitted[0]
        if judged:
            held_out = fitted[1 : len(splits)]
            own.append(lesson.own(held_out))
            strange.append(lesson.strange(held_out))
            if first:
                points = _curve(lesson, smaller, fitted[len(splits) :], splits, own[0])
        del lesson  # before the next network's features come
        progress(len(heads), len(networks))
    if not judged:
        unknown = Estimate(False, True, len(set(evidence.moments)))
        told = advice(evidence, classes, unknown, Confusion((), ()), ())
        return Taught(heads, unknown, Confusion((), ()), (), (), {}, told, {})
    answers = np.concatenate(own, axis=1)
    variants = [(network.name, side) for network in networks for side in network.priors]
    priors = [prior for network in networks for prior in network.priors.values()]
    found = estimate(evidence, answers, variants, priors)
    right = (answers.argmax(axis=-1) == evidence.labels[:, None]).mean(axis=1)
    mixed = confusion(evidence, answers, (*classes, NONE)[: answers.shape[-1]])
    return Taught(
        heads,
        found,
        mixed,
        doubts(evidence, answers, [each.picture for each in examples]),
        points,
        thresholds(evidence, answers, np.concatenate(strange, axis=1), classes),
        advice(evidence, classes, found, mixed, points),
        {each.picture: float(share) for each, share in zip(examples, right, strict=True)},
    )


def _evidence(examples: Sequence[Example], classes: Sequence[str]) -> Evidence:
    if len(classes) < 2:
        raise InputError("expected at least two classes", got=", ".join(classes) or "none")
    label_of: dict[str, int] = {}
    for each in examples:
        if not 0 <= each.label < len(classes):
            raise InputError("a label without a class", where=each.picture, got=each.label)
        if label_of.setdefault(each.moment, each.label) != each.label:
            raise InputError(
                "a moment has two labels",
                where=each.moment,
                got=f"{classes[label_of[each.moment]]} and {classes[each.label]}",
                fix="give all its pictures one label, or split it into two moments",
            )
    present = {each.label for each in examples}
    absent = [name for label, name in enumerate(classes) if label not in present]
    if absent:
        raise InputError("a class has no picture", got=", ".join(absent), fix="add pictures of it")
    number_of = {moment: number for number, moment in enumerate(label_of)}
    labels = np.array([each.label for each in examples])
    moments = np.array([number_of[each.moment] for each in examples])
    return Evidence(labels, moments, len(classes))


class _Lesson(NamedTuple):
    """What one network is taught. shots: (n, copies, resolutions, C), whose folds are (n,).
    nothing: (pictures, resolutions, C), maybe without pictures."""

    evidence: Evidence
    shots: NDArray[Any]
    folds: NDArray[np.intp]
    nothing: NDArray[Any]

    def fit(self, splits: Sequence[Split]) -> NDArray[np.float32]:
        """(splits, rows, C + 1)."""
        count, copies, resolutions, columns = self.shots.shape
        each, classes = copies * resolutions, self.evidence.classes
        # Half the rows of `none`, each picture at every other resolution, serve as well as all.
        turns = np.add.outer(np.arange(len(self.nothing)), np.arange(resolutions))
        chosen = turns % min(2, resolutions) == 0
        none_folds = self.nothing_folds[np.nonzero(chosen)[0]]
        rows = np.concatenate([self.shots.reshape(-1, columns), self.nothing[chosen]])
        labels = np.append(np.repeat(self.evidence.labels, each), [classes] * chosen.sum())
        lit = _LIT_SHARE if copies > 1 else 0.0
        shares = np.full((copies, resolutions), lit / max(copies - 1, 1) / resolutions)
        shares[0] = (1 - lit) / resolutions
        weights = np.zeros((len(splits), len(rows)))
        for split, row in zip(splits, weights, strict=True):
            row[: count * each] = np.outer(self.evidence.weights(split.taught), shares).ravel()
            taught = none_folds != split.held_out
            row[count * each :] = taught * (_NONE_SHARE / classes / max(taught.sum(), 1))
        pictures = count + len(self.nothing)
        return fit_heads(rows, labels.astype(np.intp), weights, int(labels.max()) + 1, pictures)

    def own(self, heads: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of the pictures as they were taken, each by the head of its fold: (n,
        resolutions, rows)."""
        return _by_fold(heads, self.shots[:, 0], self.folds)

    def strange(self, heads: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same of the pictures of `none`."""
        return _by_fold(heads, self.nothing, self.nothing_folds)

    @property
    def nothing_folds(self) -> NDArray[np.intp]:
        return np.asarray(np.arange(len(self.nothing)) % (self.folds.max() + 1))


def _by_fold(
    heads: NDArray[np.float32], shots: NDArray[Any], folds: NDArray[np.intp]
) -> NDArray[np.float32]:
    found = np.zeros((*shots.shape[:2], heads.shape[1]), np.float32)
    for fold, head in enumerate(heads):
        found[folds == fold] = scores(head, shots[folds == fold])
    return found


def _lesson(
    evidence: Evidence,
    examples: Sequence[Example],
    network: Extractor,
    folds: NDArray[np.intp],
    features: Features,
    none: Features | None,
) -> _Lesson:
    shots = features(network.name)
    count, sides = len(examples), len(network.priors)
    if shots.ndim != 4 or (shots.shape[0], shots.shape[2]) != (count, sides) or not shots.size:
        raise InputError(
            f"expected features of shape ({count}, copies, {sides}, C)",
            where=network.name,
            got=shots.shape,
        )
    columns = shots.shape[3]
    nothing = np.zeros((0, sides, columns), np.float16) if none is None else none(network.name)
    if nothing.ndim != 3 or nothing.shape[1:] != (sides, columns):
        raise InputError(
            f"expected features of `none` of shape (pictures, {sides}, {columns})",
            where=network.name,
            got=nothing.shape,
        )
    for example, shot in zip(examples, shots, strict=True):
        if not np.isfinite(shot).all():
            raise InputError("features are not finite", where=example.picture)
    return _Lesson(evidence, shots, folds, nothing)


def _curve(
    lesson: _Lesson,
    smaller: Sequence[Split],
    heads: NDArray[np.float32],
    splits: Sequence[Split],
    full: NDArray[np.float32],
) -> tuple[Point, ...]:
    """heads: of the smaller splits, whose folds follow one another. full: scores of the last
    point, that of the splits."""
    per_point = len(splits) - 1
    found = []
    for first in range(0, len(smaller), per_point):
        part = slice(first, first + per_point)
        found.append(point(lesson.evidence, smaller[part], lesson.own(heads[part])))
    return (*found, point(lesson.evidence, splits[1:], full))

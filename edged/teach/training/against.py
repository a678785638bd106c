"""Compares what was just taught with the version that runs, on the moments that are new to both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.errors import EdgedError
from edged.teach.estimate import Evidence
from edged.teach.store import Classifier
from edged.teach.teach import Example, Taught
from edged.variants.family import Family
from edged.variants.taught import head_matrices


class Comparison(NamedTuple):
    """Balanced accuracy, mean of the variants. version: that which runs. moments: new to it; the
    new version was judged on them by heads that were not taught them."""

    version: int
    moments: int
    top1: float
    running: float

    def to_json(self) -> dict[str, object]:
        shares = {"top1": round(self.top1, 4), "running": round(self.running, 4)}
        return {"version": self.version, "moments": self.moments, **shares}


def compared(
    classifier: Classifier,
    examples: Sequence[Example],
    taught: Taught,
    networks: Collection[str],
    features: Callable[[str], NDArray[Any]],
) -> Comparison | None:
    """None where no version runs, or where it was taught all moments, on other networks, or other
    classes. networks: those that there are features of, by their sha256."""
    own = classifier.deployed
    if own is None or not taught.right:
        return None
    try:
        report, family = classifier.report(own.version), classifier.family(own.version)
    except EdgedError:  # it was deleted
        return None
    known = set(report.get("moment_ids", ()))
    new = np.array([each.moment not in known for each in examples])
    same = family.heads.keys() <= set(networks) and family.labels == classifier.settings.classes
    if not same or not new.any():
        return None
    evidence, numbers = _evidence(examples, len(family.labels))
    weights = evidence.weights(new)
    ours = np.array([taught.right[each.picture] for each in examples])
    theirs = _right(family, evidence.labels, new, features)
    moments = len(set(numbers[new].tolist()))
    return Comparison(own.version, moments, float(weights @ ours), float(weights @ theirs))


def _evidence(examples: Sequence[Example], classes: int) -> tuple[Evidence, NDArray[np.intp]]:
    number_of: dict[str, int] = {}
    moments = np.array([number_of.setdefault(each.moment, len(number_of)) for each in examples])
    labels = np.array([each.label for each in examples])
    return Evidence(labels, moments, classes), moments


def _right(
    family: Family,
    labels: NDArray[np.intp],
    new: NDArray[np.bool_],
    features: Callable[[str], NDArray[Any]],
) -> NDArray[np.float64]:
    """(n,): the share of the variants that know a picture, of the new ones; 0 of the others."""
    found = np.zeros(len(labels))
    heads = head_matrices(family) or {}
    for network, matrix in heads.items():
        shots = features(network)
        for index in np.flatnonzero(new):
            for shot in shots[index, 0].astype(np.float32):
                right = int(matrix.scores(shot).argmax()) == labels[index]
                found[index] += right / (shots.shape[2] * len(heads))
    return found

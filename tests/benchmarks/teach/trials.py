"""One trial: some pictures of a set are drawn and taught, and asked of what was held out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edged.teach import estimate
from edged.teach.fit import scores
from edged.teach.teach import Example, Extractor, Key, Taught, teach
from edged.variants.family import Family
from edged.variants.published import published_top1
from tests.benchmarks.teach.sets import Labelled, Set

ByNetwork = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A set with its features: by network, (pictures, resolutions, C), at the index of a name;
    `lit` the same of one or more lit copies, (pictures, copies, resolutions, C)."""

    set: Set
    index: Mapping[str, int]
    plain: ByNetwork
    lit_index: Mapping[str, int]
    lit: ByNetwork

    def shots(
        self, network: str, pictures: Sequence[Labelled], copies: int = 1
    ) -> NDArray[np.float16]:
        """(pictures, 1 + copies, resolutions, C)."""
        plain = self.plain[network][[self.index[each.name] for each in pictures]][:, None]
        if not copies:
            return plain
        lit = self.lit[network][[self.lit_index[each.name] for each in pictures], :copies]
        return np.concatenate([plain, lit], axis=1)


@dataclass(frozen=True, slots=True)
class Trial:
    """taught: with the raw shares of the variants, before shrinking."""

    taught: Taught
    raw: Mapping[Key, float]


def extractors(family: Family) -> list[Extractor]:
    return [
        Extractor(
            network.sha256, {each.resolution: published_top1(each) for each in network.variants()}
        )
        for network in family.networks
    ]


def drawn(pool: Sequence[Labelled], classes: int, count: int, seed: int) -> list[Labelled]:
    """So many pictures of each class, or all."""
    source = random.Random(seed)
    found = []
    for label in range(classes):
        own = [each for each in pool if each.label == label]
        found += source.sample(own, min(count, len(own)))
    return found


def drawn_moments(pool: Sequence[Labelled], classes: int, count: int, seed: int) -> list[Labelled]:
    """All pictures of so many moments of each class."""
    source = random.Random(seed)
    found = []
    for label in range(classes):
        moments = sorted({each.moment for each in pool if each.label == label})
        chosen = set(source.sample(moments, min(count, len(moments))))
        found += [each for each in pool if each.moment in chosen]
    return found


def trial(
    seen: Seen,
    family: Family,
    pictures: Sequence[Labelled],
    none: ByNetwork | None,
    copies: int = 1,
    classes: Sequence[str] | None = None,
) -> Trial:
    examples = [Example(each.name, each.label, each.moment) for each in pictures]
    found: dict[str, list[float]] = {}

    def kept(raw: Sequence[float], priors: Sequence[float], moments: int) -> list[float]:
        found["raw"] = list(raw)
        return shrunken(raw, priors, moments)

    shrunken = estimate.shrunken
    with mock.patch.object(estimate, "shrunken", kept):
        taught = teach(
            examples,
            classes or seen.set.classes,
            extractors(family),
            lambda network: seen.shots(network, pictures, copies),
            None if none is None else none.__getitem__,
        )
    raw = dict(zip(taught.estimate.variants, found.get("raw", ()), strict=True))
    return Trial(taught, raw)


def truth(
    heads: ByNetwork, family: Family, features: ByNetwork, labels: NDArray[np.intp], classes: int
) -> dict[Key, float]:
    """Balanced accuracy of each variant on held-out pictures."""
    found = {}
    for network in family.networks:
        said = scores(heads[network.sha256], features[network.sha256]).argmax(axis=-1)
        right = said == labels[:, None]
        shares = np.mean([right[labels == each].mean(axis=0) for each in range(classes)], axis=0)
        for side, share in zip(network.resolutions, shares, strict=True):
            found[network.sha256, side] = float(share)
    return found


def held_out(seen: Seen) -> tuple[dict[str, NDArray[Any]], NDArray[np.intp]]:
    """Features and labels of the test part."""
    places = [seen.index[each.name] for each in seen.set.test]
    labels = np.array([each.label for each in seen.set.test])
    return {network: rows[places] for network, rows in seen.plain.items()}, labels


def strangers_above(
    heads: ByNetwork, features: ByNetwork, classes: int, above: float = 0.6
) -> NDArray[np.float64]:
    """Of each variant, the share of strangers that a class scores above."""
    shares = [
        (scores(heads[network], rows)[..., :classes].max(axis=-1) > above).mean(axis=0)
        for network, rows in features.items()
    ]
    return np.concatenate(shares)

"""Measures a family's accuracy on labelled photos, and verifies its files."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError, InputErrors
from edged.variants.evaluation.photos import Photos
from edged.variants.family import Accuracy, Family, Network, write_family
from edged.variants.golden import check_golden
from edged.variants.manifest import checksum_problem
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import Backend, Runner, UnsupportedNetworkError
from edged.variants.taught import check_head, head_matrices
from edged.variants.variant import Variant

TOP = 5

log = logging.getLogger("edged")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Top-1 and top-5 accuracy as shares, with standard errors. top5 is None for families of at
    most five classes."""

    variant: Variant
    top1: float
    top5: float | None
    photos: int
    top1_standard_error: float
    top5_standard_error: float | None


def evaluate(
    family: Family,
    photos: Photos,
    variants: Sequence[Variant],
    backend: Backend,
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Evaluation]:
    """Run every variant on every photo, each decoded once.

    progress: called with the number of photos done. Photos that cannot be decoded are not counted
    and are in `photos.broken` afterwards. Networks that the backend does not support are left out
    if it supports others. A taught family sees a photo as a camera's picture, and an answer that it
    is none of the classes is wrong. Raises InputError if no photo can be decoded.
    """
    heads = head_matrices(family)
    picture = family.golden_picture()
    runners: dict[Network, Runner] = {}
    unsupported: list[InputError] = []
    for network in dict.fromkeys(family.network(variant) for variant in variants):
        try:
            runners[network] = backend.load(network, network.read(), threads)
        except UnsupportedNetworkError as error:
            log.info("left out: %s", error)
            unsupported.append(error)
            continue
        check_golden(runners[network], family, network, picture)
        if heads is not None:
            check_head(runners[network], family, network)
    if not runners:
        raise unsupported[0]
    variants = [each for each in dict.fromkeys(variants) if family.network(each) in runners]
    preprocess = {
        resolution: Preprocessor(family.input, resolution)
        for resolution in sorted({variant.resolution for variant in variants})
    }
    first = dict.fromkeys(variants, 0)
    among = dict.fromkeys(variants, 0)
    done = 0

    def scores_of(variant: Variant, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        network = family.network(variant)
        if heads is None:
            return runners[network].run(image)
        return heads[network.sha256].scores(runners[network].features(image))

    for photo in photos:
        images = {
            side: make.photo(photo.picture) if heads is None else make(photo.picture)
            for side, make in preprocess.items()
        }
        for variant in variants:
            scores = scores_of(variant, images[variant.resolution])
            place = rank(scores, photo.class_index)
            first[variant] += place == 0
            among[variant] += place < TOP
        done += 1
        progress(done)
    if not done:
        raise photos.broken[0] if len(photos.broken) == 1 else InputErrors(photos.broken)
    return [_evaluation(family, v, first[v], among[v], done) for v in variants]


def rank(scores: NDArray[np.float32], class_index: int) -> int:
    """The number of classes ranked before this one; ties go to the lower index, NaN ranks last."""
    score = scores[class_index]
    if np.isnan(score):
        return len(scores)
    ahead = np.count_nonzero(scores > score) + np.count_nonzero(scores[:class_index] == score)
    return int(ahead)


def standard_error(share: float, photos: int) -> float:
    """sqrt(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / photos)


def _evaluation(
    family: Family, variant: Variant, first: int, among: int, photos: int
) -> Evaluation:
    top1, top5 = first / photos, among / photos
    telling = len(family.labels) > TOP
    return Evaluation(
        variant,
        top1,
        top5 if telling else None,
        photos,
        standard_error(top1, photos),
        standard_error(top5, photos) if telling else None,
    )


def record_accuracy(family: Family, evaluations: Sequence[Evaluation], source: str) -> Family:
    """Write the accuracies, measured on `source`, into the manifest; returns the family."""
    found = {evaluation.variant: evaluation for evaluation in evaluations}
    networks = []
    for network in family.networks:
        accuracy = dict(network.accuracy)
        for variant in network.variants():
            if (measured := found.get(variant)) is not None:
                top5 = None if measured.top5 is None else round(measured.top5, 4)
                accuracy[variant.resolution] = Accuracy(
                    round(measured.top1, 4), top5, measured.photos, source
                )
        networks.append(replace(network, accuracy=accuracy))
    return write_family(replace(family, networks=tuple(networks)), {})


def verify(family: Family, backend: Backend) -> list[InputError]:
    """All problems of a loaded family.

    Checks the manifest against its checksum, the golden picture and each network against the
    manifest, and each network's scores for the golden picture; of a taught family also the heads,
    and its backbone's manifest. `load_family` checks the labels.
    """
    folders = dict.fromkeys((family.directory, family.base.directory))
    problems = [found for each in folders if (found := checksum_problem(each)) is not None]
    picture = None
    try:
        picture = family.golden_picture()
    except InputError as error:
        problems.append(error)
    checked = (_problem(family, network, backend, picture) for network in family.networks)
    return problems + [problem for problem in checked if problem is not None]


def _problem(
    family: Family, network: Network, backend: Backend, picture: NDArray[np.uint8] | None
) -> InputError | None:
    try:
        runner = backend.load(network, network.read(), 1)
        if picture is not None:
            check_golden(runner, family, network, picture)
        if family.backbone is not None:
            check_head(runner, family, network)
    except InputError as error:
        return error
    return None

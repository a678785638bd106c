"""Calibrates, measures and adds INT8 counterparts of a family's float networks.

One INT8 network serves all resolutions of its float network and is calibrated on all of them. The
calibration uses only the largest value: after ReLU6 it is nearly always 6, and percentiles or least
squared error made no significant difference on 1,963 photos.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.evaluation.evaluate import TOP, rank
from edged.variants.evaluation.photos import Photo, Photos
from edged.variants.family import Family, InputContract, write_family
from edged.variants.golden import with_golden
from edged.variants.int8.float_network import Probe, probe
from edged.variants.int8.qdq import runtime_form
from edged.variants.network import Accuracy, Network
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import Backend
from edged.variants.variant import Precision, Variant

MOST_LOSS_POINTS = 2.0
LEAST_PHOTOS = 10
_SAME_SHARE = 0.005
"""Rounding differs between processors, which changes the result of one photo in some hundreds."""
_SMALLEST = 1e-3
"""Lower bound of a calibrated value, for layers whose output is always 0."""

Progress = Callable[[], object]


def split(photos: Photos, count: int) -> tuple[Photos, Photos]:
    """`count` photos, evenly spread over the set, and the rest."""
    total = len(photos)
    count = min(count, total)
    taken = frozenset(number * total // count for number in range(count))
    return photos.part(taken), photos.part(frozenset(range(total)) - taken)


@dataclass(frozen=True, slots=True)
class Counterpart:
    """int8: the INT8 network, not yet in a family; model: the content of its file."""

    network: Network
    int8: Network
    model: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """An INT8 variant and its float counterpart on the same photos.

    loss_points: percentage points of top-1 by which INT8 is worse. Its standard error is that of
    the paired differences, which is far smaller than that of either share.
    """

    variant: Variant
    of_float: Accuracy
    of_int8: Accuracy
    loss_points: float
    loss_standard_error: float

    @property
    def loses_too_much(self) -> bool:
        return self.loss_points > MOST_LOSS_POINTS


def float_networks(family: Family, alphas: Iterable[float] | None) -> list[Network]:
    """The networks to quantise. Raises InputError if there is none, or none of a given alpha, and
    for a taught family."""
    family.check_own()
    found = [network for network in family.networks if network.precision is Precision.FLOAT]
    if not found:
        raise InputError("the family has no float networks to quantize", where=family.directory)
    known = sorted({network.alpha for network in found})
    for alpha in alphas or ():
        if alpha not in known:
            raise InputError(
                "the family has no float network of this alpha",
                where=family.directory,
                got=alpha,
                fix="it has " + ", ".join(map(str, known)),
            )
    return [network for network in found if alphas is None or network.alpha in alphas]


def make_counterparts(
    family: Family,
    networks: Sequence[Network],
    photos: Iterable[Photo],
    backend: Backend,
    threads: int = 1,
    progress: Progress = lambda: None,
) -> list[Counterpart]:
    """Calibrate the networks on the photos and quantise them; progress: called after each photo.

    Photos are preprocessed as a camera's pictures. Raises InputError for a damaged network and for
    fewer than LEAST_PHOTOS photos.
    """
    models = [network.read() for network in networks]
    probes = [_probe(network, model) for network, model in zip(networks, models, strict=True)]
    runners = [
        backend.load(network, each.model, threads)
        for network, each in zip(networks, probes, strict=True)
    ]
    largest = [np.full(len(each.names), _SMALLEST, np.float32) for each in probes]
    sums = [np.zeros(sum(each.channels.values())) for each in probes]
    preprocess = _preprocessors(family.input, networks)
    seen = 0
    for photo in photos:
        images = {side: make(photo.picture) for side, make in preprocess.items()}
        for index, (network, runner) in enumerate(zip(networks, runners, strict=True)):
            for side in network.resolutions:
                row = runner.run(images[side])
                count = len(largest[index])
                largest[index] = np.maximum(largest[index], row[:count])
                sums[index] += row[count:] / len(network.resolutions)
        seen += 1
        progress()
    if seen < LEAST_PHOTOS:
        raise _too_few("calibrate", seen)
    counterparts = []
    for index, (network, model) in enumerate(zip(networks, models, strict=True)):
        calibration = probes[index].calibration(largest[index])
        means = probes[index].means((sums[index] / seen).astype(np.float32))
        quantised = runtime_form(model, calibration, means)
        path = family.directory / f"{network.path.stem}_int8.onnx"
        int8 = Network.of(path, quantised, network.alpha, network.resolutions, Precision.INT8)
        counterparts.append(Counterpart(network, replace(int8, calibration=calibration), quantised))
    return counterparts


def compare(
    family: Family,
    counterparts: Sequence[Counterpart],
    photos: Iterable[Photo],
    backend: Backend,
    threads: int = 1,
    progress: Progress = lambda: None,
) -> list[Comparison]:
    """Run every INT8 network and its float network on every photo, preprocessed as in evaluation.

    The accuracies have an empty source. Raises InputError for fewer than LEAST_PHOTOS photos.
    """
    runners = {}
    for each in counterparts:
        for network, model in ((each.network, each.network.read()), (each.int8, each.model)):
            runner = backend.load(network, model, threads)
            runners.update(dict.fromkeys(network.variants(), runner))
    preprocess = _preprocessors(family.input, [each.network for each in counterparts])
    places: dict[Variant, list[int]] = {variant: [] for variant in runners}
    seen = 0
    for photo in photos:
        images = {side: make.photo(photo.picture) for side, make in preprocess.items()}
        for variant, runner in runners.items():
            scores = runner.run(images[variant.resolution])
            places[variant].append(rank(scores, photo.class_index))
        seen += 1
        progress()
    if seen < LEAST_PHOTOS:
        raise _too_few("measure", seen)
    has_top5 = len(family.labels) > TOP
    return [
        _comparison(
            variant,
            np.array(places[_float_of(variant)]),
            np.array(places[variant]),
            has_top5=has_top5,
        )
        for each in counterparts
        for variant in each.int8.variants()
    ]


def source_of(family: Family, measured: Sequence[Comparison], otherwise: str) -> str:
    """The name of the photos for the manifest: that of its float figures if those have the same
    number of photos and the same results, else `otherwise`."""
    sources = set()
    for each in measured:
        int8 = _float_of(each.variant)
        before = family.network(int8).accuracy.get(int8.resolution)
        same = (
            before is not None
            and before.photos == each.of_float.photos
            and abs(before.top1 - each.of_float.top1) <= _SAME_SHARE
        )
        sources.add(before.source if before is not None and same else otherwise)
    return sources.pop() if len(sources) == 1 else otherwise


def add_counterparts(
    family: Family,
    counterparts: Sequence[Counterpart],
    measured: Sequence[Comparison],
    kept: Collection[Variant],
    source: str,
    backend: Backend,
) -> Family:
    """Write the family with the INT8 variants `kept` instead of earlier ones of the same float
    networks, and return it.

    source: the name of the photos for the manifest. Also records the float variants' figures on
    these photos, so that both can be compared.
    """
    figures = {}
    for each in measured:
        figures[each.variant] = replace(each.of_int8, source=source)
        figures[_float_of(each.variant)] = replace(each.of_float, source=source)
    replaced = {variant for each in counterparts for variant in each.int8.variants()}
    networks = [
        _serving(network, figures, network.variants())
        for network in family.networks
        if replaced.isdisjoint(network.variants())
    ]
    networks += [_serving(each.int8, figures, kept) for each in counterparts]
    networks = sorted((each for each in networks if each.resolutions), key=Network.variants)
    family = replace(family, networks=tuple(networks))
    models = {each.int8.path.name: each.model for each in counterparts}
    family, golden = with_golden(family, models, backend)
    return write_family(family, models, golden)


def _probe(network: Network, model: bytes) -> Probe:
    try:
        return probe(model)
    except InputError as error:
        raise InputError(error.what, where=network.path, got=error.got, fix=error.fix) from None


def _serving(
    network: Network, figures: Mapping[Variant, Accuracy], variants: Collection[Variant]
) -> Network:
    """The network at the resolutions of these variants, with their measured accuracies."""
    sides = {each.resolution: each for each in network.variants() if each in variants}
    new = {side: figures[each] for side, each in sides.items() if each in figures}
    return replace(network, resolutions=tuple(sides), accuracy={**network.accuracy, **new})


def _comparison(
    variant: Variant, by_float: NDArray[np.int64], by_int8: NDArray[np.int64], *, has_top5: bool
) -> Comparison:
    """From the rank of each photo's class."""
    losses = (by_float == 0).astype(int) - (by_int8 == 0)
    return Comparison(
        variant,
        _accuracy(by_float, has_top5),
        _accuracy(by_int8, has_top5),
        100 * float(losses.mean()),
        100 * float(losses.std()) / len(losses) ** 0.5,
    )


def _accuracy(places: NDArray[np.int64], has_top5: bool) -> Accuracy:
    top5 = round(float((places < TOP).mean()), 4) if has_top5 else None
    return Accuracy(round(float((places == 0).mean()), 4), top5, len(places), "")


def _float_of(variant: Variant) -> Variant:
    return replace(variant, precision=Precision.FLOAT)


def _preprocessors(
    contract: InputContract, networks: Sequence[Network]
) -> Mapping[int, Preprocessor]:
    sides = sorted({side for network in networks for side in network.resolutions})
    return {side: Preprocessor(contract, side) for side in sides}


def _too_few(purpose: str, seen: int) -> InputError:
    return InputError(
        f"too few pictures to {purpose} with: use at least {LEAST_PHOTOS}, preferably hundreds",
        got=seen,
    )

"""The time of every variant on the undisturbed device, and the Pareto frontier of variants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from edged.variants.variant import Choice, Variant

MEASURED_RUNS = 15
CONFIRMED_RUNS = 3 * MEASURED_RUNS
"""After this many runs, over at least two starts, a timing is final: sessions that serve only
dominated variants are no longer created."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A sample of durations."""

    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, sample_ms: Iterable[float]) -> Spread:
        ordered = sorted(sample_ms)
        return cls(quantile(ordered, 0.5), quantile(ordered, 0.95))

    def faster(self, other: Spread) -> Spread:
        return Spread(min(self.p50_ms, other.p50_ms), min(self.p95_ms, other.p95_ms))


@dataclass(frozen=True, slots=True)
class Timing:
    """Measured times of a choice. service: preprocess + inference. runs: how many were measured."""

    service: Spread
    preprocess: Spread
    inference: Spread
    runs: int

    @classmethod
    def of(cls, runs_ms: Sequence[tuple[float, float]]) -> Timing:
        """runs_ms: preprocess and inference of each run."""
        return cls(
            Spread.of(sum(run) for run in runs_ms),
            Spread.of(preprocess for preprocess, _ in runs_ms),
            Spread.of(inference for _, inference in runs_ms),
            len(runs_ms),
        )

    def with_more(self, other: Timing) -> Timing:
        """Combine two; the faster figures stay, because a disturbance only makes runs slower."""
        return Timing(
            self.service.faster(other.service),
            self.preprocess.faster(other.preprocess),
            self.inference.faster(other.inference),
            self.runs + other.runs,
        )


Profile = Mapping[Choice, Timing]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A choice with its accuracy, and its service time on the undisturbed device.

    top1: the accuracy in use: that of the table, or what this view's evidence says (agreement.py).
    p50_ms, p95_ms: preprocess and inference. table_top1: share of held-out pictures classified
    correctly; top1 where it is not given. joules: of a result; 0 where that is not known.
    """

    variant: Variant
    threads: int
    top1: float
    p50_ms: float
    p95_ms: float
    runtime: str = "onnxruntime"
    network: str = ""
    table_top1: float = math.nan
    joules: float = 0.0
    choice: Choice = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if math.isnan(self.table_top1):
            object.__setattr__(self, "table_top1", self.top1)
        choice = Choice(self.variant, self.threads, self.runtime, self.network)
        object.__setattr__(self, "choice", choice)

    @property
    def name(self) -> str:
        return str(self.choice)

    @property
    def processor_ms(self) -> float:
        """Processor time of a run."""
        return self.p50_ms * self.threads


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value with at least `share` of the values at or below it."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # ceiling
    return ordered[max(0, min(len(ordered), rank) - 1)]


def timed(
    choice: Choice, top1: float, service: Spread, table_top1: float = math.nan, joules: float = 0.0
) -> Candidate:
    variant, threads, runtime, network = choice
    times = service.p50_ms, service.p95_ms
    return Candidate(variant, threads, top1, *times, runtime, network, table_top1, joules)


InUse = Mapping[Variant, float]
"""Accuracy before a view, of the variants of which it is not the table's."""


def candidates(
    profile: Profile,
    top1: Mapping[Choice, float],
    in_use: InUse = MappingProxyType({}),
    joules: Mapping[Choice, float] = MappingProxyType({}),
) -> list[Candidate]:
    """The choices of the profile whose accuracy is given by the table, top1."""
    return [
        timed(
            *(choice, in_use.get(choice.variant, top1[choice]), timing.service, top1[choice]),
            joules.get(choice, 0.0),
        )
        for choice, timing in profile.items()
        if choice in top1
    ]


def ladder(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The Pareto frontier, most accurate first.

    Medians decide between variants. Several threads never replace a single one: they are faster on
    an idle device, where the profile is measured, but beside other load a single thread has by far
    the better tail. Of several counts, each with the best p50 or p95 stays. Of several runtimes,
    the fastest stays.
    """
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.top1, c.p50_ms)):
        if not any(_dominates(other, candidate) for other in kept):
            kept.append(candidate)
    return tuple(kept)


def current(ladder: Sequence[Candidate], candidate: Candidate | None) -> Candidate | None:
    """The same choice as the candidate's in a ladder that may have other figures; None if it is not
    there."""
    if candidate is None or any(each is candidate for each in ladder):
        return candidate
    return next((each for each in ladder if each.choice == candidate.choice), None)


def frontiers(profile: Profile, top1s: Iterable[Mapping[Choice, float]]) -> frozenset[Choice]:
    """Choices that are on the frontier of one of the models, of which top1s has the accuracies."""
    return frozenset(each.choice for top1 in top1s for each in ladder(candidates(profile, top1)))


def dominated(profile: Profile, top1s: Sequence[Mapping[Choice, float]]) -> frozenset[Choice]:
    """Choices measured often enough to know that they are on no model's frontier."""
    frontier = frontiers(profile, top1s)
    return frozenset(
        choice
        for choice, timing in profile.items()
        if timing.runs >= CONFIRMED_RUNS
        and choice not in frontier
        and any(choice in top1 for top1 in top1s)
    )


def _dominates(other: Candidate, candidate: Candidate) -> bool:
    """Whether `other`, which is at least as accurate, is nowhere slower."""
    if other.threads > candidate.threads:
        tail_is_better = candidate.threads == 1 or candidate.p95_ms < other.p95_ms
        return other.p50_ms <= candidate.p50_ms and not tail_is_better
    return other.p50_ms <= candidate.p50_ms

"""What every variant costs on this device when nothing disturbs it, and which are worth having."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edged.variants.variant import Variant

MEASURED_RUNS = 15
CONFIRMED_RUNS = 3 * MEASURED_RUNS
"""So many runs, which take at least two starts of the daemon, are believed: a session that serves
only what is dominated then is not made again."""

Choice = tuple[Variant, int]
"""A variant and a thread count."""


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
    """What the profile knows of a choice. service: preprocess and inference. runs: behind it."""

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
        """The faster figures stay: a disturbance only ever makes a run slower."""
        return Timing(
            self.service.faster(other.service),
            self.preprocess.faster(other.preprocess),
            self.inference.faster(other.inference),
            self.runs + other.runs,
        )


Profile = Mapping[Choice, Timing]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant with a thread count, its accuracy, and its service time on an undisturbed device.

    top1: share of held-out pictures named right. p50_ms, p95_ms: preprocess and inference.
    """

    variant: Variant
    threads: int
    top1: float
    p50_ms: float
    p95_ms: float

    @property
    def name(self) -> str:
        return f"{self.variant.name} x{self.threads}"


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value with at least `share` of the values at or below it."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # ceiling
    return ordered[max(0, min(len(ordered), rank) - 1)]


def timed(variant: Variant, threads: int, top1: float, service_ms: Sequence[float]) -> Candidate:
    """The candidate whose profile is this sample of service times."""
    return Candidate(variant, threads, top1, quantile(service_ms, 0.5), quantile(service_ms, 0.95))


def candidates(profile: Profile, top1: Mapping[Variant, float]) -> list[Candidate]:
    """Of those variants of the profile whose accuracy is given."""
    return [
        Candidate(variant, threads, top1[variant], timing.service.p50_ms, timing.service.p95_ms)
        for (variant, threads), timing in profile.items()
        if variant in top1
    ]


def ladder(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The Pareto frontier, most accurate first: what is as slow and no better is never worth a run.

    Medians decide between variants. Several threads never drive out a single one: on an idle
    device, where the profile is measured, they are faster, but beside a busy neighbour a single
    one has by far the better tail. Of several, each count whose p50 or p95 is the best stays.
    """
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.top1, c.p50_ms)):
        if not any(_dominates(other, candidate) for other in kept):
            kept.append(candidate)
    return tuple(kept)


def dominated(profile: Profile, top1: Mapping[Variant, float]) -> frozenset[Choice]:
    """What has been measured often enough to know that it is never worth a run."""
    frontier = {(each.variant, each.threads) for each in ladder(candidates(profile, top1))}
    return frozenset(
        choice
        for choice, timing in profile.items()
        if timing.runs >= CONFIRMED_RUNS and choice not in frontier and choice[0] in top1
    )


def _dominates(other: Candidate, candidate: Candidate) -> bool:
    """`other` is at least as accurate (the caller's order sees to that) and nowhere slower."""
    if other.threads > candidate.threads:
        tail_is_better = candidate.threads == 1 or candidate.p95_ms < other.p95_ms
        return other.p50_ms <= candidate.p50_ms and not tail_is_better
    return other.p50_ms <= candidate.p50_ms

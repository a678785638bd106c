"""What every variant costs on this device when nothing disturbs it, and which are worth having.

Knows nothing of the present load (slowdown.py) nor of budgets (selector.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edged.variants.variant import Variant

MEASURED_RUNS = 15


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


def ladder(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The Pareto frontier, most accurate first: what is as slow and no better is never worth a run.

    Medians decide; the same variant with several thread counts keeps every count whose p50 or
    p95 is the best of them, since one thread has the better tail and several the better median.
    """
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.top1, c.p50_ms)):
        if not any(_dominates(other, candidate) for other in kept):
            kept.append(candidate)
    return tuple(kept)


def _dominates(other: Candidate, candidate: Candidate) -> bool:
    """`other` is at least as accurate (the caller's order sees to that) and nowhere slower."""
    if other.variant == candidate.variant:
        return other.p50_ms <= candidate.p50_ms and other.p95_ms <= candidate.p95_ms
    return other.p50_ms <= candidate.p50_ms

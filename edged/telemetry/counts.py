"""Counters and histograms of one view and of one sink."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from edged.control.selector import Reason
from edged.result import Result, Stages
from edged.sinks.sink import Sink
from edged.telemetry.histogram import Histogram
from edged.variants.variant import Variant

# One series per edge, stage and view: with 16 variants a view has less than 200 series. The
# budgets of the configuration are added to the first two.
LATENCY_EDGES_SECONDS = (
    *(0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0),
)
STAGE_EDGES_SECONDS = (
    *(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01),
    *(0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
)
DELIVERY_EDGES_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 20.0)


@dataclass(slots=True)
class ResultCounts:
    """One thread at a time may write, any may read."""

    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_EDGES_SECONDS))
    stages: Sequence[Histogram] = field(
        default_factory=lambda: [Histogram(STAGE_EDGES_SECONDS) for _ in Stages._fields]
    )
    by_variant: dict[str, int] = field(default_factory=dict)
    """Results, by its name."""
    results: int = 0
    misses: int = 0
    stale: int = 0
    shed: dict[str, int] = field(default_factory=lambda: {"temperature": 0, "power": 0})
    switches: dict[str, int] = field(default_factory=lambda: {reason.value: 0 for reason in Reason})

    def continued(self, budgets_ms: Iterable[float], variants: Iterable[Variant]) -> ResultCounts:
        """The same counts, with an edge at each budget, for these variants."""
        edges = {edge_seconds(budget_ms) for budget_ms in budgets_ms}
        return replace(
            self,
            latency=self.latency.with_edges(sorted({*LATENCY_EDGES_SECONDS, *edges})),
            stages=[
                stage.with_edges(sorted({*STAGE_EDGES_SECONDS, *edges})) for stage in self.stages
            ],
            by_variant={each.name: self.by_variant.get(each.name, 0) for each in variants},
        )

    def observe(self, result: Result) -> None:
        latency_ms, budget_ms = result.latency_ms, result.budget_ms
        self.results += 1
        self.misses += latency_ms > budget_ms
        self.latency.observe(latency_seconds(latency_ms, budget_ms))
        for stage, time_ms in zip(self.stages, result.stages, strict=True):
            stage.observe(time_ms / 1000)
        self.by_variant[result.variant.name] += 1


@lru_cache(maxsize=64)
def edge_seconds(budget_ms: float) -> float:
    """The budget as a bucket edge without rounding noise: 33 ms is `0.033`."""
    return round(budget_ms / 1000, 9)


def latency_seconds(latency_ms: float, budget_ms: float) -> float:
    """The latency, on its side of the budget's edge despite rounding: the bucket `le="<budget>"`
    counts exactly the results on time.
    """
    edge = edge_seconds(budget_ms)
    if latency_ms <= budget_ms:
        return min(latency_ms / 1000, edge)
    return max(latency_ms / 1000, math.nextafter(edge, math.inf))


@dataclass(slots=True)
class SinkCounts:
    """Counts of a sink and of those that it replaced by a reload.

    before: the latest one replaced, which counts until it has ended.
    """

    sink: Sink
    times: Histogram = field(default_factory=lambda: Histogram(DELIVERY_EDGES_SECONDS))
    before: Sink | None = None
    _delivered: int = 0
    """By sinks earlier than `before`."""
    _dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sink.observe_delivery = self.times.observe

    def continued(self, sink: Sink) -> SinkCounts:
        """The same counts, continued with this sink."""
        if sink is self.sink:
            return self
        counted = self._delivered_before, self._dropped_before
        return SinkCounts(sink, self.times, self.sink, *counted)

    @property
    def delivered(self) -> int:
        return self._delivered_before + self.sink.delivered

    @property
    def dropped(self) -> Mapping[str, int]:
        return _sum(self._dropped_before, self.sink.dropped)

    @property
    def _delivered_before(self) -> int:
        return self._delivered + (0 if self.before is None else self.before.delivered)

    @property
    def _dropped_before(self) -> Mapping[str, int]:
        return _sum(self._dropped, {} if self.before is None else self.before.dropped)


def _sum(*counts: Mapping[str, int]) -> Mapping[str, int]:
    """Keeps reasons with a count of 0."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total

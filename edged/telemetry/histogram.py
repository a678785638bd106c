"""A histogram whose edges may change while it goes on counting, as those of Prometheus cannot."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """edges: of the buckets, ascending. One thread observes, any may read."""

    __slots__ = ("_counts", "_upper", "edges", "sum")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        self._upper = (*self.edges, math.inf)
        self._counts = [0] * len(self._upper)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._upper, value)] += 1
        self.sum += value

    def with_edges(self, edges: Sequence[float]) -> Histogram:
        """One that goes on from here. What was counted stays exact at every edge that both have;
        at a new one it counts as lying above, because that is all that is known of it."""
        other = Histogram(edges)
        for edge, count in zip(self._upper, self._counts, strict=True):
            other._counts[bisect_left(other._upper, edge)] += count
        other.sum = self.sum
        return other

    def buckets(self) -> list[tuple[str, float]]:
        """Upper edges as Prometheus writes them, and how many values are at or below each."""
        total, found = 0, []
        for edge, count in zip(self._upper, self._counts, strict=True):
            total += count
            found.append(("+Inf" if edge == math.inf else repr(edge), float(total)))
        return found

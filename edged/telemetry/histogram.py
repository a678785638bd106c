"""A histogram whose edges can change, unlike those of prometheus-client."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """edges: upper bounds of the buckets, ascending. One thread may write, any may read."""

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
        """A copy with other edges. Counts stay exact at edges that both have; earlier values count
        as above a new edge."""
        other = Histogram(edges)
        for edge, count in zip(self._upper, self._counts, strict=True):
            other._counts[bisect_left(other._upper, edge)] += count
        other.sum = self.sum
        return other

    def buckets(self) -> list[tuple[str, float]]:
        """(upper edge as Prometheus writes it, number of values at or below it)"""
        total, found = 0, []
        for edge, count in zip(self._upper, self._counts, strict=True):
            total += count
            found.append(("+Inf" if edge == math.inf else repr(edge), float(total)))
        return found

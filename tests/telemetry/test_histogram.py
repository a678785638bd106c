from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from edged.telemetry.histogram import Histogram

edges = st.lists(st.floats(0.001, 10), min_size=1, max_size=8, unique=True).map(sorted)
values = st.lists(st.floats(0, 12), max_size=30)


def test_buckets_count_what_is_at_or_below_their_edge() -> None:
    histogram = Histogram([0.1, 0.5])
    for value in (0.05, 0.1, 0.3, 0.7):
        histogram.observe(value)
    assert histogram.buckets() == [("0.1", 2), ("0.5", 3), ("+Inf", 4)]
    assert histogram.sum == 0.05 + 0.1 + 0.3 + 0.7


@given(edges, edges, values)
def test_other_edges_keep_what_is_known_and_claim_nothing_else(
    before: list[float], after: list[float], values: list[float]
) -> None:
    histogram = Histogram(before)
    for value in values:
        histogram.observe(value)
    counts = [count for _, count in histogram.with_edges(after).buckets()]
    for edge, count in zip(after, counts, strict=False):
        below = before[: bisect_left(before, edge) + 1]
        known = max((old for old in below if old <= edge), default=None)
        expected = 0 if known is None else sum(value <= known for value in values)
        assert count == expected
    assert counts[-1] == len(values)
    assert histogram.with_edges(after).sum == histogram.sum

"""What the picture of accuracy against latency shows, and that its labels can be read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from edged.commands.plots.accuracy import draw_accuracy
from edged.control.profile import Candidate, ladder
from edged.variants.variant import Precision, Variant

PUBLISHED = {
    1.0: (0.652, 0.680, 0.700, 0.709),
    0.75: (0.621, 0.653, 0.672, 0.684),
    0.5: (0.563, 0.591, 0.617, 0.633),
    0.25: (0.415, 0.455, 0.477, 0.498),
}
MS_AT_224 = {1.0: 13.6, 0.75: 8.2, 0.5: 4.0, 0.25: 1.5}


def whole_family(seed: int) -> list[Candidate]:
    """16 variants and their INT8 twins, about as they are measured on a PC."""
    random = np.random.default_rng(seed)
    found = []
    for alpha, row in PUBLISHED.items():
        for side, top1 in zip((128, 160, 192, 224), row, strict=True):
            ms = MS_AT_224[alpha] * (side / 224) ** 2 * random.uniform(0.9, 1.1)
            found.append(Candidate(Variant(alpha, side), 1, top1, ms, 2 * ms))
            int8 = Variant(alpha, side, Precision.INT8)
            loss, gain = random.uniform(0, 0.02), 1.7 if alpha > 0.4 else 0.9
            found.append(Candidate(int8, 1, top1 - loss, ms / gain, 2 * ms))
    return found


def draw(candidates: Sequence[Candidate], title: str = "a family") -> Any:
    errors = {each.variant: 0.011 for each in candidates}
    return draw_accuracy(candidates, errors, title, "milliseconds (ms)", "top-1 (%)")


def labels(figure: Any) -> list[Any]:
    return [text for text in figure.axes[0].texts if text.get_text()]


def overlap(first: Any, second: Any) -> bool:
    a, b = first.get_window_extent(), second.get_window_extent()
    return bool(a.overlaps(b))


@pytest.mark.parametrize("seed", range(3))
def test_every_variant_has_a_label_that_can_be_read(seed: int) -> None:
    """32 of them: on no other, not on the legend, inside the axes."""
    candidates = whole_family(seed)
    figure = draw(candidates)
    axes = figure.axes[0]
    found = labels(figure)
    assert sorted(label.get_text() for label in found) == sorted(
        f"{each.variant.alpha}@{each.variant.resolution}" for each in candidates
    )
    for first, second in combinations([*found, axes.get_legend()], 2):
        assert not overlap(first, second), (first, second)
    inside = axes.get_window_extent()
    for label in found:
        box = label.get_window_extent()
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1


def test_the_frontier_goes_through_what_is_worth_having() -> None:
    candidates = whole_family(0)
    axes = draw(candidates).axes[0]
    (frontier,) = [line for line in axes.lines if line.get_label() == "Pareto frontier"]
    times_ms, shares = (values[:-1] for values in frontier.get_data())  # it goes on to the edge
    worth = ladder(candidates)[::-1]
    assert times_ms == pytest.approx([each.p50_ms for each in worth])
    assert shares == pytest.approx([100 * each.top1 for each in worth])


def test_precisions_and_the_dominated_look_different_and_bars_are_standard_errors() -> None:
    good, int8, bad = Variant(0.5, 160), Variant(0.5, 160, Precision.INT8), Variant(0.25, 224)
    candidates = [
        Candidate(good, 1, 0.8, 4.0, 5.0),
        Candidate(int8, 1, 0.79, 3.0, 5.0),
        Candidate(bad, 1, 0.7, 6.0, 7.0),
    ]
    errors = {good: 0.01, int8: 0.02, bad: 0.03}
    axes = draw_accuracy(candidates, errors, "title", "time", "accuracy").axes[0]
    looks = {}
    for candidate, container in zip(candidates, axes.containers[:3], strict=True):
        mark, _, (bar,) = container
        ((lower, upper),) = bar.get_segments()
        half = (upper[1] - lower[1]) / 2
        assert half == pytest.approx(100 * errors[candidate.variant])
        assert lower[0] == candidate.p50_ms
        looks[candidate.variant] = mark.get_marker(), to_hex(mark.get_markerfacecolor())
    assert len(set(looks.values())) == 3
    assert looks[bad][1] == "#ffffff"
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == [
        "Pareto frontier", "float", "INT8", "dominated: not faster, not better", "± standard error",
    ]  # fmt: skip


def test_a_legend_names_only_what_is_there() -> None:
    figure = draw([Candidate(Variant(1.0, 224), 1, 0.7, 10.0, 11.0)])
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert named == ["Pareto frontier", "float", "± standard error"]


@pytest.mark.parametrize(("slowest_ms", "scale"), [(3.0, "linear"), (13.0, "log")])
def test_wide_ranges_are_logarithmic_with_plain_numbers(slowest_ms: float, scale: str) -> None:
    figure = draw(
        [
            Candidate(Variant(0.25, 128), 1, 0.5, 1.0, 1.0),
            Candidate(Variant(1.0, 128), 1, 0.7, slowest_ms, slowest_ms),
        ]
    )
    axes = figure.axes[0]
    assert axes.get_xscale() == scale
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert len(shown) >= 3
    assert all(float(text) > 0 for text in shown)


def test_a_device_may_be_called_anything() -> None:
    """A dollar sign begins a formula elsewhere."""
    figure = draw(whole_family(0), "board $1 \\frac{ $2")
    assert figure.axes[0].get_title() == "board $1 \\frac{ $2"

"""What the picture of a replay shows: every miss, within a bounded number of marks."""

from __future__ import annotations

import pytest

from edged.commands.plots.latency import COLUMNS, SINGLY, Timeline, draw_timelines
from edged.tracing.replay import Step
from edged.tracing.trace import TracedVariant

VARIANTS = (TracedVariant("large", 0.7, 20.0), TracedVariant("small", 0.5, 5.0))
LATE = "#c8102e"


def steps(count: int, late: set[int], late_ms: float = 50.0) -> list[Step]:
    """20 ms of 33 on time; large and small by turns."""
    return [
        Step(33.0 * number, 33.0, late_ms, number % 2, False)
        if number in late
        else Step(33.0 * number, 33.0, 20.0, number % 2, True)
        for number in range(count)
    ]


def late_marks(axes: object) -> list[tuple[float, float]]:
    """(time, latency) of the marks in red."""
    lines = [line for line in axes.get_lines() if line.get_color() == LATE]  # type: ignore[attr-defined]
    return [mark for line in lines for mark in zip(*line.get_data(), strict=True)]


def test_a_short_trace_shows_every_frame() -> None:
    (latency, variant) = draw_timelines([Timeline("door", VARIANTS, steps(300, {7, 250}))]).axes
    assert latency.get_title("left") == "door: 2 of 300 results late (0.7 %)"
    assert late_marks(latency) == [(pytest.approx(0.231), 50.0), (pytest.approx(8.25), 50.0)]
    assert sum(len(line.get_xdata()) for line in latency.get_lines()) == 298 + 2 + 2
    assert [label.get_text() for label in variant.get_yticklabels()] == ["small", "large"]
    assert variant.get_xlabel() == "seconds since the first frame"


def test_a_long_trace_is_thinned_but_no_column_hides_its_misses() -> None:
    late = {0, 11_111, 11_112, 55_555, 99_999}
    (latency, variant) = draw_timelines([Timeline("door", VARIANTS, steps(100_000, late))]).axes
    assert latency.get_title("left") == "door: 5 of 100000 results late (0.0 %)"
    minutes = [time for time, _ in late_marks(latency)]
    expected = [0, 11_111 * 33 / 60e3, 55_555 * 33 / 60e3, 99_999 * 33 / 60e3]
    assert minutes == pytest.approx(expected)
    marks = sum(len(line.get_xdata()) for line in latency.get_lines())
    bars = sum(len(collection.get_paths()) for collection in latency.collections)
    assert marks + bars <= SINGLY
    (image,) = variant.get_images()
    assert image.get_array().shape == (2, COLUMNS)
    assert image.get_array().ravel().tolist() == pytest.approx([0.5] * 2 * COLUMNS, abs=0.01)


def test_what_is_far_too_late_is_drawn_at_the_edge() -> None:
    (latency, _) = draw_timelines([Timeline("door", VARIANTS, steps(9, {3}, 5000.0))]).axes
    ((_, height),) = late_marks(latency)
    assert 33.0 < height < latency.get_ylim()[1] < 200


def test_the_budget_is_drawn_where_it_changes() -> None:
    both = [Step(0.0, 33.0, 9.0, 0, True), Step(10.0, 20.0, 9.0, 0, True)]
    (latency, _) = draw_timelines([Timeline("door", VARIANTS, both)]).axes
    line = next(line for line in latency.get_lines() if line.get_drawstyle() == "steps-post")
    assert list(line.get_ydata()) == [33.0, 20.0, 20.0]


def test_several_views_share_the_time_axis() -> None:
    short, long = Timeline("door", VARIANTS, steps(30, set())), steps(3000, {5})
    axes = draw_timelines([short, Timeline("yard/bin", VARIANTS, long)]).axes
    assert len(axes) == 4
    assert [each.get_xlim() for each in axes] == [(0.0, pytest.approx(2999 * 0.033))] * 4
    assert [each.get_title("left").split(":")[0] for each in axes[::2]] == ["door", "yard/bin"]


@pytest.mark.parametrize("variant", [None, 1])
def test_a_single_frame(variant: int | None) -> None:
    only = [Step(0.0, 33.0, 40.0, variant, False)]
    (latency, panel) = draw_timelines([Timeline("door", VARIANTS, only)]).axes
    assert len(late_marks(latency)) == 1
    assert len(panel.get_images()) == (variant is not None)

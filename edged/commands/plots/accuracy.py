"""Accuracy against latency: a point for each variant, and the Pareto frontier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import copysign
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.commands.plots.plot import new_figure
from edged.control.profile import Candidate, ladder
from edged.variants.variant import Precision, Variant

_MARKS = {Precision.FLOAT: ("o", "#1f6fb4"), Precision.INT8: ("s", "#d95f02")}
_NAMES = {Precision.FLOAT: "float", Precision.INT8: "INT8"}
_GREY = "#8c8c8c"
_LOGARITHMIC_FROM = 4
"""The time axis is logarithmic if times differ by more than this factor."""
_DISTANCES = (5.0, 10.0, 16.0, 23.0, 31.0, 40.0, 50.0)
"""Points (1/72 inch) between a mark and its label; a label further off than the first gets a
line."""
_DIRECTIONS = (
    (-1, 1), (1, -1), (0, 1), (0, -1), (-1, 0), (1, 0), (1, 1), (-1, -1),
    (-0.5, 1), (0.5, -1), (0.5, 1), (-0.5, -1),
)  # fmt: skip
_LINE = tuple(step / 10 for step in range(3, 10))
"""Points along a label's line at which overlaps are counted."""


_UNREADABLE = 20
"""Cost of covering a label, relative to covering a mark or line, or to distance."""
_THIN_LINE = {
    "arrowstyle": "-", "color": "#b0b0b0", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3,
}  # fmt: skip

_Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in dots."""


def draw_accuracy(
    candidates: Sequence[Candidate],
    standard_errors: Mapping[Variant, float],
    title: str,
    time_axis: str,
    accuracy_axis: str,
) -> Any:
    """A matplotlib figure. standard_errors: of each candidate's top-1, as a share of 1."""
    figure = new_figure(6.4, 6.4)
    panel = AccuracyPanel(
        figure.add_subplot(),
        candidates,
        {variant: (error, error) for variant, error in standard_errors.items()},
        "± standard error",
    )
    panel.draw(title, time_axis, accuracy_axis)
    figure.draw_without_rendering()  # places are known from here on
    figure.set_layout_engine("none")
    panel.draw_labels()
    return figure


class AccuracyPanel:
    """A part of a figure. margins: how far below and above each candidate's top-1 the bar reaches,
    as shares of 1; named: what the bar is."""

    def __init__(
        self,
        axes: Any,
        candidates: Sequence[Candidate],
        margins: Mapping[Variant, tuple[float, float]],
        named: str,
    ) -> None:
        self._axes = axes
        self._candidates = candidates
        self._frontier = ladder(candidates)
        self._margins = margins
        self._named = named

    def draw(self, title: str, time_axis: str, accuracy_axis: str) -> None:
        axes, candidates, frontier = self._axes, self._candidates, self._frontier
        axes.set_title(title, parse_math=False, fontsize=11)
        axes.set_xlabel(time_axis)
        axes.set_ylabel(accuracy_axis)
        axes.grid(color="#e8e8e8", linewidth=0.8)
        axes.set_axisbelow(True)
        for candidate in candidates:
            _draw_point(axes, candidate, self._margins[candidate.variant], candidate in frontier)
        _scale_time(axes, [candidate.p50_ms for candidate in candidates])
        left, right = axes.get_xlim()
        axes.set_xlim(left, right)  # the frontier ends at the edge and must not move it
        rising = frontier[::-1]
        axes.step(
            [*(candidate.p50_ms for candidate in rising), right],
            [*(100 * candidate.top1 for candidate in rising), 100 * frontier[0].top1],
            where="post",
            color="#444444",
            linewidth=1.2,
            zorder=1,
            label="Pareto frontier",
        )
        self._right = right
        has_dominated = len(frontier) < len(candidates)
        self._legend = _draw_legend(axes, candidates, has_dominated, self._named)

    def draw_labels(self) -> None:
        """Once the figure's layout is settled: put each label beside its point, where it overlaps
        least."""
        axes, candidates, frontier = self._axes, self._candidates, self._frontier
        dot = axes.figure.dpi / 72
        inside: _Box = tuple(axes.get_window_extent().extents)
        texts: list[_Box] = [tuple(self._legend.get_window_extent().extents)]
        marks = _frontier_boxes(axes, frontier, self._right, dot)
        for candidate in candidates:
            marks += _point_boxes(axes, candidate, self._margins[candidate.variant][1], dot)
        for candidate in sorted(candidates, key=lambda each: each not in frontier):
            label = _written(axes, candidate, candidate in frontier)
            extent = label.get_window_extent()
            size = extent.width, extent.height
            point = candidate.p50_ms, 100 * candidate.top1
            centre = tuple(axes.transData.transform(point))
            place = _best_place(centre, size, np.array(texts), np.array(marks), inside, dot)
            label.set_position((place.across / dot, place.up / dot))
            texts.append(place.boxes[0])
            marks += place.boxes[1:]
            if place.line is not None:
                axes.annotate(
                    "",
                    point,
                    (place.line[0] / dot, place.line[1] / dot),
                    textcoords="offset points",
                    arrowprops=_THIN_LINE,
                )


def _draw_point(axes: Any, candidate: Candidate, margins: tuple[float, float], worth: bool) -> None:
    marker, colour = _MARKS[candidate.variant.precision]
    axes.errorbar(
        candidate.p50_ms,
        100 * candidate.top1,
        yerr=[[100 * each] for each in margins],
        fmt=marker,
        markersize=6.5 if worth else 5,
        markerfacecolor=colour if worth else "white",
        color=colour if worth else _GREY,
        elinewidth=1,
        capsize=2.5,
        zorder=3 if worth else 2,
    )


def _scale_time(axes: Any, times_ms: Sequence[float]) -> None:
    if max(times_ms) < _LOGARITHMIC_FROM * min(times_ms):
        axes.margins(0.1)
        return
    axes.set_xscale("log")
    axes.set_xlim(min(times_ms) / 1.35, max(times_ms) * 1.35)
    steps = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    shown = [step for step in steps if min(times_ms) / 1.35 <= step <= max(times_ms) * 1.35]
    axes.minorticks_off()
    axes.set_xticks(shown, [f"{step:g}" for step in shown])


def _draw_legend(
    axes: Any, candidates: Sequence[Candidate], has_dominated: bool, margins: str
) -> Any:
    for precision, (marker, colour) in _MARKS.items():
        if any(candidate.variant.precision is precision for candidate in candidates):
            axes.plot([], [], marker, color=colour, label=_NAMES[precision])
    if has_dominated:
        mark = {"markerfacecolor": "white", "label": "dominated: not faster, not better"}
        axes.plot([], [], "o", color=_GREY, **mark)
    axes.errorbar([], [], yerr=[], fmt="none", ecolor="#444444", label=margins)
    return axes.legend(
        loc="lower right", fontsize=9, title="alpha@resolution", title_fontsize=9, framealpha=1
    )


def _written(axes: Any, candidate: Candidate, worth: bool) -> Any:
    """The label, at its point."""
    variant = candidate.variant
    return axes.annotate(
        f"{variant.alpha}@{variant.resolution}",
        (candidate.p50_ms, 100 * candidate.top1),
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=9 if worth else 8,
        color="black" if worth else "#707070",
    )


class _Place(NamedTuple):
    """Where a label's centre goes, and where a line to it ends, in dots from its point.

    boxes: what the label covers, then its line.
    """

    across: float
    up: float
    line: tuple[float, float] | None
    boxes: list[_Box]


def _best_place(
    point: tuple[float, ...],
    size: tuple[float, float],
    texts: NDArray[np.float64],
    marks: NDArray[np.float64],
    inside: _Box,
    dot: float,
) -> _Place:
    (x, y), (width, height) = point, size
    places: list[tuple[float, _Place]] = []
    for distance, (right, top) in product(_DISTANCES, _DIRECTIONS):
        across = right * (width / 2 + distance * dot)
        up = top * (height / 2 + distance * dot)
        boxes = [_around(x + across, y + up, width / 2, height / 2)]
        line = None
        if distance > _DISTANCES[0]:
            line = _towards_zero(across, width / 2), _towards_zero(up, height / 2)
            boxes += [_around(x + step * line[0], y + step * line[1], dot, dot) for step in _LINE]
        covers = np.array(boxes)
        outside = width * height - _shared(covers[:1], np.array([inside]))
        unreadable = _shared(covers, texts) + outside
        cost = _UNREADABLE * unreadable + _shared(covers, marks) + distance * dot
        places.append((cost, _Place(across, up, line, boxes)))
    return min(places, key=itemgetter(0))[1]


def _towards_zero(value: float, by: float) -> float:
    return copysign(max(0.0, abs(value) - by), value)


def _shared(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The area that boxes (n, 4) and others (m, 4) both cover."""
    low = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    return float(np.maximum(high - low, 0).prod(axis=2).sum())


def _around(x: float, y: float, half_width: float, half_height: float) -> _Box:
    return x - half_width, y - half_height, x + half_width, y + half_height


def _point_boxes(axes: Any, candidate: Candidate, above: float, dot: float) -> list[_Box]:
    x, y = axes.transData.transform((candidate.p50_ms, 100 * candidate.top1))
    _, top = axes.transData.transform((candidate.p50_ms, 100 * (candidate.top1 + above)))
    return [_around(x, y, 4 * dot, 4 * dot), _around(x, y, 2.5 * dot, top - y)]


def _frontier_boxes(
    axes: Any, frontier: Sequence[Candidate], right: float, dot: float
) -> list[_Box]:
    """Of its horizontal and vertical stretches."""
    rising = [(candidate.p50_ms, 100 * candidate.top1) for candidate in frontier[::-1]]
    corners = [tuple(axes.transData.transform(place)) for place in rising]
    edge = axes.transData.transform((right, rising[-1][1]))[0]
    boxes: list[_Box] = []
    for (x, y), (next_x, next_y) in zip(
        corners, [*corners[1:], (edge, corners[-1][1])], strict=True
    ):
        boxes.append((x, y - dot, next_x, y + dot))
        boxes.append((next_x - dot, min(y, next_y), next_x + dot, max(y, next_y)))
    return boxes

"""The picture beside the table: every cell, and a stretch of time under three policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.commands.plots.latency import Timeline, draw_timeline
from edged.commands.plots.plot import new_figure, write_figure
from edged.tracing.replay import make_policy, run
from edged.tracing.trace import FullTrace

if TYPE_CHECKING:
    from tests.benchmarks.control import Cell

STRETCH_TRACE, STRETCH = "come and go", slice(600, 1600)
STYLES = {
    "alert": ("s", "#1f6fb4"),
    "alert tuned": ("D", "#56b4e9"),
    "ladder": ("^", "#009e73"),
    "approxdet": ("v", "#b8860b"),
    "static": ("_", "#000000"),
    "edged": ("o", "#c8102e"),
}
LOWEST = -10.0
"""Points below the window reference at which the axis ends."""


def draw(cells: Sequence[Cell], target: float, traces: Mapping[str, FullTrace], path: Path) -> None:
    figure = new_figure(13, 15)
    heights = (5, 2, 1, 2, 1, 2, 1)
    axes = figure.subplots(len(heights), gridspec_kw={"height_ratios": heights})
    _draw_cells(axes[0], cells, target)
    name = STRETCH_TRACE if STRETCH_TRACE in traces else next(iter(traces))
    budget_ms = [cell.budget_ms for cell in cells if cell.trace == name][-1]
    trace = traces[name]
    begin_ms, end_ms = (trace.frames[index].captured_ms for index in (STRETCH.start, STRETCH.stop))
    for policy, latency, variant in zip(
        ("edged", "alert", "ladder"), axes[1::2], axes[2::2], strict=True
    ):
        steps = run(trace, make_policy(trace, policy, budget_ms, target), budget_ms)
        shown = [step for step in steps if begin_ms <= step.captured_ms < end_ms]
        title = f"{policy}, {name}, at {budget_ms:g} ms"
        draw_timeline(latency, variant, Timeline(title, trace.variants, shown), 1e3)
        for each in (latency, variant):
            each.set_xlim(begin_ms / 1e3, end_ms / 1e3)
    axes[-1].set_xlabel("seconds of the trace")
    write_figure(figure, path)


def _draw_cells(axes: Any, cells: Sequence[Cell], target: float) -> None:
    """Accuracy above the window reference; traces side by side, each with its budgets."""
    ticks, names, first = [], [], 0
    for trace, group in groupby(cells, key=lambda cell: cell.trace):
        members = list(group)
        ticks += range(first, first + len(members))
        names += [f"{cell.budget_ms:g}" for cell in members]
        middle = first + (len(members) - 1) / 2
        axes.annotate(
            trace,
            (middle, 0),
            (0, -32),
            ("data", "axes fraction"),
            "offset points",
            ha="center",
            fontsize=8.5,
        )
        for position, cell in enumerate(members, start=first):
            _draw_cell(axes, position, cell, target)
        first += len(members) + 1
    axes.set_xticks(ticks, names, rotation=90, fontsize=8)
    axes.set_xlim(-1, first - 1)
    axes.axhline(0, color="#8c8c8c", linewidth=0.8)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom=LOWEST)
    axes.set_ylabel("points of accuracy above the window reference")
    axes.set_title(
        f"Accuracy at three budgets (ms) of each trace; hollow: less than {100 * target - 1:g} % on"
        " time; grey: not even the window reference keeps the target",
        fontsize=11,
    )
    for name, (marker, colour) in STYLES.items():
        axes.plot([], [], marker, color=colour, label=name)
    axes.legend(ncols=len(STYLES), loc="upper right")


def _draw_cell(axes: Any, position: int, cell: Cell, target: float) -> None:
    if not cell.asked:
        axes.axvspan(position - 0.5, position + 0.5, color="#eeeeee", zorder=0)
    for place, (name, (marker, colour)) in enumerate(STYLES.items()):
        outcome = cell.outcomes[name]
        height = 100 * (outcome.accuracy - cell.outcomes["window"].accuracy)
        axes.plot(
            position + 0.1 * (place - (len(STYLES) - 1) / 2),
            max(height, LOWEST),
            marker,
            color=colour,
            markersize=7 if name == "edged" else 5,
            fillstyle="full" if outcome.on_time >= target - 0.01 else "none",
        )

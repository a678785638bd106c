"""Latency, budget and chosen variant over time: two panels for each view.

The number of marks is bounded: long traces are cut into columns of time, which show the range of
latencies, the worst miss, and how often each variant ran.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edged.commands.plots.plot import new_figure
from edged.tracing.replay import Step
from edged.tracing.trace import TracedVariant

COLUMNS = 400
SINGLY = 1200
"""Up to this many steps are drawn one by one."""
_LATENCY, _LATE, _BUDGET, _VARIANT = "#1f6fb4", "#c8102e", "#444444", "#1f6fb4"
_TALLEST = 3.0
"""The latency axis ends at this many budgets; higher values are drawn at its edge."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One view's steps, at least one, which refer to the variants."""

    title: str
    variants: Sequence[TracedVariant]
    steps: Sequence[Step]


def draw_timelines(timelines: Sequence[Timeline]) -> Any:
    """A matplotlib figure."""
    heights = [
        height
        for timeline in timelines
        for height in (2.8, 0.4 + 0.2 * max(1, len(_used(timeline))))
    ]
    figure = new_figure(11, sum(heights) + 0.4)
    axes = figure.subplots(
        len(heights), squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    last_ms = max(step.captured_ms for timeline in timelines for step in timeline.steps)
    unit, unit_ms = _unit(last_ms)
    for timeline, latency, variant in zip(timelines, axes[::2], axes[1::2], strict=True):
        draw_timeline(latency, variant, timeline, unit_ms)
    axes[-1].set_xlim(0, max(last_ms / unit_ms, 1e-3))
    axes[-1].set_xlabel(f"{unit} since the first frame")
    return figure


def _unit(last_ms: float) -> tuple[str, float]:
    for unit, unit_ms in (("hours", 3600e3), ("minutes", 60e3)):
        if last_ms > 3 * unit_ms:
            return unit, unit_ms
    return "seconds", 1e3


def draw_timeline(latency: Any, variant: Any, timeline: Timeline, unit_ms: float) -> None:
    """Into two matplotlib axes. unit_ms: of the time axis."""
    steps = timeline.steps
    late = sum(not step.on_time for step in steps)
    latency.set_title(
        f"{timeline.title}: {late} of {len(steps)} results late ({100 * late / len(steps):.1f} %)",
        loc="left",
        parse_math=False,
        fontsize=10,
    )
    _draw_latency(latency, steps, unit_ms)
    _draw_variants(variant, timeline, unit_ms)


def _draw_latency(axes: Any, steps: Sequence[Step], unit_ms: float) -> None:
    budget_ms = max(step.budget_ms for step in steps)
    slowest_ms = max(step.latency_ms for step in steps)
    top_ms = min(max(slowest_ms, budget_ms) * 1.1, _TALLEST * budget_ms)
    axes.set_ylim(0, top_ms)
    axes.set_ylabel("latency, ms")
    punctual = [step for step in steps if step.on_time]
    if len(steps) <= SINGLY:
        times = [step.captured_ms / unit_ms for step in punctual]
        axes.plot(times, [step.latency_ms for step in punctual], ".", color=_LATENCY, markersize=3)
        worst = [step for step in steps if not step.on_time]
    else:
        columns = [column for column in _columns(steps) if column]
        ranges = [[step for step in column if step.on_time] for column in columns]
        ranges = [column for column in ranges if column]
        axes.vlines(
            [column[0].captured_ms / unit_ms for column in ranges],
            [min(step.latency_ms for step in column) for column in ranges],
            [max(step.latency_ms for step in column) for column in ranges],
            color=_LATENCY,
            linewidth=1.2,
        )
        misses = [[step for step in column if not step.on_time] for column in columns]
        worst = [max(column, key=lambda step: step.latency_ms) for column in misses if column]
    axes.step(
        [step.captured_ms / unit_ms for step in _changes(steps)],
        [step.budget_ms for step in _changes(steps)],
        where="post",
        color=_BUDGET,
        linewidth=1.2,
    )
    within = [step for step in worst if step.latency_ms <= top_ms]
    beyond = [step for step in worst if step.latency_ms > top_ms]
    for marker, shown in (("o", within), ("^", beyond)):
        axes.plot(
            [step.captured_ms / unit_ms for step in shown],
            [min(step.latency_ms, 0.97 * top_ms) for step in shown],
            marker,
            color=_LATE,
            markersize=3.5,
            linestyle="none",
        )
    axes.plot([], [], ".", color=_LATENCY, label="on time")
    axes.plot([], [], "o", color=_LATE, markersize=4, label="late or dropped (▲ beyond)")
    axes.plot([], [], color=_BUDGET, label="budget")
    axes.legend(  # beside the title, where it covers nothing
        loc="lower right",
        bbox_to_anchor=(1, 1),
        fontsize=8,
        ncols=3,
        frameon=False,
        columnspacing=1,
        handlelength=1.2,
    )


def _draw_variants(axes: Any, timeline: Timeline, unit_ms: float) -> None:
    """Draw how often each variant ran as the shade of a cell; the most accurate on top."""
    steps = timeline.steps
    rows = _used(timeline)
    columns = _columns(steps)
    shares = [
        [sum(step.variant == row for step in column) / max(len(column), 1) for column in columns]
        for row in rows
    ]
    first, last = steps[0].captured_ms / unit_ms, steps[-1].captured_ms / unit_ms
    if rows:
        axes.imshow(
            shares,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            cmap="Blues",
            vmin=0,
            vmax=1,
            extent=(first, max(last, first + 1e-3), -0.5, len(rows) - 0.5),
        )
    axes.set_yticks(
        range(len(rows)),
        [timeline.variants[row].name for row in rows],
        fontsize=8,
        parse_math=False,
    )
    for row in range(len(rows) - 1):
        axes.axhline(row + 0.5, color="#e0e0e0", linewidth=0.6)


def _used(timeline: Timeline) -> list[int]:
    """Positions of the variants that ran, the least accurate first."""
    used = {step.variant for step in timeline.steps if step.variant is not None}
    return sorted(used, key=lambda position: timeline.variants[position].top1)


def _columns(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps by equal intervals of time, at most COLUMNS."""
    count = min(COLUMNS, len(steps))
    first_ms, last_ms = steps[0].captured_ms, steps[-1].captured_ms
    width_ms = max((last_ms - first_ms) / count, 1e-9)
    columns: list[list[Step]] = [[] for _ in range(count)]
    for step in steps:
        columns[min(math.floor((step.captured_ms - first_ms) / width_ms), count - 1)].append(step)
    return columns


def _changes(steps: Sequence[Step]) -> list[Step]:
    """The first and last step, and those where the budget changes."""
    changes = [steps[0]]
    changes += [step for step in steps[1:] if step.budget_ms != changes[-1].budget_ms]
    return [*changes, steps[-1]]

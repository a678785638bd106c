"""The picture beside the table: every cell's accuracy, and a stretch of time under two policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.control.replay import Step, make_policy, run
from edged.control.trace import FullTrace

if TYPE_CHECKING:
    from control import Cell

STRETCH_TRACE, STRETCH = "come and go", slice(600, 1500)
STYLES = {
    "edged": ("o", "tab:red"),
    "alert": ("s", "tab:blue"),
    "alert tuned": ("D", "tab:cyan"),
    "ladder": ("^", "tab:green"),
    "approxdet": ("v", "tab:olive"),
    "static": ("_", "black"),
}


def draw(cells: Sequence[Cell], target: float, traces: Mapping[str, FullTrace], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 1, figsize=(14, 18), height_ratios=(3, 2, 2, 2))
    _draw_cells(axes[0], [cell for cell in cells if cell.asked], target)
    name = STRETCH_TRACE if STRETCH_TRACE in traces else next(iter(traces))
    budget_ms = [cell.budget_ms for cell in cells if cell.trace == name][-1]
    for axis, policy in zip(axes[1:], ("edged", "alert", "ladder"), strict=True):
        _draw_stretch(axis, traces[name], policy, budget_ms, target)
        axis.set_title(f"{policy} on “{name}”, budget {budget_ms:g} ms")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def _draw_cells(axis: Any, cells: Sequence[Cell], target: float) -> None:
    for name, (marker, colour) in STYLES.items():
        for position, cell in enumerate(cells):
            outcome = cell.outcomes[name]
            height = 100 * (outcome.accuracy - cell.outcomes["window"].accuracy)
            kept = outcome.on_time >= target - 0.01
            axis.plot(
                position,
                max(height, -8),
                marker,
                color=colour,
                fillstyle="full" if kept else "none",
                label=name if position == 0 else None,
            )
    axis.axhline(0, color="grey", linewidth=0.8)
    axis.set_xticks(
        range(len(cells)),
        [f"{cell.trace} {cell.budget_ms:g}" for cell in cells],
        rotation=60,
        ha="right",
    )
    axis.set_ylabel("points of accuracy above the window reference")
    axis.set_title(f"hollow: less than {100 * target - 1:g} % on time")
    axis.legend(ncols=len(STYLES))


def _draw_stretch(
    axis: Any, trace: FullTrace, policy: str, budget_ms: float, target: float
) -> None:
    steps: list[Step] = []
    run(trace, make_policy(trace, policy, budget_ms, target), budget_ms, steps.append)
    begin, end = (trace.frames[index].captured_ms for index in (STRETCH.start, STRETCH.stop))
    shown = [step for step in steps if begin <= step.captured_ms < end]
    seconds = [step.captured_ms / 1000 for step in shown]
    axis.plot(seconds, [step.latency_ms for step in shown], ".", markersize=3, color="tab:red")
    axis.axhline(budget_ms, color="black", linewidth=0.8)
    axis.set_ylim(0, 2.5 * budget_ms)
    axis.set_ylabel("latency, ms")
    right = axis.twinx()
    top1 = [
        float("nan") if step.variant is None else trace.variants[step.variant].top1
        for step in shown
    ]
    right.step(seconds, top1, where="post", color="tab:blue", linewidth=0.8)
    right.set_ylabel("top-1 of the variant", color="tab:blue")
    right.set_ylim(0, 0.75)

"""What a classifier has learned: its variants, its confusions, its learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edged.commands.plots.accuracy import AccuracyPanel
from edged.commands.plots.plot import new_figure
from edged.control.profile import Candidate
from edged.variants.mobilenet import Architecture, cost
from edged.variants.variant import Variant

_BLUE = "#1f6fb4"
_UNJUDGED = "cannot be judged yet:\nadd another moment of each class"
_MOST_NAMED = 12
"""Classes of a confusion matrix whose counts are written into it."""


def draw_report(report: Mapping[str, Any], title: str, times_ms: Mapping[str, float]) -> Any:
    """A matplotlib figure. times_ms: median of each variant by name, as far as it was measured;
    unless all were, their multiply-adds take its place."""
    figure = new_figure(12.0, 6.4)
    figure.suptitle(title, parse_math=False, fontsize=12)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1))
    accuracy, confusion, curve = (
        figure.add_subplot(place) for place in (grid[:, 0], grid[0, 1], grid[1, 1])
    )
    panel = _accuracy(accuracy, report, times_ms)
    _draw_confusion(confusion, report["confusion"])
    _draw_curve(curve, report["curve"])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    if panel is not None:
        panel.draw_labels()
    return figure


def _accuracy(
    axes: Any, report: Mapping[str, Any], times_ms: Mapping[str, float]
) -> AccuracyPanel | None:
    shares: Mapping[str, Mapping[str, float]] = report["estimate"]["variants"]
    if not shares:
        _say(axes, "accuracy", _UNJUDGED)
        return None
    measured = all(name in times_ms for name in shares)
    candidates, margins = [], {}
    for name, share in shares.items():
        variant = Variant.parse(name)
        spent = times_ms[name] if measured else _multiply_adds(variant)
        candidates.append(Candidate(variant, 1, share["top1"], spent, spent))
        margins[variant] = share["top1"] - share["low"], share["high"] - share["top1"]
    panel = AccuracyPanel(axes, candidates, margins, "95 % interval")
    panel.draw(
        "accuracy of the variants",
        "preprocessing and inference, median (ms)" if measured else "multiply-adds (millions)",
        f"right, of {report['estimate']['moments']} moments that were not taught (%)",
    )
    return panel


def _multiply_adds(variant: Variant) -> float:
    return cost(Architecture(variant.alpha, 2), variant.resolution).multiply_adds / 1e6


def _draw_confusion(axes: Any, confusion: Mapping[str, Any]) -> None:
    labels: Sequence[str] = confusion["labels"]
    counts: Sequence[Sequence[float]] = confusion["counts"]
    if not counts:
        _say(axes, "confusions", _UNJUDGED)
        return
    rows = [[count / max(1e-9, sum(row)) for count in row] for row in counts]
    axes.imshow(rows, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_title("confusions: pictures that were not taught", fontsize=11)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(range(len(counts)), labels[: len(counts)], parse_math=False)
    if len(labels) > _MOST_NAMED:
        return
    for row, (shares, numbers) in enumerate(zip(rows, counts, strict=True)):
        for column, (share, number) in enumerate(zip(shares, numbers, strict=True)):
            colour = "white" if share > 0.6 else "#333333"
            axes.text(column, row, f"{number:.0f}", ha="center", va="center", color=colour)


def _draw_curve(axes: Any, curve: Sequence[Mapping[str, float]]) -> None:
    if not curve:
        _say(axes, "learning curve", _UNJUDGED)
        return
    axes.set_title("learning curve of the smallest network", fontsize=11)
    axes.set_xlabel("moments")
    axes.set_ylabel("right (%)")
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.plot(
        [each["moments"] for each in curve],
        [100 * each["top1"] for each in curve],
        "o-",
        color=_BLUE,
    )
    for each in curve:
        axes.annotate(
            f"{each['pictures']:.0f} pictures",
            (each["moments"], 100 * each["top1"]),
            (6, -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color="#707070",
        )
    axes.set_xticks([each["moments"] for each in curve])
    axes.margins(0.12, 0.25)


def _say(axes: Any, title: str, text: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#707070")

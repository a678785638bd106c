"""The picture beside the table: CPU of a result, latency, memory and start, source by source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline_report import CONTENDERS, Figures, over_rounds
from pipeline_run import Measured

from edged.commands.plots.plot import new_figure, write_figure

COLOURS = {
    "obvious": "#1f6fb4",
    "calm": "#56b4e9",
    "mediapipe": "#009e73",
    "floor": "#8c8c8c",
    "edged": "#c8102e",
}
BAR = 0.17

PANELS: tuple[tuple[str, Callable[[Measured], float], str], ...] = (
    ("CPU of a result, ms, all processes", lambda run: run.cpu_ms, "{:.1f}"),
    ("latency p50 (bar) and p95 (line), ms", lambda run: run.latency_ms(0.5), "{:.1f}"),
    ("PSS, MB", lambda run: run.pss_mb, "{:.0f}"),
    ("start to first result, s", lambda run: run.start_seconds, "{:.1f}"),
)


def draw(figures: Figures, path: Path) -> None:
    figure = new_figure(11, 11)
    rows = [name for name, row in figures.rows.items() if "edged" in row]
    panels = figure.subplots(len(PANELS), sharex=True)
    for axes, (title, value, text) in zip(panels, PANELS, strict=True):
        for place, (contender, label) in enumerate(CONTENDERS.items()):
            for position, row in enumerate(rows):
                if contender in figures.rows[row]:
                    runs = figures.rows[row][contender]
                    x = position + BAR * (place - (len(CONTENDERS) - 1) / 2)
                    height = over_rounds(runs, value)
                    axes.bar(x, height, 0.9 * BAR, color=COLOURS[contender])
                    top = height
                    if title.startswith("latency"):
                        top = over_rounds(runs, lambda run: run.latency_ms(0.95))
                        axes.plot([x, x], [height, top], color=COLOURS[contender])
                    _write(axes, x, top, text.format(height))
            axes.bar(0, 0, color=COLOURS[contender], label=label if axes is panels[0] else None)
        axes.set_title(title, fontsize=11)
        axes.set_xticks(range(len(rows)), rows)
        axes.margins(y=0.15)
        axes.grid(axis="y", color="#e8e8e8", linewidth=0.8)
        axes.set_axisbelow(True)
    figure.legend(ncols=len(CONTENDERS), loc="outside upper center")
    write_figure(figure, path)


def _write(axes: Any, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (0, 2), textcoords="offset points", ha="center", fontsize=8)

"""teach.png of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edged.commands.plots.plot import new_figure, write_figure
from tests.benchmarks.teach.sets import CLIPS
from tests.benchmarks.teach.studies import LIGHTS, MOST_COPIES, SETS, SIZES, Results

COLOURS = {"trash": "#c8102e", "bottle": "#1f6fb4", "person": "#009e73"}
WAYS = {"no none": "#999999", "drawn": "#56b4e9", "photos": "#c8102e"}


def draw(results: Results, path: Path) -> None:
    figure = new_figure(12, 9)
    ((first, second), (third, fourth)) = figure.subplots(2, 2)
    _accuracy(first, results)
    _honesty(second, results)
    _light(third, results)
    _strangers(fourth, results)
    write_figure(figure, path)


def _accuracy(axes: Any, results: Results) -> None:
    for name in SETS:
        rows = [results.accuracy[name, size] for size in SIZES]
        axes.plot(SIZES, [row[-1] for row in rows], "o-", color=COLOURS[name], label=name)
        axes.fill_between(
            SIZES,
            [row.min() for row in rows],
            [row.max() for row in rows],
            color=COLOURS[name],
            alpha=0.15,
        )
    axes.set(xlabel="pictures a class", ylabel="balanced accuracy, held out")
    axes.set_title("1.0@224, and from the worst to the best of 16 variants")
    axes.set_xticks(SIZES)
    axes.legend(loc="lower right")


def _honesty(axes: Any, results: Results) -> None:
    keys = list(results.honesty)
    for place, key in enumerate(keys):
        above = 100 * np.array(results.honesty[key].above)
        axes.plot(np.full(len(above), place), above, ".", color=COLOURS[key[0]], alpha=0.5)
        axes.plot(place, above.mean() if len(above) else np.nan, "k_", markersize=14)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(keys)), [f"{name}\n{size}" for name, size in keys])
    axes.set_ylabel("points")
    axes.set_title("Estimate minus truth, by set and pictures a class; a dot a draw")


def _light(axes: Any, results: Results) -> None:
    counts = range(MOST_COPIES + 1)
    for name in CLIPS:
        losses = [
            100
            * (
                results.light[name, count, "as taught"]
                - np.mean([results.light[name, count, kind] for kind in LIGHTS])
            )
            for count in counts
        ]
        axes.plot(counts, losses, "o-", color=COLOURS[name], label=name)
    axes.axhline(3, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="lit copies of each picture", ylabel="points lost in other light")
    axes.set_title("Other light, mean of four kinds and 16 variants")
    axes.legend()


def _strangers(axes: Any, results: Results) -> None:
    for place, name in enumerate(SETS):
        for shift, (way, colour) in enumerate(WAYS.items()):
            above = results.strangers[name, way][0]
            axes.bar(
                place + 0.27 * (shift - 1),
                100 * above.mean(),
                0.25,
                color=colour,
                label=way if place == 0 else None,
            )
    axes.set_xticks(range(len(SETS)), SETS)
    axes.set_ylabel("% of strangers")
    axes.set_title("Strangers above 0.6, by what none is taught from")
    axes.legend()

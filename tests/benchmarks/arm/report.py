"""Table and picture of the counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from edged.commands.plots.plot import new_figure, write_figure
from edged.variants.variant import Precision, Variant
from tests.benchmarks.arm.guest import RUNTIMES
from tests.benchmarks.arm.measure import (
    DAEMON,
    RESULTS,
    RUNS,
    STAGES,
    Figures,
    Store,
    variants_of,
    whole,
)
from tests.benchmarks.arm.root import PROCESSORS, WHEELS

BENCHMARKS = Path(__file__).resolve().parent.parent
TABLE, PICTURE = BENCHMARKS / "arm.md", BENCHMARKS / "arm.png"
BOARDS = {"a72": "Cortex-A72 (Raspberry Pi 4)", "a76": "Cortex-A76 (Raspberry Pi 5)"}
COLOURS = {
    "onnxruntime": "#1f6fb4",
    "onnxruntime INT8": "#56b4e9",
    "ncnn": "#c8102e",
    "ncnn INT8": "#cc79a7",
    "ncnn-fp16": "#e69f00",
}
STAGE_COLOURS = dict(
    zip(
        STAGES,
        ("#8c8c8c", "#c8c8c8", "#009e73", "#1f6fb4", "#c8102e", "#e69f00", "#cc79a7"),
        strict=True,
    )
)
HEAD = """# Instructions on a Raspberry Pi's processor

Written by `make bench-arm`: million instructions that the aarch64 programs execute under QEMU, one
thread. Counts are no times, but they repeat, and the ratio of two counts of like code is near the
ratio of their times. An inference is the mean of {runs} runs of a network that is warm, a result
that of {results}. Both are differences of two readings inside one run of the program: what it takes
to start is not in them. Versions: {versions}.
"""
RESULT = """
## A whole result

mobilenet_v1_0.25_128, one camera of 1920x1080. *decode* and *capture* are the
capture process's, the rest is the daemon's own process; *ticks* are what its main thread and the
camera's supervisor do by time, at 30 results a second. MJPEG and YUYV come through the V4L2 source
from a driver on paper, as OpenCV would hand them over (the kernel's part, and that of OpenCV beyond
one copy, are not counted); H.264 from a file, of which every picture is decoded. The HTTP server,
which waits, is not counted.
"""
REPEATED = """
## How well a count repeats

| count | million, each from a new start | largest / smallest |
| --- | --- | --- |
"""


def report(store: Store) -> str:
    pins = [line.replace("==", " ") for line in WHEELS.read_text().split()]
    named = [pin for pin in pins if pin.split()[0] in ("onnxruntime", "ncnn", "numpy", "av")]
    parts = [HEAD.format(runs=RUNS, results=RESULTS, versions=", ".join(named))]
    parts += [_inferences(store, processor) for processor in PROCESSORS]
    parts += [RESULT, *_results(store)]
    return "".join(parts) + REPEATED + "".join(_repeats(store))


def columns_of(store: Store, processor: str) -> dict[str, dict[Variant, float]]:
    """By runtime and precision, by float variant: million instructions of an inference."""
    columns: dict[str, dict[Variant, float]] = {}
    for subject in RUNTIMES:
        for variant, figures in variants_of(store, processor, subject).items():
            name = f"{subject} INT8" if variant.precision is Precision.INT8 else subject
            plain = replace(variant, precision=Precision.FLOAT)
            columns.setdefault(name, {})[plain] = figures["all"]
    return columns


def _inferences(store: Store, processor: str) -> str:
    columns = columns_of(store, processor)
    lines = [f"\n## An inference on {BOARDS[processor]}\n\n"]
    lines.append(f"| variant | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}\n")
    for variant in sorted(columns["onnxruntime"]):
        least = min(column[variant] for column in columns.values() if variant in column)
        cells = []
        for column in columns.values():
            text = f"{column[variant]:.1f}" if variant in column else "-"
            cells.append(f"**{text}**" if column.get(variant) == least else text)
        lines.append(f"| {variant} | {' | '.join(cells)} |\n")
    if "ncnn" in columns:
        ratios = [columns["onnxruntime"][each] / columns["ncnn"][each] for each in columns["ncnn"]]
        lines.append(
            f"\nONNX Runtime's float takes {min(ratios):.2f} to {max(ratios):.2f} times what "
            f"ncnn's does (median {median(ratios):.2f}).\n"
        )
    return "".join(lines)


def _results(store: Store) -> Iterator[str]:
    columns = [*STAGES, "own process", "without inference"]
    yield f"\n| processor, runtime, source | {' | '.join(columns)} |\n"
    yield f"| --- |{' --- |' * len(columns)}\n"
    for name, figures in _daemons(store):
        cells = " | ".join(f"{figures[stage]:.2f}" for stage in STAGES)
        own = whole(figures)
        yield f"| {name} | {cells} | {own:.2f} | {own - figures['inference']:.2f} |\n"


def _daemons(store: Store) -> Iterator[tuple[str, Figures]]:
    """Processor, runtime and clip; the first count."""
    for key in sorted(store):
        processor, subject, clip = key.split("/")
        if subject.startswith(DAEMON):
            yield f"{processor}, {subject.removeprefix(DAEMON)}, {clip}", store[key][0]


def _repeats(store: Store) -> Iterator[str]:
    for key, repeats in sorted(store.items()):
        if len(repeats) > 1:
            counts = [each.get("all") or sum(each.values()) for each in repeats]
            listed = ", ".join(f"{value:.3f}" for value in counts)
            yield f"| {key} | {listed} | {max(counts) / min(counts):.4f} |\n"


def draw(store: Store, path: Path) -> None:
    figure = new_figure(12, 9)
    above = figure.subplots(2, len(PROCESSORS))
    for axes, processor in zip(above[0], PROCESSORS, strict=True):
        columns = columns_of(store, processor)
        variants = sorted(columns["onnxruntime"])
        for name, column in columns.items():
            places = [place for place, each in enumerate(variants) if each in column]
            values = [column[variants[place]] for place in places]
            axes.plot(places, values, "o-", color=COLOURS[name], label=name, markersize=4)
        axes.set_yscale("log")
        axes.set_ylim(top=700)  # the legend is above the lines
        axes.set_xticks(
            range(len(variants)), [f"{each.alpha}@{each.resolution}" for each in variants]
        )
        axes.tick_params(axis="x", rotation=60)
        axes.set_title(f"million instructions of an inference\n{BOARDS[processor]}", fontsize=11)
        axes.grid(color="#e8e8e8", linewidth=0.8)
        axes.legend(loc="upper left", ncols=2, fontsize="small")
    for axes, processor in zip(above[1], PROCESSORS, strict=True):
        rows = [row for row in _daemons(store) if row[0].startswith(processor)]
        left = [0.0] * len(rows)
        for stage, colour in STAGE_COLOURS.items():
            widths = [each[stage] for _, each in rows]
            axes.barh(range(len(rows)), widths, left=left, color=colour, label=stage)
            left = [begin + width for begin, width in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(rows)), [name.partition(", ")[2] for name, _ in rows])
        axes.set_title("million instructions of a whole result", fontsize=11)
    figure.legend(
        handles=axes.get_legend_handles_labels()[0], ncols=len(STAGES), loc="outside lower center"
    )
    write_figure(figure, path)

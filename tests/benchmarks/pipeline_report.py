"""The table of the benchmark: what was measured, and what of it the project asks for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from textwrap import fill

from memory import Memory
from pipeline_run import Measured

from edged.control.profile import quantile

CONTENDERS = {
    "obvious": "obvious script",
    "calm": "obvious script, one thread",
    "mediapipe": "MediaPipe Tasks",
    "floor": "floor",
    "edged": "edged",
}
Row = Mapping[str, Sequence[Measured]]
"""By contender, round after round."""
Rows = Mapping[str, Row]
"""By source."""


@dataclass(frozen=True, slots=True)
class Figures:
    """kilobytes: of a frame of each clip. seconds: measured of each run."""

    rows: Rows
    kilobytes: Mapping[str, float]
    seconds: float
    memory: Memory | None


@dataclass(frozen=True, slots=True)
class Demand:
    """edged's CPU in a row, divided by another's, is to be at most this."""

    row: str
    other: str
    most: float


DEMANDS = (
    Demand("MJPEG, 100 KB", "obvious", 1 / 3),
    Demand("MJPEG, 100 KB", "mediapipe", 1 / 3),
    Demand("MJPEG, 100 KB", "floor", 1.25),
    Demand("H.264", "obvious", 1 / 1.3),
)
OVERHEAD_P50_MS, OVERHEAD_P95_MS = 0.5, 1.5
START_SECONDS = 1.5
CAMERAS_RATIO = 1.15
WHOLE_MB, FURTHER_MJPEG_MB, FURTHER_H264_MB = 170, 35, 40


def over_rounds(runs: Sequence[Measured], figure: Callable[[Measured], float]) -> float:
    return median(figure(run) for run in runs)


def cpu_ratios(row: Row, name: str, other: str) -> list[float]:
    """Of each round."""
    pairs = zip(row[name], row[other], strict=True)
    return [ours.cpu_ms / theirs.cpu_ms for ours, theirs in pairs]


def cpu_ratio(row: Row, name: str, other: str) -> float:
    """The median of the rounds' ratios."""
    return median(cpu_ratios(row, name, other))


def overhead_ms(row: Row) -> tuple[float, float]:
    """(p50, p95) of edged's latency minus the floor's for the same frame (the median of all its
    passes, so that the floor's own disturbances do not count in edged's favour)."""
    passes: dict[int, list[float]] = defaultdict(list)
    for run in row["floor"]:
        for frame, latency_ms in run.latencies_ms:
            passes[frame].append(latency_ms)
    floor = {frame: median(times) for frame, times in passes.items()}
    above = [
        latency_ms - floor[frame]
        for run in row["edged"]
        for frame, latency_ms in run.latencies_ms
        if frame in floor
    ]
    return quantile(above, 0.5), quantile(above, 0.95)


def report(figures: Figures, versions: str) -> str:
    rounds = len(next(iter(next(iter(figures.rows.values())).values())))
    sizes = ", ".join(f"{row}: {size:.0f} KB" for row, size in figures.kilobytes.items())
    lines = [
        "# What a result costs",
        "",
        fill(
            f"Made by `make bench-pipeline` on {versions}. Medians of {rounds} rounds of "
            f"{figures.seconds:g} s each, in which the contenders took turns; the ratio is edged's "
            "CPU divided by theirs, within a round.",
            98,
        ),
        "",
        fill(
            "All run MobileNet v1 0.25@128 of one file at 30 fps: MediaPipe as it is (INT8, 1001 "
            "classes), the others with its weights as float (1000 classes, without the "
            "background). CPU is a result's, of all processes; most of the obvious script's is "
            "that of ONNX Runtime's threads, which spin between the frames, so it stands here with "
            "one thread, too. Latency is from the moment a frame is due to its result. OpenCV "
            "decodes in threads and so reads ahead in the file, which a camera would not let it: "
            "the latency of these scripts and of MediaPipe is flattered. Start is from the start "
            f"of the process to the first result. A frame of the clips has on average: {sizes}.",
            98,
        ),
        "",
        "| source | contender | CPU ms | edged is | wall ms | p50 ms | p95 ms | PSS MB | start s |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            _line(name, contender, row)
            for name, row in figures.rows.items()
            for contender in row
            if contender in CONTENDERS
        ),
        *(
            _line(name, contender, row)
            for name, row in figures.rows.items()
            for contender in row
            if contender not in CONTENDERS
        ),
        "",
        *_verdicts(figures.rows),
        *(_verdicts_on(figures.memory) if figures.memory is not None else ()),
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, contender: str, row: Row) -> str:
    runs = row[contender]
    ratio = ""
    if contender != "edged" and "edged" in row:
        ratio = f"{cpu_ratio(row, 'edged', contender):.2f} x"
    cells = (
        *(name, CONTENDERS.get(contender, f"edged, {contender}")),
        *(f"{over_rounds(runs, lambda run: run.cpu_ms):.2f}", ratio),
        f"{over_rounds(runs, lambda run: run.wall_ms):.1f}",
        f"{over_rounds(runs, lambda run: run.latency_ms(0.5)):.2f}",
        f"{over_rounds(runs, lambda run: run.latency_ms(0.95)):.2f}",
        f"{over_rounds(runs, lambda run: run.pss_mb):.0f}",
        f"{over_rounds(runs, lambda run: run.start_seconds):.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _verdicts_on(memory: Memory) -> list[str]:
    whole = (
        f"PSS of the daemon ({memory.daemon_mb:.0f} MB) with the whole shipped family at one thread"
        f" and a capture process of 1080p MJPEG over HTTP ({memory.capture_mb:.0f} MB): "
        f"{memory.whole_mb:.0f} MB"
    )
    lines = [_verdict(whole, memory.whole_mb, WHOLE_MB)]
    for kind, found, most in (
        ("the same stream", memory.further_mb, FURTHER_MJPEG_MB),
        ("the clip of H.264", memory.further_clip_mb or 0.0, FURTHER_H264_MB),
    ):
        lines.append(_verdict(f"PSS of a further camera, {kind}: {found:.0f} MB", found, most))
    return lines


def _verdicts(rows: Rows) -> list[str]:
    """What is asked for, and whether it is so."""
    lines = []
    for demand in DEMANDS:
        for name, row in rows.items():
            if demand.row in name and {"edged", demand.other} <= row.keys():
                ratios = cpu_ratios(row, "edged", demand.other)
                what = (
                    f"CPU on {name}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} "
                    f"by round) of {CONTENDERS[demand.other]}"
                )
                if demand.other != "floor" and "floor" in row:
                    what += f", of which the floor is {cpu_ratio(row, 'floor', demand.other):.2f}"
                lines.append(_verdict(what, median(ratios), demand.most))
    for name, row in rows.items():
        if {"edged", "floor"} <= row.keys():
            p50_ms, p95_ms = overhead_ms(row)
            what = f"latency above the floor's for the same frame on {name}, ms"
            lines.append(_verdict(f"{what}: p50 {p50_ms:.2f}", p50_ms, OVERHEAD_P50_MS))
            lines.append(_verdict(f"{what}: p95 {p95_ms:.2f}", p95_ms, OVERHEAD_P95_MS))
        if "edged" in row:
            start = over_rounds(row["edged"], lambda run: run.start_seconds)
            lines.append(_verdict(f"first result on {name}: {start:.2f} s", start, START_SECONDS))
        counts = [contender for contender in row if contender not in CONTENDERS]
        if len(counts) == 2:
            ratio = cpu_ratio(row, counts[1], counts[0])
            what = f"CPU a result of {counts[1]}: {ratio:.2f} of {counts[0]}'s"
            lines.append(_verdict(what, ratio, CAMERAS_RATIO))
    return lines


def _verdict(what: str, found: float, most: float) -> str:
    return f"- {what} (at most {most:.3g}): {'holds' if found <= most else '**missed**'}"

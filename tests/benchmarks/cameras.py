"""Several cameras or views on one backend, their load rising until it cannot be served: does one
starve?

    python tests/benchmarks/cameras.py           prints the table and writes it (cameras.md)
    python tests/benchmarks/cameras.py --views   eight views of one camera (views.md)

Cameras with budgets of 10, 20, 33 and 50 ms, or one camera with views whose budgets go from 10 to
1000 ms, deliver drawn pictures at a rate that rises from step to step. Said of each step: every
one's share of frames on time (frames dropped because they came too late to run count as misses),
the accuracy of its answers, what share of its frames was replaced by newer ones before they could
run, and how far the worst is below the mean of the others.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from edged.atomic_file import write_whole
from edged.variants.family import load_family
from edged.view import parts
from tests.rig.daemon import RunningDaemon

HERE = Path(__file__).parent
CAMERAS_MS = (10, 20, 33, 50)
VIEWS_MS = (10, 20, 33, 50, 100, 200, 500, 1000)
SIZE, VIEWS_SIZE = "320x240", "640x480"
SETTLING_SECONDS, SECONDS = 10, 20
INTRODUCTION = """# Several {subjects} on one backend

Made by `python tests/benchmarks/cameras.py{option}`: drawn pictures of {size} for {named} that are
called by their budgets in milliseconds, {seconds} s a step after {settling} s to settle; what
draws them runs on the same cores. A frame that was dropped because its budget was spent counts as
late."""
HEADING = (
    "| fps | | on time, % | accuracy | results/s | replaced by newer, % |\n"
    "|---|---|---|---|---|---|"
)
COUNTERS = {
    "results": "edged_results_total{{camera={0}{1}}}",
    "misses": "edged_deadline_misses_total{{camera={0}{1}}}",
    "stale": "edged_frames_dropped_total{{camera={0},reason=\"stale\"{1}}}",
    "overwritten": "edged_frames_dropped_total{{camera={0},reason=\"overwritten\"{1}}}",
    "captured": "edged_frames_captured_total{{camera={0}}}",
}  # fmt: skip


def ids(views: bool) -> list[str]:
    return [f"yard/b{each}" for each in VIEWS_MS] if views else [f"b{each}" for each in CAMERAS_MS]


def config(model: Path, fps: float, on_time: float, views: bool) -> str:
    if views:
        regions = "".join(
            f"      b{budget}: {{roi: [{number % 4 / 4}, {number // 4 / 2}, 0.25, 0.5], "
            f"latency_budget_ms: {budget}}}\n"
            for number, budget in enumerate(VIEWS_MS)
        )
        cameras = f"  yard:\n    source: 'synthetic:{VIEWS_SIZE}@{fps:g}'\n    views:\n{regions}"
    else:
        cameras = "".join(
            f"  b{each}: {{source: 'synthetic:{SIZE}@{fps:g}', latency_budget_ms: {each}}}\n"
            for each in CAMERAS_MS
        )
    return f"model: {model}\non_time: {on_time}\ncameras:\n{cameras}http: {{listen: 127.0.0.1:0}}\n"


def counters(daemon: RunningDaemon, views: bool) -> dict[str, dict[str, float]]:
    found = {}
    for view in ids(views):
        camera, name = parts(view)
        labels = f'"{camera}"', "" if name is None else f',view="{name}"'
        found[view] = {
            name: daemon.metric(sample.format(*labels)) for name, sample in COUNTERS.items()
        }
    return found


def step(
    model: Path, fps: float, on_time: float, top1: dict[str, float], views: bool
) -> tuple[list[str], float]:
    """One rate: a row each, and the gap in points."""
    text = config(model, fps, on_time, views)
    with tempfile.TemporaryDirectory() as folder, RunningDaemon(Path(folder), text) as daemon:
        daemon.wait_for_results(1)
        _wait(daemon, SETTLING_SECONDS)
        before, first = counters(daemon, views), len(daemon.results)
        _wait(daemon, SECONDS)
        after, results = counters(daemon, views), daemon.results[first:]
        daemon.stop()
    shares: dict[str, float] = {}
    rows: list[str] = []
    for camera, counted in after.items():
        seen = {name: value - before[camera][name] for name, value in counted.items()}
        shares[camera] = 100 * (1 - seen["misses"] / (seen["results"] + seen["stale"]))
        own = [result for result in results if id_of(result) == camera]
        accuracy = sum(top1[result["variant"]] for result in own) / len(own) if own else 0.0
        rows.append(
            f"| {fps:g} | {camera} | {shares[camera]:.1f} | {accuracy:.3f} "
            f"| {seen['results'] / SECONDS:.1f} "
            f"| {100 * seen['overwritten'] / seen['captured']:.1f} |"
        )
    others = {
        camera: (sum(shares.values()) - share) / (len(shares) - 1)
        for camera, share in shares.items()
    }
    return rows, max(others[camera] - share for camera, share in shares.items())


def id_of(result: dict[str, Any]) -> str:
    return "/".join(filter(None, (result["camera"], result.get("view"))))


def _wait(daemon: RunningDaemon, seconds: float) -> None:
    """Let the daemon run; it must not end by itself."""
    try:
        status = daemon.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise SystemExit(f"the daemon ended with status {status}:\n{daemon.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="imagenette", help="a family's name or folder")
    parser.add_argument("--fps", type=float, nargs="+", default=[15, 30, 60, 90, 120])
    parser.add_argument("--on-time", type=float, default=0.95)
    parser.add_argument("--views", action="store_true", help="views of one camera")
    options = parser.parse_args()
    family = load_family(options.model, Path.cwd())
    top1 = {variant.name: family.top1(variant) for variant in family.variants()}
    introduction = INTRODUCTION.format(
        subjects="views" if options.views else "cameras",
        option=" --views" if options.views else "",
        size=VIEWS_SIZE if options.views else SIZE,
        named="the views of a camera" if options.views else "cameras",
        seconds=SECONDS,
        settling=SETTLING_SECONDS,
    )
    lines = [introduction, ""]
    for fps in options.fps:
        rows, gap = step(family.directory.absolute(), fps, options.on_time, top1, options.views)
        worst = f"At {fps:g} fps the worst is {gap:.1f} points below the mean of the others."
        lines += [HEADING, *rows, "", worst, ""]
        print("\n".join([*rows, worst]), flush=True)
    write_whole(HERE / ("views.md" if options.views else "cameras.md"), "\n".join(lines).encode())


if __name__ == "__main__":
    main()

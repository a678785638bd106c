"""Several cameras on one backend, their load rising until it cannot be served: does one starve?

    python tests/benchmarks/cameras.py           prints the table and writes it (cameras.md)

Cameras with budgets of 10, 20, 33 and 50 ms deliver drawn pictures at a rate that rises from step
to step. Said of each step: every camera's share of frames on time (frames dropped because
they came too late to run count as misses), the accuracy of its answers, what share of its frames
was replaced by newer ones before they could run, and how far the worst camera is below the mean
of the others.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from edged.atomic_file import write_whole
from edged.variants.family import load_family
from tests.rig.daemon import RunningDaemon

HERE = Path(__file__).parent
BUDGETS_MS = (10, 20, 33, 50)
SETTLING_SECONDS, SECONDS = 10, 20
INTRODUCTION = f"""# Several cameras on one backend

Made by `python tests/benchmarks/cameras.py`: drawn pictures of 320x240 for cameras that are called
by their budgets in milliseconds, {SECONDS} s a step after {SETTLING_SECONDS} s to settle; what
draws them runs on the same cores. A frame that was dropped because its budget was spent counts as
late."""
HEADING = (
    "| fps | camera | on time, % | accuracy | results/s | replaced by newer, % |\n"
    "|---|---|---|---|---|---|"
)
COUNTERS = {
    "results": "edged_results_total{{camera={}}}",
    "misses": "edged_deadline_misses_total{{camera={}}}",
    "stale": "edged_frames_dropped_total{{camera={},reason=\"stale\"}}",
    "overwritten": "edged_frames_dropped_total{{camera={},reason=\"overwritten\"}}",
    "captured": "edged_frames_captured_total{{camera={}}}",
}  # fmt: skip


def config(model: Path, fps: float, on_time: float) -> str:
    cameras = "".join(
        f"  b{budget}: {{source: 'synthetic:320x240@{fps:g}', latency_budget_ms: {budget}}}\n"
        for budget in BUDGETS_MS
    )
    return f"model: {model}\non_time: {on_time}\ncameras:\n{cameras}http: {{listen: 127.0.0.1:0}}\n"


def counters(daemon: RunningDaemon) -> dict[str, dict[str, float]]:
    return {
        camera: {
            name: daemon.metric(sample.format(f'"{camera}"')) for name, sample in COUNTERS.items()
        }
        for camera in (f"b{budget}" for budget in BUDGETS_MS)
    }


def step(
    model: Path, fps: float, on_time: float, top1: dict[str, float]
) -> tuple[list[str], float]:
    """One rate: a row a camera, and the gap in points."""
    text = config(model, fps, on_time)
    with tempfile.TemporaryDirectory() as folder, RunningDaemon(Path(folder), text) as daemon:
        daemon.wait_for_results(1)
        _wait(daemon, SETTLING_SECONDS)
        before, first = counters(daemon), len(daemon.results)
        _wait(daemon, SECONDS)
        after, results = counters(daemon), daemon.results[first:]
        daemon.stop()
    shares: dict[str, float] = {}
    rows: list[str] = []
    for camera, counted in after.items():
        seen = {name: value - before[camera][name] for name, value in counted.items()}
        shares[camera] = 100 * (1 - seen["misses"] / (seen["results"] + seen["stale"]))
        own = [result for result in results if result["camera"] == camera]
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
    options = parser.parse_args()
    family = load_family(options.model, Path.cwd())
    top1 = {variant.name: family.top1(variant) for variant in family.variants()}
    lines = [INTRODUCTION, ""]
    for fps in options.fps:
        rows, gap = step(family.directory.absolute(), fps, options.on_time, top1)
        worst = f"At {fps:g} fps the worst is {gap:.1f} points below the mean of the others."
        lines += [HEADING, *rows, "", worst, ""]
        print("\n".join([*rows, worst]), flush=True)
    write_whole(HERE / "cameras.md", "\n".join(lines).encode())


if __name__ == "__main__":
    main()

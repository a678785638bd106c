"""Several cameras on one backend, their load rising until it cannot be served: does one starve?

    python tests/benchmarks/cameras.py imagenette

Cameras with budgets of 10, 20, 33 and 50 ms deliver drawn pictures at a rate that rises from step
to step. Printed for each step: every camera's share of frames on time (frames dropped because
they came too late to run count as misses), the accuracy of its answers, what share of its frames
was replaced by newer ones before they could run, and how far the worst camera is below the mean
of the others.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from edged.variants.family import load_family
from tests.e2e.daemon import RunningDaemon

BUDGETS_MS = (10, 20, 33, 50)
SETTLING_SECONDS, SECONDS = 10, 20
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


def step(model: Path, fps: float, on_time: float, top1: dict[str, float]) -> float:
    """Run one rate, print a line a camera, and return the gap in points."""
    text = config(model, fps, on_time)
    with tempfile.TemporaryDirectory() as folder, RunningDaemon(Path(folder), text) as daemon:
        daemon.wait_for_results(1)
        _wait(daemon, SETTLING_SECONDS)
        before, first = counters(daemon), len(daemon.results)
        _wait(daemon, SECONDS)
        after, results = counters(daemon), daemon.results[first:]
        daemon.stop()
    shares: dict[str, float] = {}
    for camera, counted in after.items():
        seen = {name: value - before[camera][name] for name, value in counted.items()}
        shares[camera] = 100 * (1 - seen["misses"] / (seen["results"] + seen["stale"]))
        own = [result for result in results if result["camera"] == camera]
        accuracy = sum(top1[result["variant"]] for result in own) / len(own) if own else 0.0
        print(
            f"{fps:5g} fps  {camera:4} {shares[camera]:5.1f} % on time, accuracy {accuracy:.3f}, "
            f"{seen['results'] / SECONDS:5.1f} results/s, "
            f"{100 * seen['overwritten'] / seen['captured']:4.1f} % replaced"
        )
    others = {
        camera: (sum(shares.values()) - share) / (len(shares) - 1)
        for camera, share in shares.items()
    }
    return max(others[camera] - share for camera, share in shares.items())


def _wait(daemon: RunningDaemon, seconds: float) -> None:
    """Let the daemon run; it must not end by itself."""
    try:
        status = daemon.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise SystemExit(f"the daemon ended with status {status}:\n{daemon.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="a family's name or folder")
    parser.add_argument("--fps", type=float, nargs="+", default=[15, 30, 60, 90, 120])
    parser.add_argument("--on-time", type=float, default=0.95)
    options = parser.parse_args()
    family = load_family(options.model, Path.cwd())
    top1 = {variant.name: family.top1(variant) for variant in family.variants()}
    for fps in options.fps:
        gap = step(family.directory.absolute(), fps, options.on_time, top1)
        print(f"{fps:5g} fps  the worst is {gap:.1f} points below the others\n")


if __name__ == "__main__":
    main()

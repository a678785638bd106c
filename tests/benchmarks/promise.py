"""Draw the README's picture: a budget kept while other programs come and go.

    make picture            docs/pictures/promise.png, from a run of 40 seconds

The daemon runs on a synthetic scene (640x480, 30 frames a second) while busy programs
(control_collect.py: two compute, one copies memory) start and stop as SCHEDULE says. Its trace
holds latency, budget and variant of every frame. Needs edged[plot] and an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from control_collect import CONDITIONS, Neighbours

from edged.commands.plots.latency import Timeline, draw_timeline
from edged.commands.plots.plot import new_figure, write_figure
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import recorded_steps
from tests.rig.daemon import RunningDaemon

PICTURE = Path(__file__).parents[2] / "docs/pictures/promise.png"
SCHEDULE = ((0, 0), (6, 1), (12, 3), (20, 0), (26, 2), (34, 0))
"""(second, how many busy programs run from then on)."""
SECONDS = 40
KINDS = CONDITIONS["come and go"]
CONFIG = """
latency_budget_ms: {budget_ms:g}
cameras: {{camera: {{source: "synthetic:640x480@30"}}}}
http: {{listen: 127.0.0.1:0}}
"""


def record(budget_ms: float, folder: Path) -> Timeline:
    """One run of SCHEDULE.

    A first run, undisturbed, leaves the profile that the second one starts with.
    """
    config, trace = CONFIG.format(budget_ms=budget_ms), folder / "trace.jsonl"
    with RunningDaemon(folder, config) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 180)
        daemon.stop()
    with Neighbours() as neighbours, RunningDaemon(folder, config, "--trace", str(trace)) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 180)
        begun, begun_unix = time.monotonic(), time.time()
        for second, count in SCHEDULE:
            time.sleep(max(0.0, begun + second - time.monotonic()))
            neighbours.run(KINDS[:count])
        time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
        daemon.stop()
    recorded = read_trace(trace)
    assert isinstance(recorded, RecordedTrace)
    first = datetime.fromisoformat(daemon.results[0]["captured_at"].replace("Z", "+00:00"))
    zero_ms = (begun_unix - first.timestamp()) * 1000
    variants, steps = recorded_steps(recorded, "camera")
    shown = [
        replace(step, captured_ms=step.captured_ms - zero_ms)
        for step in steps
        if 0 <= step.captured_ms - zero_ms < SECONDS * 1000
    ]
    return Timeline(f"budget {budget_ms:g} ms", variants, shown)


def draw(timeline: Timeline, path: Path) -> None:
    figure = new_figure(11, 5.6)
    latency, variant, load = figure.subplots(
        3, sharex=True, gridspec_kw={"height_ratios": [3, 2, 0.8]}
    )
    draw_timeline(latency, variant, timeline, 1000.0)
    begins, counts = zip(*SCHEDULE, (SECONDS, SCHEDULE[-1][1]), strict=True)
    load.fill_between(begins, counts, step="post", color="0.75", linewidth=0)
    load.set_ylim(0, len(KINDS))
    load.set_ylabel("busy\nprograms")
    load.set_xlim(0, SECONDS)
    load.set_xlabel("seconds")
    write_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", type=float, default=16.0, metavar="MS")
    parser.add_argument("--into", type=Path, default=PICTURE, help="the picture's file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        timeline = record(options.budget, Path(folder))
    draw(timeline, options.into)
    late = sum(not step.on_time for step in timeline.steps)
    print(f"{len(timeline.steps)} frames, {late} of them late or dropped: {options.into}")


if __name__ == "__main__":
    main()

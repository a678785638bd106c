"""More views than the cores can serve accurately: does one of them miss more than the others?

    python tests/benchmarks/overload.py           prints the table and writes it (overload.md)

The pipeline with its queues and mailboxes is real; the clock and the device are simulated
(tests/rig/simulated_cores.py), so that two cores are two whatever this machine has, and every run
gives the same figures. cameras.py measures the same with a daemon and real cores.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from edged.atomic_file import write_whole
from edged.pipeline.limits import Bounds
from edged.pipeline.queue import ViewQueue
from edged.tracing.recording import read_trace
from edged.tracing.trace import FullTrace
from tests.rig.simulated_cores import SimulatedCores, ladder_of

HERE = Path(__file__).parent
BUDGETS_MS = (10, 20, 33, 50, 100, 200, 500, 1000)
ON_TIME = 0.95
SETTLING_SECONDS, SECONDS = 10, 60
ONE_CAMERA, EIGHT_CAMERAS = "views of one camera", "eight cameras"
CHEAPEST, UNBOUNDED, EDGED = "cheapest alone", "each for itself", "edged"
INTRODUCTION = f"""# Overload, in simulated time

Made by `python tests/benchmarks/overload.py`: eight views with the budgets that the columns name
(ms), {SECONDS} s after {SETTLING_SECONDS} s to settle. A run takes what the chosen variant took on
one of the frames of traces/idle.jsonl.gz. Each cell: share of frames on time in percent, where a
frame that was dropped because its budget was spent counts as late, and in brackets the accuracy of
the answers in percent. *{CHEAPEST}*: the ladder has only the cheapest variant. *{UNBOUNDED}*: a
run may last as long as its own budget permits, and nobody gives way to others. *worst* is how many
points the worst view is below the mean of the others, of those views of which the cheapest variant
alone would have {100 * ON_TIME:g} % on time."""


class Unbounded(Bounds):
    def beside_others_ms(self, *_: object) -> float:
        return math.inf

    def first(self, waiting: Sequence[ViewQueue], *_: object) -> ViewQueue:
        return waiting[0]


def measure(
    trace: FullTrace,
    cores: int,
    cameras: str,
    fps: float,
    policy: str = EDGED,
    settling_seconds: float = SETTLING_SECONDS,
    seconds: float = SECONDS,
) -> list[tuple[float, float]]:
    """Of each view: on time, accuracy of the answers; in percent."""
    camera = "yard/" if cameras == ONE_CAMERA else ""
    budgets_ms = {f"{camera}b{budget}": float(budget) for budget in BUDGETS_MS}
    rungs = ladder_of(trace)
    ladders = dict.fromkeys(budgets_ms, rungs[-1:] if policy == CHEAPEST else rungs)
    simulated = SimulatedCores(trace, ladders, budgets_ms, cores=cores, fps=fps, on_time=ON_TIME)
    pipeline = simulated.pipeline
    if policy == UNBOUNDED:
        clock = simulated.clock.clock
        pipeline._bounds = Unbounded(pipeline.queues, pipeline.controller, cores, 1, clock)
    simulated.run(settling_seconds)
    simulated.tally.views.clear()
    simulated.run(seconds)
    simulated.close()
    found = []
    for counts in (simulated.tally.views[view] for view in budgets_ms):
        frames, results = counts["results"] + counts["stale"], max(1, counts["results"])
        found.append((100 * counts["on time"] / frames, 100 * counts["correct"] / results))
    return found


def worst(on_time: Sequence[float]) -> float:
    """How far the lowest is below the mean of the others, in points."""
    lowest = min(on_time)
    return (sum(on_time) - lowest) / (len(on_time) - 1) - lowest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fps", type=float, nargs="+", default=[30, 60, 90])
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    trace = read_trace(HERE / "traces/idle.jsonl.gz")
    assert isinstance(trace, FullTrace)
    lines = [
        INTRODUCTION,
        "",
        "| cores | fps | | | " + " | ".join(map(str, BUDGETS_MS)) + " | worst |",
        "|---|---|---|---|" + "---|" * (len(BUDGETS_MS) + 1),
    ]
    for cores in (1, 2):
        for fps in options.fps:
            for cameras in (ONE_CAMERA, EIGHT_CAMERAS):
                found = {
                    policy: measure(trace, cores, cameras, fps, policy)
                    for policy in (CHEAPEST, UNBOUNDED, EDGED)
                }
                served = [on_time >= 100 * ON_TIME for on_time, _ in found[CHEAPEST]]
                for policy, views in found.items():
                    cells = " | ".join(f"{on_time:.1f} ({top1:.1f})" for on_time, top1 in views)
                    kept = [view[0] for view, counts in zip(views, served, strict=True) if counts]
                    gap = f"{worst(kept):.1f}" if len(kept) > 1 else "-"
                    lines.append(f"| {cores} | {fps:g} | {cameras} | {policy} | {cells} | {gap} |")
                    print(lines[-1], flush=True)
    if not options.dry:
        write_whole(HERE / "overload.md", "\n".join([*lines, ""]).encode())


if __name__ == "__main__":
    main()

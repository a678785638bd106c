"""Does a live daemon keep its budget while busy neighbours come and go?

    python tests/benchmarks/budget.py            the table (budget.md) and the picture (budget.png)

For each budget the daemon runs for three minutes on a drawn scene of 640x480 at 30 frames a second;
where it is more than a point below the target it runs again with nothing but the family's cheapest
variant, to see whether the target could have been kept at all. Beside both, the neighbours of
control_collect.py (two that compute, one that copies memory) run in spells of five seconds on
average, the same in every run. Printed: the share of frames on time (frames dropped because they
came too late to run count as misses) and the accuracy of what arrived in time. Needs edged[plot],
an otherwise idle machine, and half an hour.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from control_collect import CONDITIONS, Neighbours

from edged.atomic_file import write_whole
from edged.commands.plots.plot import new_figure, write_figure
from edged.variants.family import Family, load_family
from edged.variants.variant import Variant
from tests.rig.daemon import RunningDaemon

HERE = Path(__file__).parent
BUDGETS_MS = (5.0, 10.0, 20.0, 33.0)
ON_TIME = 0.95
SECONDS, SETTLING_SECONDS = 180.0, 3.0
SPELL_SECONDS = 5.0
KINDS = CONDITIONS["come and go"]
CONFIG = """
model: {model}
latency_budget_ms: {budget_ms}
on_time: {on_time}
{variants}
cameras: {{scene: {{source: "synthetic:640x480@30"}}}}
http: {{listen: 127.0.0.1:0}}
"""
INTRODUCTION = f"""# A live daemon beside neighbours that come and go

Made by `python tests/benchmarks/budget.py`, three minutes a run, a drawn scene of 640x480 at 30
frames a second, up to {len(KINDS)} busy neighbours in spells of {SPELL_SECONDS:g} s on average, the
same in each run; {100 * ON_TIME:g} % on time are asked for. A frame counts as late when its result
was late or it was dropped because its budget was spent. Accuracy: mean top-1 of the variants that
ran, over all frames, a late one counting 0. A row holds where edged is at most one point below the
target. Where it is not, the cheapest variant alone is run in its place: a target that this does not
keep is not asked for."""

HEADING = (
    "| budget, ms | frames | on time, % | accuracy, % | ran most | cheapest alone: on time, % "
    "| accuracy, % | verdict |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One run. results: second since the first, latency in ms, on time or not, variant."""

    name: str
    results: list[tuple[float, float, bool, str]]
    stale: int
    spells: list[tuple[float, int]]

    @property
    def frames(self) -> int:
        return len(self.results) + self.stale

    @property
    def on_time(self) -> float:
        return sum(on_time for _, _, on_time, _ in self.results) / self.frames

    def accuracy(self, top1: dict[str, float]) -> float:
        return sum(top1[name] for _, _, on_time, name in self.results if on_time) / self.frames

    @property
    def mostly(self) -> str:
        used = Counter(name for _, _, _, name in self.results)
        return ", ".join(
            f"{name.removeprefix('mobilenet_v1_')} {100 * count / len(self.results):.0f} %"
            for name, count in used.most_common(3)
        )


def spells() -> Iterator[tuple[float, int]]:
    """(when it begins, how many neighbours run), the same each time."""
    schedule, begin = Random(1), 0.0
    while begin < SECONDS:
        yield begin, schedule.randint(0, len(KINDS))
        begin += max(1.0, schedule.expovariate(1 / SPELL_SECONDS))


def run(name: str, config: str, neighbours: Neighbours, state: Path) -> Seen:
    planned = list(spells())
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningDaemon(Path(folder), config, STATE_DIRECTORY=str(state)) as daemon,
    ):
        daemon.wait_for_results(1)
        time.sleep(SETTLING_SECONDS)
        first, stale = len(daemon.results), daemon.metric(STALE)
        begun = time.monotonic()
        for begin, count in planned:
            time.sleep(max(0.0, begun + begin - time.monotonic()))
            neighbours.run(KINDS[:count])
        time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
        neighbours.run(())
        stale = daemon.metric(STALE) - stale
        daemon.stop()
    results = daemon.results[first:]
    zero = _seconds(results[0])
    seen = [
        (_seconds(each) - zero, each["latency_ms"], each["on_time"], each["variant"])
        for each in results
    ]
    return Seen(name, seen, int(stale), planned)


STALE = 'edged_frames_dropped_total{camera="scene",reason="stale"}'


def _seconds(result: dict[str, Any]) -> float:
    return datetime.fromisoformat(result["captured_at"].replace("Z", "+00:00")).timestamp()


def settle(config: str, state: Path) -> None:
    """A first run, undisturbed, leaves the profile that later ones begin with."""
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningDaemon(Path(folder), config, STATE_DIRECTORY=str(state)) as daemon,
    ):
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 180)
        daemon.stop()


def row(budget_ms: float, edged: Seen, cheapest: Seen | None, top1: dict[str, float]) -> str:
    alone, verdict = "not needed | |", "holds"
    if cheapest is not None:
        alone = f"{100 * cheapest.on_time:.2f} | {100 * cheapest.accuracy(top1):.2f} |"
        verdict = "FAILS" if cheapest.on_time >= ON_TIME else "not asked"
    return (
        f"| {budget_ms:g} | {edged.frames} | {100 * edged.on_time:.2f} "
        f"| {100 * edged.accuracy(top1):.2f} | {edged.mostly} | {alone} {verdict} |"
    )


def draw(found: list[tuple[float, Seen, Seen | None]], top1: dict[str, float], path: Path) -> None:
    """Latency of every result, coloured by its variant's accuracy, over the neighbours' spells."""
    figure = new_figure(15, 3.2 * len(found))
    axes = figure.subplots(len(found), 2, sharex=True, squeeze=False)
    bounds = min(top1.values()), max(top1.values())
    for (budget_ms, *pair), cells in zip(found, axes, strict=True):
        for seen, axis in zip(pair, cells, strict=True):
            if seen is None:
                axis.set_axis_off()
                continue
            begins, counts = zip(*[*seen.spells, (SECONDS, 0)], strict=True)
            load = axis.twinx()
            load.fill_between(begins, counts, step="post", color="0.88", zorder=0)
            load.set_ylim(0, 2 * len(KINDS))
            load.set_yticks([])
            axis.set_zorder(load.get_zorder() + 1)
            axis.patch.set_visible(False)
            seconds, latency_ms, _, names = zip(*seen.results, strict=True)
            accuracies = [top1[name] for name in names]
            points = axis.scatter(
                seconds, latency_ms, 3, accuracies, vmin=bounds[0], vmax=bounds[1], cmap="viridis"
            )
            axis.axhline(budget_ms, color="#c8102e", linewidth=1)
            axis.set_ylim(0, 2.5 * budget_ms)
            axis.set_ylabel("latency, ms")
            axis.set_title(
                f"{seen.name}, budget {budget_ms:g} ms: {100 * seen.on_time:.1f} % on time, "
                f"accuracy {100 * seen.accuracy(top1):.1f} %"
            )
    for axis in axes[-1]:
        axis.set_xlabel("seconds; grey: how many neighbours are busy")
    figure.colorbar(points, ax=axes, label="top-1 of the variant", shrink=0.5)
    write_figure(figure, path)


def config_for(family: Family, budget_ms: float, variants: str = "") -> str:
    return CONFIG.format(
        model=family.directory.absolute(), budget_ms=budget_ms, on_time=ON_TIME, variants=variants
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="imagenette", help="a family's name or folder")
    parser.add_argument("--budget", type=float, nargs="+", default=BUDGETS_MS, metavar="MS")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of budget.md and .png")
    options = parser.parse_args()
    family = load_family(options.model, Path.cwd())
    top1 = {variant.name: family.top1(variant) for variant in family.variants()}
    cheapest = min(family.variants(), key=lambda variant: (variant.alpha, variant.resolution))
    alone = f"variants: [{Variant(cheapest.alpha, cheapest.resolution).name}]"
    found: list[tuple[float, Seen, Seen | None]] = []
    with tempfile.TemporaryDirectory() as state, Neighbours() as neighbours:
        settle(config_for(family, 33.0), Path(state))
        for budget_ms in options.budget:
            chosen = run("edged", config_for(family, budget_ms), neighbours, Path(state))
            fixed = None
            if chosen.on_time < ON_TIME - 0.01:
                config = config_for(family, budget_ms, alone)
                fixed = run("cheapest variant alone", config, neighbours, Path(state))
            found.append((budget_ms, chosen, fixed))
            print(row(*found[-1], top1), flush=True)
    report(found, top1, options.into)


def report(
    found: list[tuple[float, Seen, Seen | None]], top1: dict[str, float], into: Path
) -> None:
    rows = [row(*each, top1) for each in found]
    table = "\n".join([HEADING, *rows])
    write_whole(into / "budget.md", f"{INTRODUCTION}\n\n{table}\n".encode())
    draw(found, top1, into / "budget.png")


if __name__ == "__main__":
    main()

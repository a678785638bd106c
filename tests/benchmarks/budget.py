"""Does a live daemon keep its budget, alone and with busy neighbours that come and go?

    python tests/benchmarks/budget.py imagenet clip.mp4 --budget 12 33

Each budget runs twice for a minute: undisturbed, and with a process burning each core from second
20 to second 40. Printed: the share of frames on time (frames dropped because they came too late
to run count as misses), the expected accuracy of what arrived in time, and which variant ran most
before, under and after the load.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from edged.variants.family import load_family
from tests.e2e.daemon import RunningDaemon

SECONDS = 60
LOAD_SECONDS = (20, 40)
BEFORE, UNDER, AFTER = (10, 20), (25, 40), (45, 60)

CONFIG = """
model: {model}
latency_budget_ms: {budget}
on_time: {on_time}
cameras:
  belt: {{source: {source}, loop: true}}
http: {{listen: 127.0.0.1:0}}
"""


def run(config: str, burn: bool) -> tuple[list[tuple[float, dict[str, Any]]], float]:
    """Results with the second each came at, counted from the first; and the frames dropped."""
    seen: list[tuple[float, dict[str, Any]]] = []
    burners: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder, RunningDaemon(Path(folder), config) as daemon:
        daemon.wait_for_results(1)
        begun = time.monotonic()
        while (second := time.monotonic() - begun) < SECONDS:
            seen += [(second, result) for result in daemon.results[len(seen) :]]
            if burn and not burners and second >= LOAD_SECONDS[0]:
                burners = [
                    subprocess.Popen([sys.executable, "-c", "while True: pass"])
                    for _ in range(os.cpu_count() or 1)
                ]
            if second >= LOAD_SECONDS[1]:
                for burner in burners:
                    burner.kill()
                    burner.wait()
            time.sleep(0.05)
        stale = daemon.metric('edged_frames_dropped_total{camera="belt",reason="stale"}')
        daemon.stop()
    return seen, stale


def most_used(seen: list[tuple[float, dict[str, Any]]], phase: tuple[int, int]) -> str:
    used = Counter(result["variant"] for second, result in seen if phase[0] <= second < phase[1])
    name, count = used.most_common(1)[0]
    return f"{name} {100 * count / used.total():.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="a family's name or folder")
    parser.add_argument("source", help="a clip, or synthetic:640x480@30")
    parser.add_argument("--budget", type=float, nargs="+", default=[12, 33], metavar="MS")
    parser.add_argument("--on-time", type=float, default=0.95)
    options = parser.parse_args()
    family = load_family(options.model, Path.cwd())
    top1 = {variant.name: family.top1(variant) for variant in family.variants()}
    source = options.source
    if not source.startswith("synthetic"):
        source = Path(source).absolute()
    for budget in options.budget:
        for burn in (False, True):
            config = CONFIG.format(
                model=family.directory.absolute(), budget=budget, on_time=options.on_time,
                source=source,
            )  # fmt: skip
            seen, stale = run(config, burn)
            good = [result for _, result in seen if result["on_time"]]
            frames = len(seen) + stale
            latencies = sorted(result["latency_ms"] for _, result in seen)
            print(
                f"budget {budget:g} ms, {'neighbours 20-40 s' if burn else 'undisturbed'}: "
                f"{100 * len(good) / frames:.1f} % of {frames:.0f} on time, "
                f"p50 {latencies[len(latencies) // 2]:.1f} ms, "
                f"accuracy {sum(top1[result['variant']] for result in good) / frames:.3f}"
            )
            for name, phase in (("before", BEFORE), ("under", UNDER), ("after", AFTER)):
                print(f"  {name:6} {phase[0]}-{phase[1]} s: {most_used(seen, phase)}")


if __name__ == "__main__":
    main()

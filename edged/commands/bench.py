"""`edged bench`: times of every variant on this device, its clocks, and the cost of a pause."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edged.commands.parts import Commands, add_command, positive_int, print_table, thread_count
from edged.sensors import power_mode
from edged.sensors.reading import Gauge
from edged.sensors.sensors import Heat, Sensors

if TYPE_CHECKING:
    from edged.backends.bench import Ramp

HELPS = 0.85
"""keep_warm is recommended if it shortens the first run after a pause to this part."""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    bench = add_command(
        commands,
        "bench",
        _bench,
        "measure every variant of a family on this device",
        "edged bench --model imagenette --threads 1 2 --json",
    )
    bench.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    bench.add_argument("--backend", default="auto", help="as in the configuration (default: auto)")
    bench.add_argument(
        "--threads",
        type=thread_count,
        nargs="+",
        default=[1],
        metavar="N",
        help="threads per inference; given several, each is measured (default: 1)",
    )
    bench.add_argument(
        "--runs", type=positive_int, default=100, help="runs of each variant (default: 100)"
    )
    bench.add_argument("--json", action="store_true", help="print JSON")


def _bench(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.backends.auto import load_backends
    from edged.backends.bench import bench, ramp
    from edged.backends.loaded import LoadedNetworks
    from edged.control.profile import ladder
    from edged.variants.family import load_family

    sensors = Sensors()
    family = load_family(options.model, Path.cwd())
    backends, _ = load_backends(options.backend)
    loaded = LoadedNetworks([family], backends, list(dict.fromkeys(options.threads)))
    with tqdm(total=options.runs, unit="round", disable=None, leave=False) as bar:
        measured = bench(family, loaded, options.runs, lambda: bar.update())
    sensors.read()  # before the clocks come down
    pause = ramp(loaded, measured)
    frontier = ladder(measured)
    rows = [
        {
            "variant": each.variant.name,
            "threads": each.threads,
            "runtime": each.runtime,
            "p50_ms": round(each.p50_ms, 3),
            "p95_ms": round(each.p95_ms, 3),
            "top1": None if family.accuracy(each.variant) is None else round(each.top1, 4),
            "on_frontier": each in frontier,
        }
        for each in sorted(measured, key=lambda each: (-each.top1, each.p50_ms))
    ]
    if options.json:
        facts = {
            "family": family.name,
            "runtimes": {each.name: each.version for each in backends},
            "sensors": dict(samples(sensors.gauges)),
            "after_a_pause": {
                name: round(value, 3) if isinstance(value, float) else value
                for name, value in asdict(pause).items()
            },
        }
        print(json.dumps({**facts, "variants": rows}, indent=2))
        return 0
    runtimes = dict.fromkeys(f"{each.name} {each.version}" for each in backends)
    print(f"{family.name} with {', '.join(runtimes)}, {options.runs} runs of each")
    if state := ", ".join(device_state(sensors.gauges)):
        print(state)
    print()
    for row in rows:
        row["on_frontier"] = "Pareto frontier" if row["on_frontier"] else "dominated"
    print_table(rows, ("variant", "threads", "runtime", "p50 ms", "p95 ms", "top-1", ""))
    if pause.slow:
        print(f"\n{warning(pause, sensors.gauges)}")
    return 0


def samples(gauges: Iterable[Gauge]) -> Iterator[tuple[str, float]]:
    """Each value with its name in /metrics."""
    for gauge in gauges:
        for labels, value in gauge.values.items():
            pairs = zip(gauge.labels, labels, strict=True)
            inner = ",".join(f'{label}="{text}"' for label, text in pairs)
            yield (f"{gauge.name}{{{inner}}}" if inner else gauge.name), value


def device_state(gauges: Iterable[Gauge]) -> Iterator[str]:
    """`power mode MAXN_SUPER (2)`, `GPU at 306 of 1020 MHz`; unknown values are left out."""
    gauges = tuple(gauges)
    values = {gauge.name: gauge.values for gauge in gauges}
    for number, name in values.get(power_mode.NAME, {}):
        yield f"power mode {name} ({number})" if name else f"power mode {number}"
    for part, called in (("cpu", "CPU"), ("gpu", "GPU"), ("memory", "memory")):
        now, limit, floor = (
            max(values.get(f"edged_{part}_frequency{which}_hertz", {}).values(), default=0) / 1e6
            for which in ("", "_limit", "_floor")
        )
        if limit and floor == limit:
            yield f"{called} fixed at {limit:.0f} MHz"
        elif now and limit:
            yield f"{called} at {now:.0f} of {limit:.0f} MHz"
        elif now or limit:
            yield f"{called} at {now:.0f} MHz" if now else f"{called} at most {limit:.0f} MHz"
    heat = Heat.of(gauges)
    if heat.temperature_c is not None:
        yield f"{heat.temperature_c:.0f} degrees"
    if heat.throttled:
        yield "throttled"


def warning(pause: Ramp, gauges: Iterable[Gauge]) -> str:
    """One line: the cost of a pause, and what reduces it."""
    assert pause.warm_ms is not None
    known = {gauge.name for gauge in gauges if gauge.values}
    times = f"takes {pause.rested_ms:.1f} ms instead of {pause.steady_ms:.1f}"
    said = [f"after a pause of one second {pause.variant} {times}"]
    if "edged_gpu_frequency_hertz" in known:
        said.append("sudo jetson_clocks keeps the clocks up")
    elif "edged_cpu_frequency_hertz" in known:
        said.append("the CPU governor `performance` keeps the clocks up")
    if pause.warm_ms < HELPS * pause.rested_ms:
        said.append(f"keep_warm: true reduces that to {pause.warm_ms:.1f} ms")
    else:
        said.append(f"keep_warm: true does not help here ({pause.warm_ms:.1f} ms)")
    return "warning: " + "; ".join(said)

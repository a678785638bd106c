"""`edged bench`: every variant on this device."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edged.commands import Commands, add_command, positive_int, print_table, thread_count


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    bench = add_command(
        commands,
        "bench",
        _bench,
        "measure every variant of a family on this device",
        "edged bench --model imagenette --threads 1 2 --json",
    )
    bench.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    bench.add_argument("--backend", default="auto")
    bench.add_argument("--threads", type=thread_count, nargs="+", default=[1], metavar="N")
    bench.add_argument("--runs", type=positive_int, default=100, help="of each (default: 100)")
    bench.add_argument("--json", action="store_true")


def _bench(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.backends.auto import load_backend
    from edged.backends.loaded import LoadedFamily
    from edged.control.bench import bench
    from edged.control.profile import ladder
    from edged.variants.family import load_family

    family = load_family(options.model, Path.cwd())
    backend, _ = load_backend(options.backend)
    loaded = LoadedFamily(family, backend, list(dict.fromkeys(options.threads)))
    with tqdm(total=options.runs, unit="round", disable=None, leave=False) as bar:
        measured = bench(loaded, options.runs, lambda: bar.update())
    frontier = ladder(measured)
    rows = [
        {
            "variant": each.variant.name,
            "threads": each.threads,
            "p50_ms": round(each.p50_ms, 3),
            "p95_ms": round(each.p95_ms, 3),
            "top1": round(each.top1, 4),
            "on_frontier": each in frontier,
        }
        for each in sorted(measured, key=lambda each: (-each.top1, each.p50_ms))
    ]
    if options.json:
        facts = {"family": family.name, "backend": backend.name, "version": backend.version}
        print(json.dumps({**facts, "variants": rows}, indent=2))
        return 0
    print(f"{family.name} with {backend.name} {backend.version}, {options.runs} runs of each\n")
    for row in rows:
        row["on_frontier"] = "Pareto frontier" if row["on_frontier"] else "dominated"
    print_table(rows, ("variant", "threads", "p50 ms", "p95 ms", "top-1", ""))
    return 0

"""Where the instructions of a result go, by Python function.

    python -m tests.benchmarks.arm.profile [a72|a76]

As root. Written to standard output: thousand instructions of a result that each function executes
itself, and with all that it calls, the most first; functions in <> are C's. Python takes about
3,400 instructions to call a profiler: so many are taken off for each call and each return.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.benchmarks.arm.measure import CLIPS, MJPEG, RESULTS, SECONDS, SETTLING, make_clips
from tests.benchmarks.arm.root import Counts, between, cache_folder, make_root, run_counted
from tests.benchmarks.arm.slots import Slot

CALL = 3400
"""What the same threads execute without a profiler tells it: 3,390 for the sink's, 3,420 for the
pipeline's."""
SHOWN = 60


def main(processor: str = "a72") -> None:
    root = make_root(cache_folder())
    make_clips(root)
    with tempfile.TemporaryDirectory(prefix="edged-arm-") as folder:
        work = Path(folder)
        arguments = ["daemon", "onnxruntime", CLIPS[MJPEG], str(SETTLING + RESULTS), "profile"]
        processes = run_counted(root, processor, work, *arguments, seconds=SECONDS)
        functions = json.loads((work / "profile.json").read_text())
    (dumps,) = (dumps for dumps in processes if Slot.PIPELINE in dumps[-1])
    itself, inclusive, calls = sums(dumps[-1 - RESULTS], dumps[-1], functions)
    print("| thousand itself | with its calls | calls | function |\n| --- | --- | --- | --- |")
    for name, count in itself.most_common(SHOWN):
        print(f"| {count / 1e3:.1f} | {inclusive[name] / 1e3:.1f} | {calls[name]:.1f} | {name} |")


def sums(
    before: Counts, after: Counts, functions: list[tuple[int, str]]
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Instructions of a result by function: its own, with its calls'; and how often it is called.

    functions: of each slot from FIRST_FUNCTION on the caller's slot, and the name.
    """
    itself, inclusive, calls = Counter[str](), Counter[str](), Counter[str]()
    returns: Counter[int] = Counter()
    for slot in sorted(after, reverse=True):  # who is called has a higher one than the caller
        if slot < Slot.FIRST_FUNCTION:
            continue
        entries, total, *_ = between(before, after, slot)
        own = (total - CALL * entries) / RESULTS
        way = []
        at = slot
        while at >= Slot.FIRST_FUNCTION:
            at, name = functions[at - Slot.FIRST_FUNCTION]
            way.append(name)
        itself[way[0]] += own
        for name in set(way):
            inclusive[name] += own
        called = entries - returns[slot]
        returns[functions[slot - Slot.FIRST_FUNCTION][0]] += called
        calls[way[0]] += called / RESULTS
    return itself, inclusive, calls


if __name__ == "__main__":
    main(*sys.argv[1:])

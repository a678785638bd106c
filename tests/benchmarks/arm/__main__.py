"""Count all of it, as root: `make bench-arm`. An interrupted run goes on where it was.

    python -m tests.benchmarks.arm [WORD…]

With words only what has all of them in its name is counted (`a72 ncnn`, `daemon 220`), and shown.
Written at the end: counts.json (which tests/test_arm_counts.py compares with), arm.md and arm.png.
"""

from __future__ import annotations

import sys
import time

from tests.benchmarks.arm.measure import (
    COMMITTED,
    MJPEG,
    count,
    jobs,
    make_clips,
    read,
    store_of,
    write,
)
from tests.benchmarks.arm.report import PICTURE, TABLE, draw, report
from tests.benchmarks.arm.root import CannotCountError, cache_folder, make_root
from tests.device.step import say

REPEATED = ("mobilenet_v1_0.25_128/", f"{MJPEG}/")
"""What has one of these in its name is counted three times."""
REPEATS = 3


def main(words: list[str]) -> None:
    cache = cache_folder()
    root = make_root(cache)
    make_clips(root)
    path = store_of(cache)
    store = read(path)
    begun = time.monotonic()
    for job in jobs():
        keys = job.keys()
        name = "/".join((*keys, ""))
        if not all(word in name for word in words):
            continue
        times = REPEATS if any(each in name for each in REPEATED) else 1
        for repeat in range(times):
            if all(len(store.get(key, ())) > repeat for key in keys):
                continue
            counted = count(job, root)
            for key, figures in zip(keys, counted, strict=True):
                store.setdefault(key, []).append(figures)
                say(f"{key}: {figures}")
            write(store, path)
    say(f"counted in {time.monotonic() - begun:.0f} s")
    if not words:
        write(store, COMMITTED)
        TABLE.write_text(report(store))
        draw(store, PICTURE)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CannotCountError as error:
        sys.exit(str(error))

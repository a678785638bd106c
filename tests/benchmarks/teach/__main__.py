"""How good taught heads are, on real pictures: `make bench-teach`, with EDGED_DATA.

    EDGED_DATA=DIR [EDGED_TEACH_CACHE=DIR] python -m tests.benchmarks.teach

Writes teach.md and teach.png. The cache keeps the features, which take most of the time: about half
an hour at first, some minutes then.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.benchmarks.teach.plot import draw
from tests.benchmarks.teach.report import report
from tests.benchmarks.teach.studies import Bench
from tests.rig.paths import PROJECT

BENCHMARKS = PROJECT / "tests/benchmarks"


def main(data: Path, cache: Path) -> None:
    bench = Bench(data, cache)
    results = bench.run()
    (BENCHMARKS / "teach.md").write_text(report(results))
    draw(results, BENCHMARKS / "teach.png")


if __name__ == "__main__":
    os.nice(10)
    with tempfile.TemporaryDirectory(prefix="edged-teach-") as folder:
        main(
            Path(os.environ["EDGED_DATA"]),
            Path(os.environ.get("EDGED_TEACH_CACHE", folder)),
        )

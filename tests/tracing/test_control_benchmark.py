"""`make bench-control TRACE=…` on what a daemon with views recorded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.rig.paths import PROJECT
from tests.rig.traces import recorded


def test_a_recorded_trace_is_measured_view_by_view(tmp_path: Path) -> None:
    recorded(tmp_path / "t.jsonl", 300)
    ran = subprocess.run(
        [sys.executable, "tests/benchmarks/control.py", "--trace", str(tmp_path / "t.jsonl")],
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = re.findall(r"^\| t, (\S+) \|.* (\d+\.\d+) \(\d", ran.stdout, re.MULTILINE)
    assert [view for view, _ in rows] == [
        view for view in ("door", "yard/bin", "yard/gate") for _ in range(3)
    ]
    assert max(float(accuracy) for view, accuracy in rows if view == "yard/bin") > 75

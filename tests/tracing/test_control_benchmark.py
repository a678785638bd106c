"""`make bench-control TRACE=…` on what a daemon with views recorded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edged.tracing.policies import Fixed
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant
from tests.benchmarks.control import BLOCK_FRAMES, _error
from tests.rig.paths import PROJECT
from tests.rig.traces import recorded


def test_a_recorded_trace_is_measured_view_by_view(tmp_path: Path) -> None:
    recorded(tmp_path / "t.jsonl", 300)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.control", "--trace", str(tmp_path / "t.jsonl")],
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


def test_the_standard_error_of_a_difference() -> None:
    """In every other block the larger variant is late: the difference is 0.2 there, else -0.1."""
    variants = TracedVariant("large", 0.3, 10.0), TracedVariant("small", 0.2, 1.0)
    blocks = [(10.0, 1.0), (30.0, 1.0)] * 4
    times = [each for each in blocks for _ in range(BLOCK_FRAMES)]
    frames = tuple(TracedFrame(33.0 * i, 1.0, each) for i, each in enumerate(times))
    small, large = (Fixed([place], len(frames)) for place in (1, 0))
    error = _error(FullTrace(variants, frames), 20.0, small, large)
    deviation = 0.15 * (8 / 7) ** 0.5
    assert error == pytest.approx(deviation / 8**0.5)

"""More views than a core can serve accurately: none pays for the others with its share on time."""

from __future__ import annotations

import pytest

from edged.tracing.recording import read_trace
from edged.tracing.trace import FullTrace
from tests.benchmarks.overload import EIGHT_CAMERAS, ONE_CAMERA, measure, worst
from tests.rig.paths import PROJECT

MEASURED = PROJECT / "tests/benchmarks/traces/idle.jsonl.gz"


@pytest.mark.parametrize("cameras", [ONE_CAMERA, EIGHT_CAMERAS])
@pytest.mark.parametrize(("cores", "fps"), [(1, 60), (2, 90)])
def test_no_view_is_far_below_the_others(cores: int, fps: float, cameras: str) -> None:
    trace = read_trace(MEASURED)
    assert isinstance(trace, FullTrace)
    found = measure(trace, cores, cameras, fps, settling_seconds=5, seconds=15)
    assert worst([on_time for on_time, _ in found]) <= 3
    assert min(top1 for _, top1 in found[2:]) > 83  # the cheapest has 80.4

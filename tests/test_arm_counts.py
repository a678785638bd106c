"""What edged executes on a Raspberry Pi's processor does not grow: counted, not timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.arm.measure import (
    COMMITTED,
    DAEMON,
    MJPEG,
    Figures,
    Job,
    count,
    jobs,
    make_clips,
    read,
)
from tests.benchmarks.arm.root import CannotCountError, cache_folder, make_root

pytestmark = pytest.mark.timeout(600)

MORE = 1.03
SMALLEST = "mobilenet_v1_0.25_128"
RESULTS = 15
"""Too few for `ticks`, of which there are four a second; they are left out."""
PARTS = (("decode", "capture"), ("preprocess", "pipeline", "sinks"), ("inference",))


@pytest.fixture(scope="module")
def root() -> Path:
    folder = cache_folder()
    if not (folder / "arm64").is_dir():
        pytest.skip("needs the arm64 root that make bench-arm creates")
    try:
        found = make_root(folder)
    except CannotCountError as error:
        pytest.skip(str(error))
    make_clips(found)
    return found


def committed(job: Job) -> Figures:
    store = read(COMMITTED)
    (key,) = job.keys()
    assert key in store, f"not counted yet: make bench-arm writes {key}"
    return store[key][0]


RUNTIMES = [job.subject for job in jobs() if job.processor == "a72" and SMALLEST in job.names]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_inference_takes_no_more_instructions_than_committed(root: Path, runtime: str) -> None:
    job = Job("a72", runtime, (SMALLEST,))
    (figures,) = count(job, root)
    assert figures["all"] <= MORE * committed(job)["all"], (
        "if it has to be so, make bench-arm commits the new count"
    )


def test_a_result_takes_no_more_instructions_than_committed(root: Path) -> None:
    job = Job("a72", f"{DAEMON}onnxruntime", (MJPEG,))
    (figures,) = count(job, root, results=RESULTS)
    before = committed(job)
    for part in PARTS:
        now, then = (sum(each[stage] for stage in part) for each in (figures, before))
        assert now <= MORE * then, f"{part}: {figures}, committed {before}"

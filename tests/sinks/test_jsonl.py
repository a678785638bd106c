"""JSON lines on real files, pipes and full disks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.result import Event, Result, to_json_line
from edged.sinks.jsonl.jsonl import TIMING, Destination, Lines, open_lines
from tests.rig.paths import PROJECT
from tests.rig.results import make_result, sequences
from tests.rig.waiting import eventually


def test_one_line_a_result_appended(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for first in (0, 100):  # the daemon is started twice
        sink = Lines(open_lines(path))
        for sequence in range(first, first + 100):
            sink.publish(make_result(sequence))
        sink.close(10)
        assert sink.delivered == 100
        assert not any(sink.dropped.values())
    assert sequences(path.read_text()) == list(range(200))


def test_a_line_is_there_as_soon_as_it_is_delivered(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    sink = Lines(open_lines(path))
    for sequence in range(3):
        sink.publish(make_result(sequence))
        eventually(lambda: sink.delivered == sequence + 1)  # noqa: B023 - asked at once
        assert sequences(path.read_text()) == list(range(sequence + 1))
    sink.close(10)


def test_the_text_is_made_in_the_threads_own_time(tmp_path: Path) -> None:
    """Told per result: how long it took from hand-over to line, in seconds."""
    delivery_seconds: list[float] = []
    told_by: set[str] = set()

    def observe_delivery(seconds: float) -> None:
        delivery_seconds.append(seconds)
        told_by.add(threading.current_thread().name)

    sink = Lines(open_lines(tmp_path / "results.jsonl"))
    sink.observe_delivery = observe_delivery
    for sequence in range(5):
        sink.publish(make_result(sequence))
    sink.close(10)
    assert len(delivery_seconds) == 5
    assert all(0 <= seconds < 10 for seconds in delivery_seconds)
    assert told_by == {"sink-jsonl"}


def test_a_reader_that_stops_reading_never_blocks_and_is_counted() -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(write_fd, bytes(4096))
    os.set_blocking(write_fd, True)
    sink = Lines(Destination(write_fd, "a pipe"), most_results=16)
    begun = time.monotonic()
    for sequence in range(20_000):
        sink.publish(make_result(sequence))
    assert time.monotonic() - begun < 10  # a single blocked call would last for ever

    begun = time.monotonic()
    sink.close(0.2)
    assert time.monotonic() - begun < 5
    assert sink.dropped["queue_full"] > 0
    assert sink.dropped["closed"] in (16, 17)  # the one under way was taken before or after
    assert sink.delivered == 0
    assert sum(sink.dropped.values()) == 20_000

    closed = sink.dropped["closed"]
    with os.fdopen(read_fd) as reader:  # let the thread go: it ends with what was under way
        reader.read(filled)
        assert json.loads(reader.readline())["sequence"] < 19_983  # the newest wait
        eventually(lambda: sink.delivered == 1)
    assert sink.dropped["closed"] == closed  # a counter never falls
    os.close(write_fd)


def test_on_a_full_disk_lines_wait_and_two_log_lines_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return closing.wait(0.001)

    closing = threading.Event()
    sink = Lines(open_lines(Path("/dev/full")), most_results=20, timing=replace(TIMING, wait=wait))
    for sequence in range(50):
        sink.publish(make_result(sequence))
    eventually(lambda: len(pauses) > 10)
    closing.set()
    sink.close(10)
    assert sink.delivered == 0
    assert sink.dropped == {"queue_full": 30, "write_error": 0, "closed": 20}
    assert not sink.broken_pipe
    assert pauses[:6] == [0.5, 1, 2, 4, 5, 5]
    told = [each.getMessage() for each in caplog.records if "/dev/full" in each.getMessage()]
    assert told == [
        "jsonl: /dev/full: cannot write: No space left on device",
        "jsonl: /dev/full: backlog full, dropping the oldest entries",
    ]


def test_another_path_takes_over_what_waits_for_a_full_disk(tmp_path: Path) -> None:
    before = Lines(open_lines(Path("/dev/full")), timing=replace(TIMING, lasting_seconds=0))
    for sequence in range(5):
        before.publish(make_result(sequence))
    eventually(lambda: before._outage._logged is not None)
    after = Lines(open_lines(tmp_path / "results.jsonl"))
    after.take_over(before)
    after.start()
    before.close(10)
    eventually(lambda: after.delivered == 5)
    after.close(10)
    assert sequences((tmp_path / "results.jsonl").read_text()) == list(range(5))
    assert not any((before.dropped | after.dropped).values())


def test_whatever_a_line_fails_of_the_thread_goes_on(tmp_path: Path) -> None:
    def render(entry: Result | Event) -> str:
        if isinstance(entry, Result) and entry.sequence == 1:
            raise RecursionError
        return to_json_line(entry)

    path = tmp_path / "results.jsonl"
    sink = Lines(open_lines(path), render)
    for sequence in range(3):
        sink.publish(make_result(sequence))
    eventually(lambda: sink.delivered == 2)
    assert sink.alive
    sink.close(10)
    assert sequences(path.read_text()) == [0, 2]
    assert sink.dropped["write_error"] == 1


def test_goes_on_when_there_is_room_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file's own limit stands in for the disk: what does not fit is written in part."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "results.jsonl"
    script = """
import logging, resource, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.rig.results import make_result
from tests.rig.waiting import eventually
from dataclasses import replace
from edged.sinks.jsonl.jsonl import TIMING, Lines, open_lines
logging.basicConfig(level=logging.INFO, format="%(message)s")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
sink = Lines(open_lines(Path(sys.argv[2])), timing=replace(TIMING, lasting_seconds=0))
for sequence in range(10):
    sink.publish(make_result(sequence))
eventually(lambda: sink.trouble == "cannot write: File too large")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for sequence in range(10, 20):
    sink.publish(make_result(sequence))
eventually(lambda: sink.delivered == 20)
eventually(lambda: sink.trouble is None)
sink.close(10)
print(sum(sink.dropped.values()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(PROJECT), str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "0\n"
    assert sequences(path.read_text()) == list(range(20))
    log = done.stderr.splitlines()
    assert len(log) == 2
    assert "cannot write: File too large" in log[0]
    assert log[1].endswith("works again")


@pytest.mark.parametrize("left", [b"", b'{"sequence":1}\n', b'{"sequence":1}\n{"sequ'])
def test_what_a_full_disk_cuts_off_is_taken_back(tmp_path: Path, left: bytes) -> None:
    """Nothing else is: neither what the last run left nor what somebody else appends."""
    path = tmp_path / "results.jsonl"
    path.write_bytes(left)
    script = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.rig.results import make_result
from tests.rig.waiting import eventually
from edged.sinks.jsonl.jsonl import Lines, open_lines
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
sink = Lines(open_lines(Path(sys.argv[2])))
sink.publish(make_result(0))
eventually(lambda: sink._outage._logged is not None)
print(Path(sys.argv[2]).read_text(), end="|")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.publish(make_result(1))
sink.close(10)
"""
    command = [sys.executable, "-c", script, str(PROJECT), str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    assert done.stdout == left + b"|"
    whole = path.read_bytes()
    assert whole.startswith(left + (b"\n{" if left.endswith(b"u") else b"{"))
    assert sequences(whole.removeprefix(left).decode().lstrip()) == [0, 1]


@pytest.mark.parametrize(
    ("left", "lines"), [(b'{"sequence":1}\n', 2), (b'{"sequence":1}\n{"sequ', 3), (b"", 1)]
)
def test_a_line_that_the_last_run_left_torn_spoils_no_other(
    tmp_path: Path, left: bytes, lines: int
) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(left)
    sink = Lines(open_lines(path))
    sink.publish(make_result(5))
    sink.close(10)
    content = path.read_text().splitlines()
    assert len(content) == lines
    assert json.loads(content[-1])["sequence"] == 5


def test_a_reader_that_leaves_is_seen() -> None:
    script = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.rig.results import make_result
from tests.rig.waiting import eventually
from edged.sinks.jsonl.jsonl import Lines, open_lines
sink = Lines(open_lines(None))
sequence = 0
def publish():
    global sequence
    sink.publish(make_result(sequence))
    sequence += 1
    return sink.broken_pipe
eventually(publish)
sink.close(5)
print(sink.delivered >= 3, sink.dropped["write_error"] > 0, file=sys.stderr)
"""
    command = [sys.executable, "-c", script, str(PROJECT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stderr is not None
        first = [json.loads(daemon.stdout.readline())["sequence"] for _ in range(3)]
        daemon.stdout.close()
        complaints = daemon.stderr.read().decode().splitlines()
        assert daemon.wait(60) == 0
    assert first == [0, 1, 2]
    assert complaints[-1] == "True True"
    assert len(complaints) == 2
    assert "standard output: cannot write: Broken pipe" in complaints[0]


def test_closed_standard_output_is_an_error() -> None:
    script = "from edged.sinks.jsonl.jsonl import open_lines; open_lines(None)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, script],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "EdgedError: standard output is closed" in done.stderr


def test_a_result_that_is_no_json_is_lost_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    sink = Lines(open_lines(path))
    for sequence, score in enumerate((0.5, float("nan"), 0.5)):
        sink.publish(make_result(sequence, score))
    sink.close(10)
    assert sequences(path.read_text()) == [0, 2]
    assert sink.dropped["write_error"] == 1


def test_what_cannot_be_opened_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "results.jsonl"
    with pytest.raises(EdgedError, match=f"mkdir -p {missing.parent}") as error:
        open_lines(missing)
    assert str(missing) in str(error.value)
    with pytest.raises(EdgedError, match="Is a directory"):
        open_lines(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(EdgedError, match="start the reader first"):
        open_lines(pipe)


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    path = Path("/proc/results.jsonl") if os.geteuid() == 0 else tmp_path / "locked" / "r.jsonl"
    if os.geteuid() != 0:
        path.parent.mkdir(mode=0o500)
    with pytest.raises(EdgedError, match=str(path)):
        open_lines(path)


def test_closing_gives_the_descriptor_back(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        Lines(open_lines(tmp_path / "results.jsonl")).close(10)
    after = len(list(Path("/proc/self/fd").iterdir()))
    assert after <= before  # earlier tests may give some back meanwhile

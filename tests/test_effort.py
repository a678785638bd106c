"""Real processes: one computes, one sleeps, one is stopped, one has to share its core."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from edged.effort import WORK_SHARE, Effort, Observed, Silence, effort_of
from tests.rig.camera import wait_until

SECOND = 1_000_000_000
BUSY, ASLEEP = "while True: pass", "import time; time.sleep(60)"


@contextmanager
def process(script: str, core: int | None = None) -> Iterator[Path]:
    started = subprocess.Popen([sys.executable, "-c", script])
    try:
        # Under a real-time policy, which it would inherit, it would leave no time to the test.
        os.sched_setscheduler(started.pid, os.SCHED_OTHER, os.sched_param(0))
        if core is not None:
            os.sched_setaffinity(started.pid, {core})
        time.sleep(0.3)  # its start is work
        yield Path(f"/proc/{started.pid}")
    finally:
        started.kill()
        started.wait()


def silent_share(folder: Path, seconds: float = 1.0) -> float:
    """What part of the time counts as silence."""
    begun_ns = time.monotonic_ns()
    silence = Silence(begun_ns)
    while (now_ns := time.monotonic_ns()) < begun_ns + seconds * SECOND:
        silence.look(now_ns, partial(effort_of, folder))
        time.sleep(0.05)
    return silence.seconds / ((now_ns - begun_ns) / SECOND)


def test_who_computes_is_not_silent_and_who_sleeps_or_is_stopped_is() -> None:
    with process(BUSY) as busy, process(ASLEEP) as asleep:
        assert silent_share(busy) < 0.4
        assert silent_share(asleep) > 0.9
        os.kill(int(busy.name), signal.SIGSTOP)
        time.sleep(0.1)
        assert silent_share(busy) > 0.9


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs CONFIG_SCHED_INFO")
def test_who_waits_for_a_core_is_not_silent() -> None:
    core = min(os.sched_getaffinity(0))
    with process(BUSY, core), process(BUSY, core), process(BUSY, core) as third:
        before = effort_of(third)
        assert silent_share(third) < 0.4
        after = effort_of(third)
    assert before is not None
    assert after is not None
    assert after.waited - before.waited > 0.2


def test_a_process_that_is_gone_tells_nothing() -> None:
    assert effort_of(Path("/proc/0")) is None
    assert Observed(Path("/proc/0")).effort_of_all() is None


def test_what_a_process_has_started_works_for_it() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("this kernel does not tell of children: it needs CONFIG_PROC_CHILDREN")
    with process(BUSY), Observed(Path(f"/proc/{os.getpid()}")) as observed:

        def ahead() -> float:
            own, all_of_them = observed.effort(), observed.effort_of_all()
            assert own is not None
            assert all_of_them is not None
            return all_of_them.worked - own.worked

        before = ahead()
        assert wait_until(lambda: ahead() - before > 0.2)


def test_a_kernel_that_does_not_tell_of_waiting(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("7 (a) b) c) R 1 1 1 0 -1 0 9 9 42 9 150 50 0 0")
    ticks = os.sysconf("SC_CLK_TCK")
    assert effort_of(tmp_path) == Effort(200 / ticks, 0.0, 42)
    (tmp_path / "schedstat").write_text("1 3000000000 7\n")
    assert effort_of(tmp_path) == Effort(200 / ticks, 3.0, 42)


def test_reading_code_from_a_slow_disk_is_progress() -> None:
    silence = Silence(0)
    for second in range(1, 10):
        assert silence.look(second * SECOND, partial(Effort, 0, 0, second)) == 1  # not known yet
    assert silence.look(10 * SECOND, partial(Effort, 0, 0, 9)) == 2


def test_work_is_not_saved_up_for_a_silence_that_comes_later() -> None:
    silence = Silence(0)
    assert silence.look(SECOND, partial(Effort, 0, 0, 0)) == 1
    assert silence.look(2 * SECOND, partial(Effort, 100, 100, 0)) == 0
    assert silence.look(3 * SECOND, partial(Effort, 100, 100, 0)) == 1


def test_more_threads_than_one_do_not_work_for_ever() -> None:
    silence = Silence(0)
    for second in range(1, 22):
        silence.look(second * SECOND, partial(Effort, 2.0 * second, 0, 0))
    assert silence.seconds == pytest.approx(1 + 20 * WORK_SHARE)


HIDDEN = """
import ctypes, os, subprocess, sys, time
from pathlib import Path
from edged.effort import Observed, effort_of

os.setgid(65534)
os.setuid(65534)
program = "import ctypes, time; input(); ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)"
program += "\\nprint(1, flush=True)\\nwhile time.process_time() < 30: pass"
process = subprocess.Popen(
    [sys.executable, "-c", program],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
)
folder = Path(f"/proc/{process.pid}")
try:
    observed = Observed.of_new(folder)
    process.stdin.write(b"go\\n")
    process.stdin.flush()
    process.stdout.readline()
    before = observed.effort().worked
    while (worked := observed.effort().worked - before) <= 0.1:
        time.sleep(0.1)
    print(effort_of(folder), worked > 0.1)
finally:
    process.kill()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount another /proc")
def test_who_refuses_inspection_is_still_seen_at_work() -> None:
    """As in the service, with ProtectProc=invisible and a user of its own."""
    mount = 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", "/usr/bin/python3", "-c", HIDDEN]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )  # fmt: skip
    if done.returncode != 0 and "mount" in done.stderr:
        pytest.skip(f"cannot mount another /proc here: {done.stderr.strip()}")
    assert done.stdout == "None True\n", done.stderr

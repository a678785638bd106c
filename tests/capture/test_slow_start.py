"""A start that takes long is given time as long as it works; one that hangs is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edged.effort import LONGEST_LOOK_SECONDS, Turn, Turns
from tests.rig.daemon import SYNTHETIC
from tests.rig.notify_socket import Supervisor, supervised

SECONDS = 2.0
"""What takes long takes so long."""
STUCK_SECONDS = 0.5

DAEMON = f"""
import os, sys, threading, time
from pathlib import Path
import edged.daemon.daemon, edged.backends.loaded as loaded
from edged.config.config import load_config
from edged.daemon.daemon import Daemon
from edged.daemon.signals import Signals, handling_signals
edged.daemon.daemon.STUCK_SECONDS = {STUCK_SECONDS}
edged.daemon.daemon.START_SECONDS = 2
edged.daemon.daemon.LOADING_SECONDS = 0.5
where, how = sys.argv[2:]
def slow():
    end = time.monotonic() + {SECONDS}
    while time.monotonic() < end:
        threading.Event().wait(60) if how == "hangs" else sum(range(100000))
def slowly(function):
    def wrapped(*arguments, **named):
        slow()
        return function(*arguments, **named)
    return wrapped
if where == "loading":
    loaded.check_golden = slowly(loaded.check_golden)
else:
    loaded.LoadedNetworks.infer = slowly(loaded.LoadedNetworks.infer)
signals = Signals()
with handling_signals(signals):
    Daemon(load_config(Path(sys.argv[1]), {{}}), signals=signals).run()
"""


@contextmanager
def starting(folder: Path, where: str, how: str) -> Iterator[tuple[Supervisor, int]]:
    """A daemon of one variant: (who is told how its start goes, process id)."""
    (folder / "edged.yaml").write_text("variants: [mobilenet_v1_0.25_128]\n" + SYNTHETIC)
    with supervised(folder, DAEMON, where, how, watchdog_usec=500000) as (supervisor, process):
        while "STATUS=loading" not in supervisor.next():
            pass
        yield supervisor, process.pid
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
        assert time.monotonic() - begun < 12


def signs(supervisor: Supervisor, seconds: float) -> list[float]:
    """When in this time more time was asked for, or all was well."""
    begun, found = time.monotonic(), []
    while (now := time.monotonic() - begun) < seconds:
        supervisor.socket.settimeout(seconds - now + 0.001)
        try:
            message = supervisor.next()
        except TimeoutError:
            break
        if message.startswith(("EXTEND_TIMEOUT_USEC=2000000", "WATCHDOG=1")):
            found.append(time.monotonic() - begun)
    supervisor.socket.settimeout(60)
    return found


@pytest.mark.parametrize("where", ["loading", "measuring"])
def test_a_start_that_works_is_given_time(tmp_path: Path, where: str) -> None:
    with starting(tmp_path, where, "works") as (supervisor, _):
        told = [0.0, *signs(supervisor, SECONDS)]
        assert len(told) > 3
        assert told[-1] > SECONDS - 1


@pytest.mark.parametrize("where", ["loading", "measuring"])
def test_a_start_that_hangs_is_not_and_can_be_stopped(tmp_path: Path, where: str) -> None:
    with starting(tmp_path, where, "hangs") as (supervisor, _):
        signs(supervisor, STUCK_SECONDS + 1.5)
        assert signs(supervisor, 1) == []


def test_a_loop_is_seen_at_work_by_its_threads_time() -> None:
    """On clocks of its own: half a minute of silence by a thread that sleeps, and by this one."""
    turns, second = Turns(), 1_000_000_000
    me = Turn(0, 0)
    for now in range(1, 31):
        moment = turns.moments({"loop": me}, now * second)["loop"]
    assert moment == 0
    assert turns.moments({"loop": Turn(31 * second, 0)}, 31 * second) == {"loop": 31 * second}
    later = turns.moments({"loop": Turn(31 * second, 0)}, 99 * second)["loop"]
    assert 99 * second - later == LONGEST_LOOK_SECONDS * second  # who looks was held up

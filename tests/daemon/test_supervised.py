"""A real daemon under a supervisor: what it tells, and the watchdog that it does not feed."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.rig.daemon import SYNTHETIC, RunningDaemon
from tests.rig.notify_socket import Supervisor, supervised


def test_systemd_is_told_when_it_is_ready_what_it_does_and_that_it_ends(tmp_path: Path) -> None:
    notify = str(tmp_path / "notify")
    supervisor = Supervisor(notify)
    told: list[str] = []
    environ = {"NOTIFY_SOCKET": notify, "WATCHDOG_USEC": "1000000"}
    with closing(supervisor.socket), RunningDaemon(tmp_path, SYNTHETIC, **environ) as daemon:
        supervisor.socket.settimeout(60)
        while not (told and "% on time" in told[-1]):
            told.append(supervisor.next())
        while told[-1] != "WATCHDOG=1":
            told.append(supervisor.next())
        assert daemon.stop()[0] == 0
        told += supervisor.waiting()
    ready = told.index("READY=1")
    assert "EXTEND_TIMEOUT_USEC=60000000" in told[:ready]
    assert any(re.match(r"STATUS=loading network 1 of \d+", message) for message in told[:ready])
    assert told.count("READY=1") == 1
    status = re.compile(r"STATUS=door: mobilenet_v1_\S+, \d+\.\d % on time$")
    assert any(status.match(message) for message in told[ready:])
    assert told[-1] == "STOPPING=1"


def test_a_camera_that_is_known_to_be_down_makes_it_ready(tmp_path: Path) -> None:
    notify = str(tmp_path / "notify")
    supervisor = Supervisor(notify)
    config = SYNTHETIC.replace("source: synthetic, size: 320x240, fps: 30", "source: /dev/video9")
    environ = {"NOTIFY_SOCKET": notify}
    with closing(supervisor.socket), RunningDaemon(tmp_path, config, **environ) as daemon:
        supervisor.socket.settimeout(60)
        while supervisor.next() != "READY=1":
            pass
        while not re.match(r"STATUS=door: backoff, /dev/video9: ", supervisor.next()):
            pass
        assert daemon.stop()[0] == 0


STUCK = """
import sys, threading
from pathlib import Path
from edged.config.config import load_config
from edged.capture.liveness import Liveness
from edged.daemon.daemon import Daemon
from edged.events.dispatcher import Dispatcher
from dataclasses import replace
from edged.sinks.jsonl.jsonl import Lines, open_lines
from edged.sinks.options import KINDS
from edged.web import server as http

class Stuck(Lines):
    def publish(self, result):
        super().publish(result)
        if sys.argv[2] == "pipeline":
            threading.Event().wait()
        if sys.argv[2] == "http":
            http._Server.service_actions = lambda server: threading.Event().wait()
        if sys.argv[2] == "camera":
            Liveness.look = lambda *_: threading.Event().wait()
        if sys.argv[2] == "events":
            Stuck.dispatcher._queue.put(())  # what no thread can take apart

    @property
    def alive(self):
        return sys.argv[2] != "sink" or not self.delivered

begin = Dispatcher.__init__
def begin_and_keep(dispatcher, *state):
    begin(dispatcher, *state)
    Stuck.dispatcher = dispatcher
Dispatcher.__init__ = begin_and_keep

kind = replace(KINDS["jsonl"], make=lambda *_: Stuck(open_lines(None)))
Daemon(load_config(Path(sys.argv[1]), {}), {"jsonl": kind}).run()
"""


def fed_until_stuck(folder: Path, loop: str) -> int:
    """How often the watchdog was fed before two statuses came without."""
    folder.mkdir()
    (folder / "edged.yaml").write_text(SYNTHETIC)
    with supervised(folder, STUCK, loop, watchdog_usec=1000000) as (supervisor, _):
        fed, silent_statuses = 0, 0
        while silent_statuses < 2:
            message = supervisor.next()
            fed += message == "WATCHDOG=1"
            if message == "WATCHDOG=1":
                silent_statuses = 0
            silent_statuses += message.startswith("STATUS=door")
    return fed


def test_without_progress_the_watchdog_is_not_fed(tmp_path: Path) -> None:
    """From the first result on a loop hangs, or a thread has ended; all else goes on."""
    loops = ("pipeline", "http", "sink", "events", "camera")
    with ThreadPoolExecutor(len(loops)) as pool:  # mostly they wait
        fed = list(pool.map(lambda loop: fed_until_stuck(tmp_path / loop, loop), loops))
    assert all(fed), dict(zip(loops, fed, strict=True))

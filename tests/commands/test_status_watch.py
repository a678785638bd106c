"""`edged status --watch` in a terminal, across restarts of the daemon."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.http_server import answering
from tests.rig.ports import free_port
from tests.rig.status import SEVERAL, status
from tests.rig.terminal import InTerminal
from tests.rig.waiting import eventually

WATCH = [sys.executable, "-m", "edged", "status", "--watch"]
SYNTHETIC = "{source: synthetic, size: 320x240, fps: 10}"


def test_a_daemon_that_goes_away_and_comes_back_is_shown(tmp_path: Path) -> None:
    port = free_port()
    config = quick_config({"door": SYNTHETIC}, http=f"{{listen: 127.0.0.1:{port}}}")
    with InTerminal([*WATCH, "--url", f"http://127.0.0.1:{port}"]) as terminal:
        before = terminal.settings
        terminal.wait_for(lambda shown: re.search(r"no daemon since \d\d:\d\d:\d\d", shown))
        for _ in range(2):
            with RunningDaemon(tmp_path, config) as daemon:
                terminal.wait_for(lambda shown: "● door keeps its budget" in shown)
                daemon.stop()
            shown = terminal.wait_for(lambda shown: "no daemon since" in shown)
            assert "VIEW" not in shown
        terminal.type("q")
        ended, shown = terminal.end()
        assert ended == 0
        assert shown.count("no daemon since") == 1  # each screen took the place of the one before
        assert terminal.shown.wrapped == 0
        assert terminal.settings_now() == before


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("q", 0),
        ("\x03", 0),
        ("\x1c", 128 + signal.SIGQUIT),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
    ],
)
def test_what_ends_it_leaves_the_terminal_as_it_was(how: str | signal.Signals, wanted: int) -> None:
    about = json.dumps(status({"door": SEVERAL["door"]}))
    with (
        answering(lambda path, headers: (200, "application/json", about)) as port,
        InTerminal([*WATCH, "--url", f"http://127.0.0.1:{port}"]) as terminal,
    ):
        before = terminal.settings
        terminal.wait_for(lambda shown: "memory free" in shown)
        assert terminal.settings_now() != before
        if isinstance(how, signal.Signals):
            os.kill(terminal.process.pid, how)
        else:
            terminal.type(how)
        ended, shown = terminal.end()
        assert ended == wanted
        assert "Traceback" not in shown
        assert terminal.settings_now() == before
        assert shown.count("all views keep their budget") == 1


def test_a_signal_that_is_ignored_stays_so() -> None:
    about = json.dumps(status({"door": SEVERAL["door"]}))
    command = ["env", "--ignore-signal=HUP", *WATCH]  # as nohup does
    with (
        answering(lambda path, headers: (200, "application/json", about)) as port,
        InTerminal([*command, "--url", f"http://127.0.0.1:{port}"]) as terminal,
    ):
        terminal.wait_for(lambda shown: "memory free" in shown)
        os.kill(terminal.process.pid, signal.SIGHUP)
        terminal.type("q")
        assert terminal.end()[0] == 0


def test_it_goes_on_after_ctrl_z() -> None:
    about = json.dumps(status({"door": SEVERAL["door"]}))
    with (
        answering(lambda path, headers: (200, "application/json", about)) as port,
        InTerminal([*WATCH, "--url", f"http://127.0.0.1:{port}"]) as terminal,
    ):
        terminal.wait_for(lambda shown: "memory free" in shown)
        of_watch = terminal.settings_now()
        os.kill(terminal.process.pid, signal.SIGSTOP)
        terminal.settle()
        os.kill(terminal.process.pid, signal.SIGCONT)
        eventually(lambda: terminal.settings_now() == of_watch)
        terminal.type("q")
        assert terminal.end()[0] == 0


def test_a_terminal_that_becomes_narrower_gets_a_new_screen() -> None:
    about = json.dumps(status(SEVERAL))
    with (
        answering(lambda path, headers: (200, "application/json", about)) as port,
        InTerminal([*WATCH, "--url", f"http://127.0.0.1:{port}"], 160, 60) as terminal,
    ):
        terminal.wait_for(lambda shown: "memory free" in shown)
        terminal.resize(60)
        narrow = r"^  VIEW +SEES +ON TIME  P50, P95 +FPS$[^V]+memory free"
        shown = terminal.wait_for(lambda shown: re.search(narrow, shown, re.MULTILINE))
        assert shown.count("VIEW") == 1
        assert max(map(len, shown.splitlines())) <= 60
        terminal.type("q")
        assert terminal.end()[0] == 0


def test_a_low_terminal_shows_the_beginning() -> None:
    cameras = {f"camera{number:02}": SEVERAL["door"] for number in range(12)}
    about = json.dumps(status(cameras))
    with (
        answering(lambda path, headers: (200, "application/json", about)) as port,
        InTerminal([*WATCH, "--url", f"http://127.0.0.1:{port}"], rows=12) as terminal,
    ):
        first = terminal.wait_for(lambda shown: "memory free" in shown)
        assert "more views" in first and "all views keep" in first
        terminal.wait_for(lambda shown: shown != first and "memory free" in shown)  # the clock
        terminal.type("q")
        _, shown = terminal.end()
        assert shown.count("VIEW") == 1


def test_a_wrong_password_ends_it_at_once() -> None:
    """Another try would only count as another guess."""
    asked = []

    def answer(path: str, headers: object) -> tuple[int, str, str]:
        asked.append(path)
        return 401, "text/plain", ""

    with (
        answering(answer) as port,
        InTerminal(
            [*WATCH, "--url", f"http://127.0.0.1:{port}", "--user", "anna"],
            environ={"EDGED_PASSWORD": "hunter2"},
        ) as terminal,
    ):
        ended, shown = terminal.end()
        assert ended == 2
        assert "wrong user or password" in shown
    assert len(asked) == 1


def test_in_a_pipe_one_comes_after_the_other() -> None:
    about = json.dumps(status({"door": SEVERAL["door"]}))
    with answering(lambda path, headers: (200, "application/json", about)) as port:
        done = subprocess.run(
            f"{' '.join(WATCH)} --url http://127.0.0.1:{port} | head -n 14",
            shell=True, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout.count("all views keep their budget") == 2
    assert "\x1b" not in done.stdout
    assert done.stderr == ""

"""`make demo`, in a terminal of its own: what it shows, and what ends it."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rig.paths import PROJECT
from tests.rig.terminal import InTerminal

PASSWORD_SOURCE = 'rtsp://u:S3c$ret"`x`@127.0.0.1:9/live'


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment for make whose `edged` is the one under test."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    (folder / ".run").touch()
    edged = folder / "bin/edged"
    edged.write_text(f'#!/bin/sh\nexec {sys.executable} -m edged "$@"\n')
    edged.chmod(0o755)
    return folder


def make(environment: Path, *words: str) -> list[str]:
    return ["make", "-C", str(PROJECT), "demo", f"VENV={environment}", *words]


def said_by(environment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        make(environment, *words), capture_output=True, text=True, timeout=60, check=False
    )


def interrupted(command: list[str], state: Path, seconds: float) -> str:
    """What the terminal shows when Ctrl-C is typed after so long, until make has ended."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["STATE_DIRECTORY"] = str(state)
        os.execvp(command[0], command)
    while Path(f"/proc/{pid}/comm").read_text().strip() != command[0]:
        time.sleep(0.001)  # until then it is a copy of the test
    shown, begun, typed = b"", time.monotonic(), False
    while time.monotonic() - begun < 60:
        if select.select([terminal], [], [], 0.02)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the last process has closed it
                break
        if not typed and time.monotonic() - begun > seconds:
            os.write(terminal, b"\x03")
            typed = True
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode(errors="replace")


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3, 0.6, 1.0, 1.5])
def test_ctrl_c_at_any_moment_ends_it_without_a_traceback(
    environment: Path, tmp_path: Path, seconds: float
) -> None:
    command = make(environment, f"SOURCE={PASSWORD_SOURCE}", "PORT=0")
    shown = interrupted(command, tmp_path / "state", seconds)
    assert "Traceback" not in shown
    assert "Error" not in shown.replace("Connection refused", "")
    assert "S3c" not in shown


def test_in_a_terminal_the_last_screen_is_left_standing(environment: Path, tmp_path: Path) -> None:
    command = make(environment, "FRAMES=60", "PORT=0")
    with InTerminal(command, environ={"STATE_DIRECTORY": str(tmp_path)}) as terminal:
        ended, shown = terminal.end()
    assert ended == 0
    above, _, screen = shown.partition("  VIEW")
    assert " 60 results, " in " ".join(above.split())
    assert "demo  " in screen and "of 33 ms" in screen
    assert shown.count("VIEW") == 1


def test_a_password_reaches_edged_and_no_output(environment: Path) -> None:
    edged = environment / "bin/edged"
    edged.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {environment}/got\n')
    done = said_by(environment, f"SOURCE={PASSWORD_SOURCE}", "FRAMES=3", "PORT=0")
    assert done.returncode == 0
    assert "S3c" not in done.stdout + done.stderr
    got = (environment / "got").read_text().splitlines()
    assert got == ["demo", "--source", PASSWORD_SOURCE, "--frames", "3", "--port", "0"]


def test_a_mistyped_file_is_told_at_once(environment: Path) -> None:
    done = said_by(environment, "SOURCE=READMEE.md")
    assert done.returncode == 2
    said = done.stderr.splitlines()[0]
    assert said == (
        f"edged: {PROJECT}/READMEE.md: no such file, folder or device; "
        f"did you mean {PROJECT}/README.md?"
    )


def test_a_busy_port_is_no_obstacle(environment: Path, tmp_path: Path) -> None:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", 9640))
        holder.listen()
    except OSError:
        pass  # something else has it, which serves as well
    with holder:
        done = said_by(environment, "FRAMES=1")
    assert done.returncode == 0, done.stderr
    assert "port 9640 is in use, perhaps by another edged; using a free one" in done.stderr
    assert len(done.stdout.splitlines()) >= 1

"""The screen that `edged run` and `edged demo` show in a terminal, and when they print lines."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from edged.web.endpoints import STUCK_SECONDS
from tests.rig.daemon import quick_config
from tests.rig.ports import free_port
from tests.rig.terminal import InTerminal

EDGED = [sys.executable, "-m", "edged"]
SYNTHETIC = "{source: synthetic, size: 320x240, fps: 10}"
DEAD = '{source: "http://127.0.0.1:1/live"}'
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} .+")


def run_in_terminal(
    folder: Path, config: str, *arguments: str, columns: int = 80, **environ: str
) -> InTerminal:
    (folder / "edged.yaml").write_text(config)
    command = [*EDGED, "run", "-c", "edged.yaml", *arguments]
    state = {"STATE_DIRECTORY": str(folder / "state")}
    return InTerminal(command, columns, rows=30, environ={**state, **environ}, folder=folder)


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_screen_stays_whole_below_the_log(tmp_path: Path, columns: int) -> None:
    """Also without HTTP. A camera that is away makes log lines; the long ones are wrapped."""
    config = quick_config({"door": SYNTHETIC, "garage": DEAD}, http="{listen: none}")
    with run_in_terminal(tmp_path, config, columns=columns) as terminal:
        pattern = r"^● door .*\d of 5000 ms"
        terminal.wait_for(lambda shown: re.search(pattern, shown, re.MULTILINE))
        terminal.wait_for(lambda shown: "garage is away since" in shown)
        terminal.type("\x03")
        ended, everything = terminal.end()
    assert ended == 0
    assert everything.count("VIEW") == 1  # of all screens only the last is left
    above, _, screen = everything.partition("✗ garage is away since")
    assert "camera garage: backoff" in " ".join(above.split())
    begins = [line for line in above.splitlines() if LOG_LINE.match(line)]
    assert len(begins) >= 4
    assert re.search(r" \d+ results, ", above)
    assert "results, " not in screen
    assert "{" not in everything  # no JSON
    assert "○ garage" in screen and "● door" in screen


def test_the_last_screen_of_a_demo_is_left_standing(tmp_path: Path) -> None:
    command = [*EDGED, "demo", "--frames", "60", "--budget", "5000", "--port", "0"]
    with InTerminal(command, environ={"STATE_DIRECTORY": str(tmp_path)}) as terminal:
        ended, shown = terminal.end()
    assert ended == 0
    lines = shown.splitlines()
    (headline,) = [number for number, line in enumerate(lines) if line.startswith("● demo keeps")]
    assert " 60 results, 100.0 % on time" in " ".join(lines[:headline])
    assert re.match(r"● demo .*100\.0 of 95 %", lines[headline + 3])
    assert "streaming" in shown or "ended" in shown
    assert shown.count("VIEW") == 1


@pytest.mark.parametrize(
    ("results", "arguments"), [("{jsonl: '-'}", ()), ("{top_k: 1}", ("--json",))]
)
def test_lines_that_are_asked_for_are_kept(
    tmp_path: Path, results: str, arguments: tuple[str, ...]
) -> None:
    config = quick_config({"door": SYNTHETIC}, results=results)
    with run_in_terminal(tmp_path, config, "--frames", "5", *arguments, columns=2000) as terminal:
        ended, shown = terminal.end()
        assert not terminal.shown.codes
    assert ended == 0
    found = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    assert len(found) == 5
    assert "VIEW" not in shown


def test_a_demo_prints_json_when_asked_and_text_on_a_dumb_terminal(tmp_path: Path) -> None:
    demo = [*EDGED, "demo", "--frames", "3", "--budget", "5000", "--port", "0"]
    state = {"STATE_DIRECTORY": str(tmp_path)}
    with InTerminal([*demo, "--json"], 2000, environ=state) as terminal:
        _, shown = terminal.end()
    assert len([json.loads(each) for each in shown.splitlines() if each.startswith("{")]) == 3
    with InTerminal(demo, 2000, environ={**state, "TERM": "dumb"}) as terminal:
        _, shown = terminal.end()
    assert len(re.findall(r" of 5000 ms  mobilenet", shown)) == 3
    assert "VIEW" not in shown


def test_a_file_of_results_leaves_the_terminal_to_the_log(tmp_path: Path) -> None:
    config = quick_config({"door": SYNTHETIC}, results="{jsonl: results.jsonl}")
    with run_in_terminal(tmp_path, config, "--frames", "5") as terminal:
        ended, shown = terminal.end()
    assert ended == 0
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 5
    assert "VIEW" not in shown and "{" not in shown


def test_a_reload_may_bring_lines_and_take_them_away(tmp_path: Path) -> None:
    """results.jsonl is set, then removed again."""
    with run_in_terminal(tmp_path, quick_config({"door": SYNTHETIC}), columns=2000) as terminal:
        terminal.wait_for(lambda shown: "● door keeps its budget" in shown)
        config = tmp_path / "edged.yaml"
        config.write_text(quick_config({"door": SYNTHETIC}, results="{jsonl: '-'}"))
        terminal.process.send_signal(signal.SIGHUP)
        terminal.wait_for(lambda shown: shown.count('{"camera":"door"') >= 25)
        before = sequences(terminal)
        config.write_text(quick_config({"door": SYNTHETIC}))
        terminal.process.send_signal(signal.SIGHUP)
        terminal.wait_for(lambda _: terminal.shown.text.count("configuration reloaded") == 2)
        terminal.wait_for(lambda shown: "● door keeps its budget" in shown.splitlines()[-8:])
        assert before <= sequences(terminal)  # no log line has taken the place of lines
        terminal.type("\x03")
        assert terminal.end()[0] == 0


def sequences(terminal: InTerminal) -> set[str]:
    """Of the lines that the terminal has."""
    return {*re.findall(r'"sequence":(\d+)', terminal.shown.text)}


def test_a_terminal_that_is_stopped_delays_nothing_else(tmp_path: Path) -> None:
    """Ctrl-S: what draws the screen waits, and nothing else."""
    port = free_port()
    config = quick_config({"door": SYNTHETIC}, http=f"{{listen: 127.0.0.1:{port}}}")
    with run_in_terminal(tmp_path, config) as terminal:
        terminal.wait_for(lambda shown: "● door keeps its budget" in shown)
        terminal.type("\x13")
        time.sleep(0.5)
        before = terminal.shown.visible
        time.sleep(STUCK_SECONDS + 2)
        base = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{base}/healthz", timeout=30) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{base}/api/v1/status", timeout=30) as answer:
            captured = json.loads(answer.read())["cameras"]["door"]["last"]["age_seconds"]
        assert captured < STUCK_SECONDS
        assert terminal.shown.visible == before
        terminal.type("\x11")
        terminal.wait_for(lambda shown: "● door keeps its budget" in shown and shown != before)
        terminal.type("\x03")
        assert terminal.end()[0] == 0


def test_an_error_at_the_start_is_the_last_line(tmp_path: Path) -> None:
    config = quick_config({"door": SYNTHETIC}, model="nowhere")
    with run_in_terminal(tmp_path, config) as terminal:
        ended, shown = terminal.end()
    assert ended == 2
    assert shown.strip().splitlines()[0].startswith("edged: ")
    assert "VIEW" not in shown


def test_a_service_never_imports_the_screen(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "edged", "demo", "--frames", "1"]
    done = subprocess.run(
        [*command, "--port", "0"],
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "edged.daemon.daemon" in imported
    assert "edged.commands.status.status" in imported  # the arguments
    screen = {f"edged.commands.status.{each}" for each in ("running", "screen", "terminal", "text")}
    assert not imported & {*screen, "edged.commands.api", "rich"}
    assert json.loads(done.stdout)["camera"] == "demo"

"""The history of a real daemon: through a crash, a reload and a correction."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from edged.capture.decode.jpeg import jpeg_size
from edged.history.database import FILE
from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.history import is_sound, rows
from tests.rig.rules import ANY

CAMERAS = {"door": "{source: synthetic, size: 320x240, fps: 5}"}
RULES = f"{{any: {{{ANY}, for_seconds: 0, snapshot: true}}}}"


def events(daemon: RunningDaemon, query: str = "") -> list[dict[str, Any]]:
    status, text = daemon.get(f"/api/v1/events{query}")
    assert status == 200, text
    return list(json.loads(text)["events"])


def troubles(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """Of the history."""
    verdict = json.loads(daemon.get("/api/v1/status")[1])["verdict"]
    return [each for each in verdict["troubles"] if each["kind"] == "history"]


def post(daemon: RunningDaemon, path: str, body: object) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.port}/api/v1/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_an_event_outlives_a_crash(tmp_path: Path) -> None:
    config = quick_config(CAMERAS, events=RULES)
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for(lambda: events(daemon))
        (event,) = events(daemon)
        assert event["variant"] == "mobilenet_v1_0.25_128" and event["budget_ms"] == 5000
        address = f"http://127.0.0.1:{daemon.port}/api/v1/events/1/snapshot.jpg"
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert jpeg_size(answer.read()) is not None
        daemon.wait_for((tmp_path / "state/running-events.json").exists)
        daemon.process.kill()
        daemon.process.wait(30)
    path = tmp_path / "state" / FILE
    ((earlier,),) = rows(path, "SELECT coalesce(sum(results), 0) FROM minutes")
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for(lambda: len(events(daemon)) == 2)
        now, before = events(daemon)
        assert now["ended_at"] is None and now["id"] == 2
        assert before == {
            **event,
            "ended_at": before["ended_at"],
            "duration_seconds": before["duration_seconds"],
        }
        assert event["started_at"] <= before["ended_at"] <= now["started_at"]
        assert daemon.metric("edged_history_bytes") > 4096
        assert daemon.metric("edged_history_dropped_total") == 0
        assert daemon.stop(signal.SIGTERM)[0] == 0
        results = len(daemon.results_of("door"))
    assert is_sound(path) and not path.with_name(f"{FILE}-wal").exists()
    assert rows(path, "SELECT count(*) FROM events WHERE ended IS NULL") == [(0,)]
    ((seen, accuracy, best),) = rows(
        path, "SELECT sum(results), min(accuracy), max(best) FROM minutes"
    )
    assert seen - earlier == results - 3  # lines of events
    assert accuracy == best > 5000


def test_a_reload_switches_it_off_and_on(tmp_path: Path) -> None:
    config = quick_config(CAMERAS, events=RULES)
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for(lambda: events(daemon))
        assert daemon.reload(config + "history: none\n") == "configuration reloaded: history"
        status, text = daemon.get("/api/v1/events")
        assert (status, "this daemon keeps no history" in text) == (404, True)
        assert daemon.metric("edged_history_bytes") == 0
        said = daemon.reload(config + "history: {days: 0}\n")
        assert "history.days: expected a whole number from 1 to 3650" in daemon.text
        assert said.startswith("configuration not reloaded")
        daemon.reload(config + "history: {days: 3, max_bytes: 10000000}\n")
        assert [event["ended_at"] for event in events(daemon)] == [None]
        status, text = daemon.get("/api/v1/seen?view=door")
        assert status == 200 and json.loads(text)["seen"][0]["results"] > 0
        assert daemon.stop()[0] == 0
    ended = rows(tmp_path / "state" / FILE, "SELECT ended IS NOT NULL FROM events")
    assert ended == [(1,)]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_a_deleted_event_that_goes_on_does_not_come_back(
    tmp_path: Path, by: signal.Signals
) -> None:
    config = quick_config(CAMERAS, events=RULES)
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for(lambda: events(daemon))
        assert post(daemon, "events/1/delete", {}) == {}
        daemon.wait_for((tmp_path / "state/running-events.json").exists)
        daemon.process.send_signal(by)
        daemon.process.wait(60)
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for(lambda: events(daemon))
        assert [event["ended_at"] for event in events(daemon)] == [None]
        assert daemon.stop()[0] == 0
    told = rows(tmp_path / "state" / FILE, "SELECT count(*) FROM events")
    assert told == [(1,)]  # of the second daemon


def test_a_second_daemon_says_that_it_keeps_none(tmp_path: Path) -> None:
    config = quick_config(CAMERAS, events=RULES)
    (tmp_path / "other").mkdir()
    with RunningDaemon(tmp_path, config) as first:
        first.wait_for(lambda: events(first))
        state = {"STATE_DIRECTORY": str(tmp_path / "state")}
        with RunningDaemon(tmp_path / "other", config, **state) as second:
            second.wait_for(lambda: "another edged writes the history there" in second.text)
            second.wait_for_results(5)
            (trouble,) = troubles(second)
            why = "events and minutes are not kept: another edged writes the history there"
            assert trouble["text"].startswith(why)
            assert troubles(first) == []
            assert [event["id"] for event in events(second)] == [1]
            assert second.stop()[0] == 0
        assert first.stop()[0] == 0
    assert is_sound(tmp_path / "state" / FILE)


def test_a_correction_is_a_labelled_moment(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config(CAMERAS, events=RULES)) as daemon:
        daemon.wait_for(lambda: events(daemon))
        post(daemon, "teach/ball", {"view": "door", "classes": ["golf ball", "other"]})
        for label in ("golf ball", "other"):
            event = post(daemon, "events/1/correct", {"label": label})
            assert event["corrected"] == label
            (moment,) = json.loads(daemon.get("/api/v1/teach/ball")[1])["moments"]
            assert (moment["label"], len(moment["pictures"])) == (label, 1)
            day, time = event["started_at"][:19].split("T")
            assert moment["id"].startswith(f"{day.replace('-', '')}T{time.replace(':', '')}Z")
        assert post(daemon, "events/1/delete", {}) == {}
        assert events(daemon) == []
        assert daemon.stop()[0] == 0


def test_a_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edged", "demo", "--frames", "3", "--port", "0"],
        env={"PATH": "", "STATE_DIRECTORY": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("history*"))

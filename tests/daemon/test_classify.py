"""Pictures that are sent to a running daemon."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from edged.variants.golden import golden_picture
from tests.rig.daemon import SLOW, RunningDaemon, quick_config
from tests.rig.photos import coded
from tests.rig.posting import post
from tests.rig.waiting import eventually

PICTURE = coded(golden_picture(3)[:300, :400], ".jpg")
CLIENTS = 8
TURNS = 12


def url(daemon: RunningDaemon) -> str:
    return f"http://127.0.0.1:{daemon.port}/api/v1/classify"


def decoders_of(daemon: RunningDaemon) -> list[int]:
    """Process ids; a child belongs to the thread that started it."""
    tasks = Path(f"/proc/{daemon.process.pid}/task").iterdir()
    pids = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    worker = b"edged.capture.sent.worker"
    return [pid for pid in pids if worker in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_it_is_answered_as_the_same_picture_from_a_folder(tmp_path: Path) -> None:
    """By the same variant, so that the decoder's scale is the same."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.jpg").write_bytes(PICTURE)
    camera = f"{{source: {tmp_path / 'pictures'}, fps: 2, loop: true}}"
    config = quick_config({"door": camera}, results="{top_k: 10, min_score: 0}")
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for_results(2)
        assert decoders_of(daemon) == []
        status, text = post(url(daemon), PICTURE)
        assert status == 200
        answer = json.loads(text)
        frame = daemon.results[-1]
        assert answer["top"] == frame["top"]
        assert len(answer["top"]) == 10
        for same in ("variant", "runtime", "threads", "budget_ms"):
            assert answer[same] == frame[same]
        assert answer["model"] == "imagenette"
        (decoder,) = decoders_of(daemon)
        outcome = "on_time" if answer["on_time"] else "late"
        assert daemon.metric(f'edged_classified_total{{outcome="{outcome}"}}') == 1
        results = daemon.metric('edged_results_total{camera="door"}')
        captured = daemon.metric('edged_frames_captured_total{camera="door"}')
        assert results <= captured  # none of it is a result
        assert daemon.stop()[0] == 0
    eventually(lambda: not Path(f"/proc/{decoder}").exists())


def test_it_goes_on_over_a_reload(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW})) as daemon:
        daemon.wait_for_results(1)
        over = threading.Event()
        statuses: list[int] = []

        def ask() -> None:
            while not over.is_set():
                statuses.append(post(url(daemon), PICTURE)[0])
                time.sleep(0.2)

        asking = threading.Thread(target=ask)
        asking.start()
        for cameras in ({"yard": SLOW}, {"door": SLOW, "yard": SLOW}):
            before = len(statuses)
            assert "not" not in daemon.reload(quick_config(cameras)).split("reloaded")[0]
            daemon.wait_for(lambda before=before: len(statuses) > before + 2)
        over.set()
        asking.join()
        # One that waited for a view that is gone is told to come again.
        assert set(statuses) <= {200, 503}
        assert statuses.count(503) <= 2
        assert statuses[-1] == 200


class Window(NamedTuple):
    """What became of the camera's frames in a while."""

    results: float
    misses: float
    lost: float

    @classmethod
    def now(cls, daemon: RunningDaemon) -> Window:
        return cls(
            daemon.metric('edged_results_total{camera="door"}'),
            daemon.metric('edged_deadline_misses_total{camera="door"}'),
            daemon.metric('edged_frames_dropped_total{camera="door",reason="overwritten"}'),
        )

    def since(self, before: Window) -> Window:
        return Window(*(now - then for now, then in zip(self, before, strict=True)))

    def plus(self, other: Window) -> Window:
        return Window(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def in_time(self) -> float:
        """Share of the frames that were answered in time."""
        return 1 - (self.misses + self.lost) / (self.results + self.lost)


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_cameras_come_first(tmp_path: Path) -> None:
    """Whiles with a storm of clients and without take turns, so that whatever else the machine does
    is in both."""
    config = """
model: imagenette
variants: [mobilenet_v1_0.25_128, mobilenet_v1_0.5_160, mobilenet_v1_1.0_192]
latency_budget_ms: 33
cameras:
  door: {source: synthetic, size: 320x240, fps: 30}
http: {listen: 127.0.0.1:0}
"""
    whiles = [Window(0, 0, 0), Window(0, 0, 0)]
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(PICTURE)
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for_results(60)
        post(url(daemon), PICTURE)
        command = [sys.executable, "-m", "tests.rig.posting", url(daemon), picture, str(CLIENTS)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as clients:
            assert clients.stdin is not None and clients.stdout is not None
            for number in range(2 * TURNS):
                time.sleep(0.3)  # until the last ones are answered, or the first ones ask
                before = Window.now(daemon)
                time.sleep(1.2)
                found = Window.now(daemon).since(before)
                whiles[number % 2] = whiles[number % 2].plus(found)
                clients.stdin.write(b"\n")
                clients.stdin.flush()
            clients.stdin.close()
            answers = json.loads(clients.stdout.read())
    quiet, stormy = whiles
    told = f"quiet: {quiet}; in the storm: {stormy}; answers: {answers}"
    assert answers["200"] >= TURNS, told
    assert answers.keys() <= {"200", "429", "503"}
    assert stormy.in_time >= quiet.in_time - 0.05, told

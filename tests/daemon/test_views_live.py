"""Views of a real daemon: each has its own region, labels, limits, pictures and events."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.families import sibling
from tests.rig.mosaic import (
    COMES,
    FPS,
    MOVING,
    NEAR,
    RESULTS,
    decoded,
    imagenette,
    off,
    part_seen,
    roi,
    scene,
    tile,
    write_scene,
)
from tests.rig.ports import free_port
from tests.rig.rtsp import needs_gstreamer, serving, url
from tests.rig.rules import ANY

QUIET = "quiet: {at_least_every_seconds: 3600, hold_seconds: 0}"
VIEWS = {
    "gate": f"{{roi: {roi(0)}}}",
    "lamp": f"{{roi: {roi(MOVING)}, model: ./other, {QUIET}}}",
    "meter": f"{{roi: {roi(3)}, {QUIET}}}",
    "row": "{roi: [0, 0.5, 1, 0.5], min_fps: 1}",
    "bin": f"{{roi: {roi(5)}, model: ./other, latency_budget_ms: 3000, max_fps: 2}}",
}
PARTS = {"gate": {0}, "lamp": {MOVING, COMES}, "meter": {3}, "row": {4}, "bin": {5}}
"""What each sees; the row is seen as its centre square."""
OTHER = ("lamp", "bin")
HALL = "{source: 'synthetic:640x480@5', views: {left: {roi: [0, 0, 0.5, 1]}, whole: {}}}"
EVENTS = (
    f"{{all: {{{ANY}, for_seconds: 0, cameras: [hall]}},"
    " one: {class: other golf ball, above: 0.01, for_seconds: 0, cameras: [yard/bin]}}"
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("clip", id="clip"),
        pytest.param("rtsp", id="rtsp", marks=[pytest.mark.servers, needs_gstreamer]),
    ],
)
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningDaemon]:
    """One that sees the scene, from a camera that hangs turned."""
    folder = tmp_path_factory.mktemp(request.param)
    sibling(imagenette(), folder / "other")
    with ExitStack() as running:
        if request.param == "clip":
            write_scene(folder / "clip.mp4", rotate=90, flip="horizontal")
            source = "source: clip.mp4, loop: true, rotate: 90, flip: horizontal"
        else:
            port, clip = free_port(), write_scene(folder / "clip.h264", rotate=270)
            running.enter_context(serving(port, "--clip", str(clip), "--fps", str(FPS)))
            source = f"source: '{url(port)}', rotate: 270"
        views = ", ".join(f"{name}: {keys}" for name, keys in VIEWS.items())
        cameras = {"yard": f"{{{source}, views: {{{views}}}}}", "hall": HALL}
        text = quick_config(cameras, results=RESULTS, events=EVENTS)
        yield running.enter_context(RunningDaemon(folder, text))


def results_of(daemon: RunningDaemon, view: str, count: int) -> list[dict[str, Any]]:
    """At least so many."""

    def results() -> list[dict[str, Any]]:
        return [each for each in daemon.results_of(f"yard/{view}") if "event" not in each]

    daemon.wait_for(lambda: len(results()) >= count)
    return results()


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_answers_for_its_own_region(daemon: RunningDaemon, view: str) -> None:
    results = results_of(daemon, view, 1 if view == "meter" else 8)
    prefix = "other " if view in OTHER else ""
    assert {part_seen(each["top"], prefix) for each in results} == PARTS[view]
    assert {each["budget_ms"] for each in results} == {3000 if view == "bin" else 5000}
    numbers = [each["sequence"] for each in results]
    assert numbers == sorted(set(numbers))


def test_one_process_reads_the_camera(daemon: RunningDaemon) -> None:
    results_of(daemon, "gate", 1)
    assert len(daemon.capture_processes()) == 2  # with that of the hall


def test_max_fps_is_that_of_the_view(daemon: RunningDaemon) -> None:
    """Frames come ten times a second."""
    results_of(daemon, "bin", 6)
    spans = {}
    for view in ("gate", "bin"):
        numbers = [each["sequence"] for each in results_of(daemon, view, 1)]
        spans[view] = (numbers[-1] - numbers[0]) / (len(numbers) - 1)
    assert spans["gate"] < 2 < 4 < spans["bin"] < 8


def test_quiet_is_that_of_the_view(daemon: RunningDaemon) -> None:
    moving = len(results_of(daemon, "lamp", 4))
    still = len(results_of(daemon, "meter", 1))
    results_of(daemon, "lamp", moving + 4)
    assert len(results_of(daemon, "meter", 1)) == still
    dropped = 'edged_frames_dropped_total{{camera="yard",reason="quiet",view="{}"}}'
    gate, lamp, meter = (daemon.metric(dropped.format(view)) for view in ("gate", "lamp", "meter"))
    assert 0 == gate < lamp < meter


def test_status_tells_of_each_view(daemon: RunningDaemon) -> None:
    for view in VIEWS:
        results_of(daemon, view, 1)
    status = json.loads(daemon.get("/api/v1/status")[1])
    assert status["families"].keys() == {"imagenette", "other"}
    yard = status["cameras"]["yard"]
    assert (yard["state"], yard["max_fps"]) == ("streaming", None)
    views = yard["views"]
    assert list(views) == list(VIEWS)
    assert {name for name, each in views.items() if each["family"] == "other"} == set(OTHER)
    assert views["bin"]["budget_ms"] == 3000
    assert {name: each["max_fps"] for name, each in views.items() if each["max_fps"]} == {"bin": 2}
    for name, each in views.items():
        prefix = "other " if name in OTHER else ""
        assert part_seen(each["last"]["top"], prefix) in PARTS[name]


def snapshot(daemon: RunningDaemon, path: str) -> tuple[Any, Any]:
    """(RGB pixels, the result that the head tells or None)."""
    address = f"http://127.0.0.1:{daemon.port}/api/v1/cameras/yard{path}/snapshot.jpg"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return decoded(answer.read()), json.loads(answer.headers.get("Picture-Result", "null"))


def test_pictures_are_the_whole_one_and_that_of_each_view(daemon: RunningDaemon) -> None:
    results_of(daemon, "bin", 1)
    whole, result = snapshot(daemon, "")
    assert result is None
    assert whole.shape[1] / whole.shape[0] == pytest.approx(3 / 2, abs=0.02)
    assert min(off(whole, scene(moved)) for moved in (False, True)) < NEAR
    for view, parts in PARTS.items():
        pixels, result = snapshot(daemon, f"/views/{view}")
        assert min(off(pixels, tile(each)) for each in parts) < NEAR
        assert (result["camera"], result["view"]) == ("yard", view)


def test_an_event_watches_a_camera_with_all_its_views_or_one(daemon: RunningDaemon) -> None:
    def begun() -> list[tuple[str, ...]]:
        events = (each for each in daemon.results if "event" in each)
        return sorted((each["event"], each["camera"], each["view"]) for each in events)

    expected = [("all", "hall", "left"), ("all", "hall", "whole"), ("one", "yard", "bin")]
    daemon.wait_for(lambda: begun() == expected)


def test_a_clip_is_played_to_its_end_for_all_views_and_its_trace_replays(tmp_path: Path) -> None:
    write_scene(tmp_path / "clip.mp4", seconds=3)
    sibling(imagenette(), tmp_path / "other")
    two = "variants: [mobilenet_v1_0.25_128, mobilenet_v1_0.5_160]"
    views = f"gate: {{{two}}}, bin: {{model: ./other}}, far: {{max_fps: 1}}"
    trace = tmp_path / "trace.jsonl"
    text = quick_config({"yard": f"{{source: clip.mp4, views: {{{views}}}}}"})
    with RunningDaemon(tmp_path, text, "--trace", str(trace)) as daemon:
        assert daemon.process.wait(60) == 0
        daemon.wait_for(lambda: daemon.sequence("yard/bin")[-1:] == [3 * FPS])
    assert daemon.sequence("yard/gate")[-1] == 3 * FPS
    assert 1 <= len(daemon.results_of("yard/far")) <= 4
    again = subprocess.run(
        [sys.executable, "-m", "edged", "replay", str(trace)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{len(daemon.results)} decisions replayed, 0 differ" in again.stdout
    for view in ("gate", "bin", "far"):
        assert f"yard    {view} " in again.stdout

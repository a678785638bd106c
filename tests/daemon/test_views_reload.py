"""Reloads that add, change, rename and remove views of a real daemon, while frames flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rig.daemon import RunningDaemon, quick_config, without_a_gap
from tests.rig.families import LABELS, make_family

pytestmark = pytest.mark.alone

GATE = "gate: {roi: [0, 0, 0.5, 1]}"
BIN = "bin: {roi: [0.5, 0, 0.5, 1], max_fps: 5}"
LAMP = "lamp: {roi: [0.25, 0.25, 0.5, 0.5]}"


def config(*views: str, fps: int = 10, **keys: str) -> str:
    yard = f"source: synthetic, size: 640x480, fps: {fps}"
    if views:
        yard += f", views: {{{', '.join(views)}}}"
    return quick_config({"yard": f"{{{yard}}}"}, **keys)


class Watched:
    """A view that must lose no frame."""

    def __init__(self, daemon: RunningDaemon, view: str) -> None:
        self._daemon = daemon
        self._view = view
        daemon.more_results(view)
        self._first = daemon.sequence(view)[-1]

    def lost_none(self) -> bool:
        self._daemon.more_results(self._view)
        numbers = [each for each in self._daemon.sequence(self._view) if each >= self._first]
        return without_a_gap(numbers)


def series_of(daemon: RunningDaemon, view: str) -> list[str]:
    label = f'view="{view}"'
    return [line for line in daemon.get("/metrics")[1].splitlines() if label in line]


def test_views_come_change_and_go_and_the_others_lose_no_frame(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config(GATE, BIN)) as daemon:
        daemon.more_results("yard/bin")
        gate, captures = Watched(daemon, "yard/gate"), daemon.capture_processes()

        def reload(told: str, *views: str, seen: str) -> dict[str, Any]:
            assert daemon.reload(config(*views)) == f"configuration reloaded: {told}"
            return daemon.more_results(seen)[-1]

        reload("view yard/lamp added", GATE, BIN, LAMP, seen="yard/lamp")
        moved = BIN.replace("0.5, 0,", "0, 0,").replace("5}", "2}")
        reload("view yard/bin: max_fps, roi", GATE, moved, LAMP, seen="yard/bin")
        slow = LAMP.replace("}", ", latency_budget_ms: 4321, on_time: 0.9}")
        told = "view yard/lamp: latency_budget_ms, on_time"
        assert reload(told, GATE, moved, slow, seen="yard/lamp")["budget_ms"] == 4321
        counted = daemon.metric('edged_results_total{camera="yard",view="gate"}')
        renamed = slow.replace("lamp:", "light:")
        told = "view yard/lamp removed; view yard/light added"
        reload(told, renamed, moved, GATE, seen="yard/light")
        assert not series_of(daemon, "lamp")
        reload("view yard/bin removed", renamed, GATE, seen="yard/light")
        assert not series_of(daemon, "bin")
        assert gate.lost_none()
        assert daemon.metric('edged_results_total{camera="yard",view="gate"}') > counted
        assert daemon.capture_processes() == captures
        assert daemon.stop()[0] == 0


def test_another_model_of_one_view_comes_between_two_frames_of_the_others(tmp_path: Path) -> None:
    make_family(tmp_path / "animals")
    keys = {"model": "./animals", "variants": "[mobilenet_v1_0.03_64]"}
    keys["results"] = "{min_score: 0, top_k: 1}"

    def text(*views: str) -> str:
        return config(*views, fps=5, **keys)  # a busy machine takes its time to load a network

    with RunningDaemon(tmp_path, text(GATE, BIN)) as daemon:
        daemon.more_results("yard/bin")
        gate, captures = Watched(daemon, "yard/gate"), daemon.capture_processes()
        # Its networks see more pixels than any before.
        other = BIN.replace("}", ", model: imagenette, variants: [mobilenet_v1_0.25_192]}")
        said = daemon.reload(text(GATE, other))
        assert said == "configuration reloaded: view yard/bin: model, variants"
        last = daemon.more_results("yard/bin")[-1]
        assert last["variant"] == "mobilenet_v1_0.25_192"
        assert last["top"][0]["label"] not in LABELS
        about = 'edged_view_info{camera="yard",family="imagenette",view="bin"}'
        assert daemon.metric(about) == 1
        assert daemon.reload(text(GATE, BIN)).endswith("bin: model, variants")
        assert daemon.more_results("yard/bin")[-1]["top"][0]["label"] in LABELS
        assert {each["top"][0]["label"] for each in daemon.results_of("yard/gate")} <= set(LABELS)
        assert gate.lost_none()
        assert daemon.capture_processes() == captures
        assert daemon.stop()[0] == 0


def test_a_reload_that_is_refused_leaves_all_views_as_they_were(tmp_path: Path) -> None:
    damaged = make_family(tmp_path / "damaged").networks[0].path
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    other = "model: ./damaged, variants: [mobilenet_v1_0.03_64]"
    wrong = {
        "gate.roi[2]": config(GATE.replace("0.5, 1]", "1.5, 1]"), BIN),
        "nowhere": config(GATE, LAMP.replace("}", ", model: nowhere}")),
        "damaged or changed": config(LAMP, BIN.replace("}", f", {other}}}")),
        "yard/lamp": config(GATE, BIN, events="{a: {class: church, cameras: [yard/lamp]}}"),
    }
    with RunningDaemon(tmp_path, config(GATE, BIN)) as daemon:
        daemon.more_results("yard/bin")
        gate, captures = Watched(daemon, "yard/gate"), daemon.capture_processes()
        held = daemon.holds()
        for reason, text in wrong.items():
            said = daemon.reload(text)
            assert said.startswith("configuration not reloaded, the previous one stays active: ")
            assert reason in said
        daemon.more_results("yard/bin")
        assert gate.lost_none()
        assert daemon.capture_processes() == captures
        daemon.wait_for(lambda: daemon.holds() == held)
        assert not series_of(daemon, "lamp")
        assert daemon.stop()[0] == 0


def test_a_camera_gets_views_and_loses_them(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config()) as daemon:
        whole = daemon.more_results("yard")
        assert not any("view" in each for each in whole)
        said = daemon.reload(config(GATE, BIN))
        assert said == "configuration reloaded: view yard/gate added; view yard/bin added"
        first = daemon.more_results("yard/gate")[0]
        assert first["sequence"] > whole[-1]["sequence"]
        assert len(daemon.capture_processes()) == 1
        counted = 'edged_results_total{camera="yard"}'
        assert daemon.metric(counted) != daemon.metric(counted)  # gone
        daemon.more_results("yard/bin")
        assert daemon.get("/readyz")[0] == 200
        captured = daemon.metric('edged_frames_captured_total{camera="yard"}')
        assert captured >= first["sequence"]

        daemon.reload(config())
        again = [each for each in daemon.more_results("yard", 6) if "view" not in each]
        assert again[-1]["sequence"] > captured
        assert not series_of(daemon, "gate")
        assert daemon.metric(counted) >= 1
        assert daemon.get("/api/v1/cameras/yard/views/bin/snapshot.jpg")[0] == 404
        assert len(daemon.capture_processes()) == 1
        assert daemon.stop()[0] == 0

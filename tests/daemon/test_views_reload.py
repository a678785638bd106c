"""Reloads that add, change, rename and remove views of a real daemon, while frames flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rig.daemon import RunningDaemon, quick_config, without_a_gap
from tests.rig.families import LABELS, make_family

GATE = "gate: {roi: [0, 0, 0.5, 1]}"
BIN = "bin: {roi: [0.5, 0, 0.5, 1], max_fps: 5}"
LAMP = "lamp: {roi: [0.25, 0.25, 0.5, 0.5]}"


def config(*views: str, **keys: str) -> str:
    """A camera that gives ten frames a second."""
    yard = "source: synthetic, size: 640x480, fps: 10"
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
    animals = {"model": "./animals", "variants": "[mobilenet_v1_0.03_64]"}
    keys = {**animals, "results": "{min_score: 0, top_k: 1}"}
    with RunningDaemon(tmp_path, config(GATE, BIN, **keys)) as daemon:
        daemon.more_results("yard/bin")
        gate, captures = Watched(daemon, "yard/gate"), daemon.capture_processes()
        # Its networks see more pixels than any before.
        other = BIN.replace("}", ", model: imagenette, variants: [mobilenet_v1_0.25_192]}")
        said = daemon.reload(config(GATE, other, **keys))
        assert said == "configuration reloaded: view yard/bin: model, variants"
        last = daemon.more_results("yard/bin")[-1]
        assert last["variant"] == "mobilenet_v1_0.25_192"
        assert last["top"][0]["label"] not in LABELS
        assert 'edged_view_info{camera="yard",family="imagenette",view="bin"}' in (
            daemon.get("/metrics")[1]
        )
        assert daemon.reload(config(GATE, BIN, **keys)).endswith("bin: model, variants")
        assert daemon.more_results("yard/bin")[-1]["top"][0]["label"] in LABELS
        assert {each["top"][0]["label"] for each in daemon.results_of("yard/gate")} <= set(LABELS)
        assert gate.lost_none()
        assert daemon.capture_processes() == captures
        assert daemon.stop()[0] == 0

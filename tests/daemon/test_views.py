"""Views of a running daemon: models of their own, and reloads that change one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edged.variants.family import load_family
from tests.rig.daemon import RunningDaemon, quick_config, without_a_gap
from tests.rig.families import LABELS, make_family, sibling
from tests.rig.paths import PROJECT

SHIPPED = load_family("imagenette", PROJECT)


def config(*views: str) -> str:
    yard = f"{{source: synthetic, size: 320x240, fps: 2, views: {{{', '.join(views)}}}}}"
    return quick_config({"yard": yard}, results="{min_score: 0}")


def of(daemon: RunningDaemon, view: str) -> list[dict[str, Any]]:
    return [result for result in daemon.results if result["view"] == view]


def more(daemon: RunningDaemon, view: str, count: int = 3) -> list[dict[str, Any]]:
    before = len(of(daemon, view))
    daemon.wait_for(lambda: len(of(daemon, view)) >= before + count)
    return of(daemon, view)[before:]


def labels(results: list[dict[str, Any]]) -> set[str]:
    return {each["label"] for result in results for each in result["top"]}


def without_a_gap_in(daemon: RunningDaemon, view: str) -> bool:
    return without_a_gap([result["sequence"] for result in of(daemon, view)])


def test_a_view_gets_another_model_while_frames_of_the_others_flow(tmp_path: Path) -> None:
    sibling(SHIPPED, tmp_path / "bins")
    make_family(tmp_path / "animals")
    gate, bins = "gate: {roi: [0, 0, 0.5, 1]}", "bin: {roi: [0.5, 0, 0.5, 1], model: ./bins}"
    with RunningDaemon(tmp_path, config(gate, bins)) as daemon:
        more(daemon, "gate")
        more(daemon, "bin")
        captures = daemon.capture_processes()
        assert len(captures) == 1
        assert labels(of(daemon, "gate")) <= set(SHIPPED.labels)
        assert labels(of(daemon, "bin")) <= {f"other {label}" for label in SHIPPED.labels}
        other = "model: ./animals, variants: [mobilenet_v1_0.03_64]"
        said = daemon.reload(config(gate, bins.replace("model: ./bins", other)))
        assert said == "configuration reloaded: view yard/bin: model, variants"
        found = more(daemon, "bin", 4)
        assert labels(found[1:]) <= set(LABELS)
        assert {each["variant"] for each in found[1:]} == {"mobilenet_v1_0.03_64"}
        more(daemon, "gate")
        assert without_a_gap_in(daemon, "gate")
        assert without_a_gap_in(daemon, "bin")
        assert daemon.capture_processes() == captures
        assert 'edged_build_info{family="imagenette, animals",' in daemon.get("/metrics")[1]
        assert daemon.stop()[0] == 0
    assert "Traceback" not in daemon.text


def test_views_are_added_renamed_and_removed_while_frames_of_the_others_flow(
    tmp_path: Path,
) -> None:
    gate, lane = "gate: {roi: [0, 0, 0.5, 1]}", "lane: {roi: [0.5, 0, 0.5, 1]}"
    with RunningDaemon(tmp_path, config(gate)) as daemon:
        more(daemon, "gate")
        captures = daemon.capture_processes()
        loaded = daemon.text.count("1 variants")
        assert daemon.reload(config(gate, lane)).endswith("view yard/lane added")
        more(daemon, "lane")
        said = daemon.reload(config(gate, lane.replace("lane", "road")))
        assert said.endswith("view yard/lane removed; view yard/road added")
        more(daemon, "road")
        metrics = daemon.get("/metrics")[1]
        assert 'view="lane"' not in metrics
        assert 'edged_results_total{camera="yard",view="road"}' in metrics
        assert daemon.reload(config(gate)).endswith("view yard/road removed")
        more(daemon, "gate")
        assert without_a_gap_in(daemon, "gate")
        assert daemon.capture_processes() == captures
        assert daemon.text.count("1 variants") == loaded  # nothing was loaded for them
        assert daemon.stop()[0] == 0
    assert "Traceback" not in daemon.text

"""Taught families in the daemon: what teaching again keeps, and a reload that changes the head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edged.config.config import Config, load_config
from edged.config.family import family_errors, model_errors
from edged.daemon.cameras import attach, queue_of
from edged.daemon.loaded_models import LoadedModels
from edged.daemon.models import Models
from edged.errors import InputError
from edged.teach.store import TeachStore
from edged.variants.family import Family, Fit
from edged.variants.taught import untaught
from tests.rig.classifiers import with_version
from tests.rig.daemon import RunningDaemon, quick_config, without_a_gap
from tests.rig.families import RESOLUTIONS
from tests.rig.taught import GATE, make_taught

CHEAPEST = f"mobilenet_v1_0.03_{RESOLUTIONS[0]}"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


def configured(folder: Path, model: str, *lines: str) -> Config:
    path = folder / "edged.yaml"
    head = f"model: {model}\nbackend: onnxruntime\nlatency_budget_ms: 50\n"
    path.write_text("\n".join((head, *lines, "cameras: {door: {source: synthetic}}\n")))
    return load_config(path, {})


def load(config: Config, before: LoadedModels | None = None) -> LoadedModels:
    models = Models.of(config, None if before is None else before.models)
    return LoadedModels(models, before, lambda number, of: None)


def measured(models: LoadedModels) -> None:
    models.measure_cheapest()
    while not models.profiler.rounds:
        models.profiler.use_gap(1e9, 1e9, lambda choice: (0.5, choice.variant.resolution / 10))


def test_teaching_again_keeps_the_profile_and_the_backbones(tmp_path: Path, family: Family) -> None:
    first = load(configured(tmp_path, "./animals"))
    measured(first)
    make_taught(tmp_path / "1", family, top1=0.8)
    make_taught(tmp_path / "2", family, seed=5, top1=0.9)
    for version, top1 in (("./1", 0.8), ("./2", 0.9)):
        before = first
        first = load(configured(tmp_path, version), first)
        assert not first.models.loads_the_same(before.models)
        assert first.profiler.profile == before.profiler.profile != {}
        assert first.store is before.store
        assert {each.top1 for each in first.profiler.ladders["door"]} == {top1}
        sessions = {id(runner) for runner in first.loaded._runners.values()}
        assert sessions <= {id(runner) for runner in before.loaded._runners.values()}
    assert first.about["family"] == "gate"


def test_a_view_sees_its_whole_region_through_its_own_heads(tmp_path: Path, family: Family) -> None:
    taught = make_taught(tmp_path / "1", family)
    config = configured(tmp_path, "./1")
    models = Models.of(config)
    attached = attach(config.cameras[0], models, None)
    assert not attached.request.square
    model = models.by_view["door"]
    queue = queue_of(
        *(config.views[0], 0, attached, model, config.results, None),
        same_source=False,
        same_model=False,
    )
    assert queue.fit is Fit.SQUASH
    assert queue.output.labels == GATE and queue.output.heads is not None
    assert queue.output.heads.keys() == taught.heads.keys()


def test_a_damaged_head_is_refused_before_anything_runs(tmp_path: Path, family: Family) -> None:
    taught = make_taught(tmp_path / "1", family)
    path = next(iter(taught.heads.values())).path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{path}: the file is damaged"):
        Models.of(configured(tmp_path, "./1"))


def test_min_top1_needs_figures_unless_nothing_is_taught_yet(
    tmp_path: Path, family: Family
) -> None:
    make_taught(tmp_path / "1", family)
    make_taught(tmp_path / "2", family, top1=0.9)
    errors = list(family_errors(configured(tmp_path, "./1", "min_top1: 0.5")))
    assert len(errors) == 1
    assert "the family gate lacks" in str(errors[0]) and "three moments" in str(errors[0])
    config = configured(tmp_path, "./2", "min_top1: 0.5")
    assert list(family_errors(config)) == []
    assert list(model_errors(config, config.views[0], untaught("gate", family, GATE))) == []


def test_none_is_not_a_class_that_events_can_name(tmp_path: Path, family: Family) -> None:
    make_taught(tmp_path / "1", family)
    config = configured(tmp_path, "./1", "events: {gate_none: {class: none, above: 0.5}}")
    (error,) = family_errors(config)
    assert "no such class" in str(error)
    config = configured(tmp_path, "./1", "events: {gate_open: {class: open, above: 0.5}}")
    assert list(family_errors(config)) == []


def test_a_version_is_taken_over_without_a_lost_frame(tmp_path: Path, family: Family) -> None:
    for name, labels in (("1", ("open", "shut")), ("2", ("full", "empty"))):
        make_taught(tmp_path / name, family, labels, none=False)
    cameras = {"door": "{source: synthetic, size: 320x240, fps: 10}"}
    keys = {"variants": f"[{CHEAPEST}]", "results": '{jsonl: "-", min_score: 0}'}
    with RunningDaemon(tmp_path, quick_config(cameras, model="./1", **keys)) as daemon:
        first = daemon.more_results("door")[-1]
        assert {each["label"] for each in first["top"]} == {"open", "shut"}
        assert "reloaded: camera door: model" in daemon.reload(
            quick_config(cameras, model="./2", **keys)
        )
        daemon.wait_for(lambda: daemon.results[-1]["top"][0]["label"] in ("full", "empty"))
        daemon.more_results("door")
        assert without_a_gap(daemon.sequence("door"))
        assert daemon.stop()[0] == 0
    labels = ["".join(sorted(each["label"] for each in result["top"])) for result in daemon.results]
    assert sorted(set(labels)) == ["emptyfull", "openshut"]
    assert labels == sorted(labels, reverse=True)


def trouble(daemon: RunningDaemon) -> str:
    verdict = json.loads(daemon.get("/api/v1/status")[1])["verdict"]
    return "".join(each["text"] for each in verdict["troubles"] if each["kind"] == "instead")


def test_a_version_that_the_configuration_cannot_use_stops_nothing(
    tmp_path: Path, family: Family
) -> None:
    """It was deployed without the configuration."""
    gate = TeachStore(tmp_path / "state/teach").create("gate", "door", GATE)
    with_version(gate, family)
    text = quick_config(
        {"door": "{source: synthetic, size: 320x240, fps: 10}"},
        model="./animals",
        variants=f"[{CHEAPEST}]",
        events="{ant: {class: ant, cameras: [door]}}",
    )
    told = "camera door runs ./animals, not gate: version 1 of gate: the event ant of door needs"

    with RunningDaemon(tmp_path, text) as daemon:
        daemon.wait_for_results(2)
        gate.deploy()
        daemon.wait_for(lambda: f"classifiers reloaded: {told}" in daemon.text)
        assert trouble(daemon).startswith(told)
        assert "configuration reloaded" in daemon.reload()
        TeachStore(gate.folder.parent).back("gate")
        daemon.wait_for(lambda: not trouble(daemon))
        assert daemon.stop()[0] == 0
    gate.deploy()
    with RunningDaemon(tmp_path, text) as daemon:
        daemon.wait_for_results(2)
        assert trouble(daemon).startswith(told)
        assert daemon.stop()[0] == 0


def test_what_is_gone_stops_no_other_camera(tmp_path: Path, family: Family) -> None:
    gate = TeachStore(tmp_path / "state/teach").create("gate", "door", GATE)
    with_version(gate, family)
    gate.deploy()
    camera = "{source: synthetic, size: 320x240, fps: 10}"
    text = quick_config(
        {"door": camera, "yard": camera.replace("{", "{model: ./animals, ", 1)},
        model="./animals",
        variants=f"[{CHEAPEST}]",
        events=f"{{left: {{class: {GATE[0]}, cameras: [door]}}}}",
    )
    listed, aside = gate.folder.parent / "deployed.json", gate.folder.with_name(".aside")
    content = listed.read_bytes()
    told = "camera door gives no result: there is no version 1 of gate; restore "
    with RunningDaemon(tmp_path, text) as daemon:
        daemon.more_results("door")
        gate.folder.rename(aside)
        daemon.wait_for(lambda: trouble(daemon).startswith(told))
        daemon.more_results("yard")
        aside.rename(gate.folder)
        daemon.wait_for(lambda: not trouble(daemon))
        daemon.more_results("door")
        listed.write_bytes(b"")
        daemon.wait_for(lambda: f"door gives no result: {listed}: not JSON" in trouble(daemon))
        assert "configuration reloaded" in daemon.reload()
        assert "not reloaded" not in daemon.text
        listed.write_bytes(content)
        gate.folder.rename(aside)
        assert daemon.stop()[0] == 0
    with RunningDaemon(tmp_path, text) as daemon:
        daemon.more_results("yard")
        assert trouble(daemon).startswith(told)
        listed.write_bytes(b"")
        daemon.wait_for(lambda: f"door gives no result: {listed}: not JSON" in trouble(daemon))
        assert daemon.stop()[0] == 0

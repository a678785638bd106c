"""What is loaded, when it is the same, and what is known of it afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edged.config.config import Config
from edged.daemon.model import LoadedModel, Model
from edged.sinks.options import ResultsConfig
from edged.web.options import HttpConfig
from tests.rig.families import RESOLUTIONS, make_family

VARIANTS = tuple(f"mobilenet_v1_{alpha}_{side}" for alpha in (0.03, 0.25) for side in RESOLUTIONS)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    make_family(tmp_path / "animals")
    return Config(
        path=tmp_path / "edged.yaml",
        model="animals",
        base=tmp_path,
        cameras=(),
        backend="onnxruntime",
        threads=(1,),
        variants=None,
        http=HttpConfig("127.0.0.1", 0),
        results=ResultsConfig({}, top_k=3, min_score=0.1),
    )


def measured(model: LoadedModel) -> None:
    while not model.profiler.rounds:
        model.profiler.use_gap(1e9, 1e9, lambda choice: (0.5, 1.0))


def load(config: Config, before: LoadedModel | None = None) -> LoadedModel:
    return LoadedModel(Model.of(config), before, lambda number, of: None)


def test_the_same_wishes_and_files_are_the_same_model(config: Config) -> None:
    model = Model.of(config)
    assert Model.of(replace(config, path=Path("other.yaml"))) == model
    assert Model.of(replace(config, threads=(1, 2))) != model
    assert Model.of(replace(config, variants=VARIANTS[:1])) != model
    assert Model.of(replace(config, backend="auto")) != model
    manifest = config.base / "animals" / "family.yaml"
    manifest.write_text(manifest.read_text().replace("name: animals", "name: zoo"))
    assert Model.of(config) != model


def test_what_is_known_of_the_same_networks_is_taken_over(config: Config, state: Path) -> None:
    """Also where it cannot be kept on disk."""
    state.write_text("a file in the place of the folder")
    first = load(replace(config, variants=VARIANTS[:2]))
    first.profiler.measure_cheapest(lambda choice: (0.5, 1.0))
    measured(first)
    second = load(config, first)
    assert second.store is first.store
    assert second.profiler.profile == first.profiler.profile
    assert {choice.variant.name for choice in second.profiler.waiting} == set(VARIANTS[2:])
    assert load(config).profiler.profile == {}


def test_progress_is_told_for_each_file_and_may_end_it(config: Config) -> None:
    seen: list[tuple[int, int]] = []

    def progress(number: int, of: int) -> None:
        seen.append((number, of))
        if number == 2:
            raise KeyError

    with pytest.raises(KeyError):
        LoadedModel(Model.of(config), None, progress)
    assert seen == [(1, 2), (2, 2)]


def test_the_profile_is_stored_after_a_round(config: Config, state: Path) -> None:
    model = load(config)
    model.measure_cheapest()
    assert [each.variant.name for each in model.profiler.ladder] == [VARIANTS[0]]
    model.tick(1, dict)
    assert not list(state.glob("profile-*.json"))
    measured(model)
    model.store_profile(dict, 30)
    assert len(list(state.glob("profile-*.json"))) == 1


def test_a_profile_that_no_thread_can_store_is_said_and_costs_nothing_else(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    model = load(config)
    model.measure_cheapest()
    measured(model)
    monkeypatch.setattr("_thread.start_new_thread", no_thread)
    model.store_profile(dict, 1.0)
    assert "the profile is not stored: can't start new thread" in caplog.text

"""What is loaded, when it is the same, and what is known of it afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edged.config.config import Config, load_config
from edged.daemon.loaded_models import LoadedModels
from edged.daemon.models import Models
from tests.rig.families import RESOLUTIONS, make_family

VARIANTS = tuple(f"mobilenet_v1_{alpha}_{side}" for alpha in (0.03, 0.25) for side in RESOLUTIONS)
FEW = f"variants: [{', '.join(VARIANTS[:2])}]"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def configured(folder: Path, *lines: str, views: str = "") -> Config:
    path = folder / "edged.yaml"
    head = "model: ./animals\nbackend: onnxruntime\nlatency_budget_ms: 50\n"
    own = f"source: synthetic, views: {views}" if views else "source: synthetic"
    path.write_text("\n".join((head, *lines, f"cameras: {{door: {{{own}}}}}\n")))
    return load_config(path, {})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    make_family(tmp_path / "animals")
    return configured(tmp_path)


def measured(models: LoadedModels) -> None:
    while not models.profiler.rounds:
        models.profiler.use_gap(1e9, 1e9, lambda choice: (0.5, 1.0))


def load(config: Config, before: LoadedModels | None = None) -> LoadedModels:
    models = Models.of(config, None if before is None else before.models)
    return LoadedModels(models, before, lambda number, of: None)


def test_the_same_wishes_and_files_are_the_same_model(config: Config, tmp_path: Path) -> None:
    models = Models.of(config)
    assert Models.of(replace(config, path=Path("other.yaml"))) == models
    assert Models.of(replace(config, threads=(1, 2))) != models
    assert Models.of(configured(tmp_path, FEW)) != models
    assert Models.of(replace(config, backend="auto")) != models
    manifest = config.base / "animals" / "family.yaml"
    manifest.write_text(manifest.read_text().replace("name: animals", "name: zoo"))
    assert Models.of(config) != models


def test_what_is_loaded_does_not_depend_on_the_names_of_views(
    config: Config, tmp_path: Path
) -> None:
    def of(views: str, *lines: str) -> Models:
        return Models.of(configured(tmp_path, *lines, views=views), models)

    models = Models.of(config)
    both = of(f"{{gate: {{}}, bin: {{{FEW}}}}}")
    assert of("{gate: {}}").loads_the_same(models)
    assert of("{gate: {}, bin: {}}").loads_the_same(models)
    assert not both.loads_the_same(models)
    assert of(f"{{bin: {{}}, gate: {{{FEW}}}}}").loads_the_same(both)
    assert not of("{gate: {}}", "threads: [1, 2]").loads_the_same(models)
    assert not of("{gate: {}}").loads_the_same(Models.of(replace(config, backend="auto")))


def test_what_is_known_of_the_same_networks_is_taken_over(
    config: Config, tmp_path: Path, state: Path
) -> None:
    """Also where it cannot be kept on disk."""
    state.write_text("a file in the place of the folder")
    first = load(configured(tmp_path, FEW))
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
        LoadedModels(Models.of(config), None, progress)
    assert seen == [(1, 2), (2, 2)]


def test_the_profile_is_stored_after_a_round(config: Config, state: Path) -> None:
    models = load(config)
    models.measure_cheapest()
    assert [each.variant.name for each in models.profiler.ladders["door"]] == [VARIANTS[0]]
    models.tick(1, dict)
    assert not list(state.glob("profile-*.json"))
    measured(models)
    models.store_profile(dict, 30)
    assert len(list(state.glob("profile-*.json"))) == 1


def test_a_profile_that_no_thread_can_store_is_said_and_costs_nothing_else(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    models = load(config)
    models.measure_cheapest()
    measured(models)
    monkeypatch.setattr("_thread.start_new_thread", no_thread)
    models.store_profile(dict, 1.0)
    assert "the profile is not stored: can't start new thread" in caplog.text

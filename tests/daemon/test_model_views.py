"""Models of several views: networks are loaded once, and a reload loads what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.config.config import load_config
from edged.daemon.loaded_models import LoadedModels
from edged.daemon.models import Model, Models
from edged.errors import EdgedError
from edged.variants.family import Family, Network, write_family
from edged.variants.runtime import Runner
from edged.variants.variant import Choice
from tests.rig.families import ALPHAS, RESOLUTIONS, make_family, sibling, with_other_network
from tests.rig.profiles import only_file

PICTURE = np.full((100, 100, 3), 128, np.uint8)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


class Counting(OrtBackend):
    """Notes the networks of the sessions that it creates."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        self.loads.append(network.sha256)
        return super().load(network, model, threads)


class Daemon:
    """Loads what a configuration asks for, as a start and then as reloads. views: models by
    name."""

    def __init__(self, folder: Path, views: Mapping[str, str]) -> None:
        self._path = folder / "edged.yaml"
        self.backend = Counting()
        models = replace(self._models(views), backends=(self.backend,))
        self.models = LoadedModels(models, None, lambda number, of: None)

    def reload(self, views: Mapping[str, str]) -> list[str]:
        """The networks that it loads."""
        self.backend.loads.clear()
        models = self._models(views, self.models.models)
        self.models = LoadedModels(models, self.models, lambda number, of: None)
        self.models.measure_cheapest()
        return self.backend.loads

    def _models(self, views: Mapping[str, str], before: Models | None = None) -> Models:
        own = ", ".join(f"{name}: {{model: ./{model}}}" for name, model in views.items())
        self._path.write_text(
            "backend: onnxruntime\nlatency_budget_ms: 50\n"
            f"cameras: {{yard: {{source: synthetic, views: {{{own}}}}}}}\n"
        )
        return Models.of(load_config(self._path, {}), before)

    def measure(self) -> None:
        """Until the profile is complete; release what it finds unnecessary, and store it."""
        profiler = self.models.profiler
        profiler.measure_cheapest(run)
        while not profiler.complete:
            profiler.use_gap(1e9, 1e9, run)
        self.models.loaded.keep(profiler.useful)
        profiler.limit_to(self.models.loaded.choices)
        self.models.store_profile(dict, 30)

    def ladder(self, view: str) -> list[tuple[float, int, float]]:
        """Of a view of the yard: alpha, resolution, accuracy."""
        return [
            (each.variant.alpha, each.variant.resolution, each.top1)
            for each in self.models.profiler.ladders[f"yard/{view}"]
        ]


def run(choice: Choice) -> tuple[float, float]:
    return 0.0, choice.variant.alpha * choice.variant.resolution


@pytest.fixture
def gate(tmp_path: Path) -> Family:
    return make_family(tmp_path / "gate")


def hashes(family: Family) -> list[str]:
    return [network.sha256 for network in family.networks]


def test_families_with_the_same_files_load_them_once_and_share_their_times(
    tmp_path: Path, gate: Family, state: Path
) -> None:
    sibling(gate, tmp_path / "bin")
    daemon = Daemon(tmp_path, {"gate": "gate", "bin": "bin"})
    assert daemon.backend.loads == hashes(gate)
    loaded = daemon.models.loaded
    assert len(loaded.choices) == len(gate.variants())
    assert len({id(runner) for runner in loaded._runners.values()}) == len(gate.networks)
    daemon.measure()
    rows = json.loads(only_file(state).read_text())["variants"]
    assert sorted((row["network"], row["variant"]) for row in rows) == sorted(
        (network.sha256, variant.name)
        for network in gate.networks
        for variant in network.variants()
    )
    # Another start, of the other family alone, begins with them.
    other = Daemon(tmp_path, {"bin": "bin"})
    assert other.models.profiler.profile == daemon.models.profiler.profile


def test_each_view_has_the_ladder_of_its_family(tmp_path: Path, gate: Family) -> None:
    narrow, narrower, wide, wider = gate.variants()
    known = {narrow: 0.9, narrower: 0.91, wide: 0.9, wider: 0.95}
    sibling(gate, tmp_path / "bin", known)
    sibling(gate, tmp_path / "lane", {**known, wider: 0.85})
    daemon = Daemon(tmp_path, {"gate": "gate", "bin": "bin", "lane": "lane"})
    daemon.measure()
    small, large = RESOLUTIONS
    assert daemon.ladder("bin") == [
        (ALPHAS[1], large, 0.95), (ALPHAS[0], large, 0.91), (ALPHAS[0], small, 0.9),
    ]  # fmt: skip
    assert daemon.ladder("lane") == [(ALPHAS[0], large, 0.91), (ALPHAS[0], small, 0.9)]
    assert [step[:2] for step in daemon.ladder("gate")] == [
        (alpha, side) for alpha in reversed(ALPHAS) for side in reversed(RESOLUTIONS)
    ]  # nothing was measured: as on ImageNet


def test_a_reload_loads_only_the_networks_that_are_new(tmp_path: Path, gate: Family) -> None:
    other, models, golden = with_other_network(gate)
    other = write_family(replace(other, name="bin", directory=tmp_path / "bin"), models, golden)
    sibling(gate, tmp_path / "lane")
    (changed, same), (old, also) = hashes(other), hashes(gate)
    assert (changed != old, same) == (True, also)
    daemon = Daemon(tmp_path, {"gate": "gate", "lane": "lane"})
    daemon.measure()
    before = daemon.models
    known = before.profiler.profile
    assert daemon.reload({"gate": "gate", "lane": "bin"}) == [changed]
    after = daemon.models
    assert after.profiler.profile.items() >= known.items()
    assert {choice.network for choice in after.profiler.waiting} == {changed}
    for choice in before.loaded.choices:  # still the present ones, while frames flow
        assert after.loaded._runners[choice] is before.loaded._runners[choice]
    assert [step[:2] for step in daemon.ladder("gate")] == [
        (alpha, side) for alpha in reversed(ALPHAS) for side in reversed(RESOLUTIONS)
    ]
    # A view that goes takes what only it needed; it is nothing new when it comes back.
    assert daemon.reload({"lane": "bin"}) == []
    assert {choice.network for choice in daemon.models.loaded.choices} == {changed, same}
    assert daemon.reload({"gate": "gate", "lane": "bin"}) == [old]


def test_a_reload_loads_nothing_that_was_released_as_of_no_use(
    tmp_path: Path, gate: Family
) -> None:
    """Slower and no better: what is loaded for a new view is its own networks."""
    narrow, narrower, wide, wider = gate.variants()
    useless = {narrow: 0.9, narrower: 0.91, wide: 0.85, wider: 0.86}
    sibling(gate, tmp_path / "bin", useless)
    sibling(gate, tmp_path / "lane", {**useless, wider: 0.95})
    daemon = Daemon(tmp_path, {"bin": "bin"})
    daemon.measure()
    assert {choice.network for choice in daemon.models.loaded.choices} == {hashes(gate)[0]}
    other, models, golden = with_other_network(gate)
    other = write_family(replace(other, name="own", directory=tmp_path / "own"), models, golden)
    narrow_only = replace(other, networks=other.networks[:1])
    write_family(replace(narrow_only, name="new", directory=tmp_path / "new"), {})
    assert daemon.reload({"bin": "bin", "gate": "new"}) == [hashes(other)[0]]
    # For another family it is the most accurate one.
    assert daemon.reload({"bin": "bin", "lane": "lane"}) == [hashes(gate)[1]]
    assert daemon.ladder("lane")[0] == (ALPHAS[1], RESOLUTIONS[1], 0.95)


def test_families_may_use_one_file_at_different_resolutions(tmp_path: Path, gate: Family) -> None:
    small, large = (
        tuple(replace(network, resolutions=(side,)) for network in gate.networks)
        for side in RESOLUTIONS
    )
    write_family(replace(gate, name="bin", networks=small, directory=tmp_path / "bin"), {})
    write_family(replace(gate, name="lane", networks=large, directory=tmp_path / "lane"), {})
    daemon = Daemon(tmp_path, {"bin": "bin", "lane": "lane"})
    daemon.measure()
    assert {side for _, side, _ in daemon.ladder("bin")} == {RESOLUTIONS[0]}
    assert {side for _, side, _ in daemon.ladder("lane")} == {RESOLUTIONS[1]}
    for choice in daemon.models.profiler.profile:
        daemon.models.loaded.infer(choice, PICTURE)


class Half(Counting):
    """Calls float networks as a runtime that computes in float16 does."""

    name, fp16 = "half", True


def test_a_view_has_something_to_run_where_another_ones_runtime_is_known(gate: Family) -> None:
    """The two views ask for one network: as one runtime computes it, and as the other does."""
    variant = gate.networks[0].variants()[0]
    backends = (Counting(), Half())
    by_view = {"yard/bin": Model(gate, (variant.fp16,)), "yard/gate": Model(gate, (variant,))}
    models = Models(by_view, (1,), "a test", backends, "a test")
    known = replace(models, by_view={"yard/bin": by_view["yard/bin"]})
    first = LoadedModels(known, None, lambda number, of: None)
    first.profiler.measure_cheapest(run)
    first.store_profile(dict, 30)
    second = LoadedModels(models, None, lambda number, of: None)
    second.measure_cheapest()
    names = {view: [each.name for each in own] for view, own in second.profiler.ladders.items()}
    assert names == {
        "yard/bin": [f"{variant.fp16} x1 half"],
        "yard/gate": [f"{variant} x1 onnxruntime"],
    }


class OutOfMemory(Counting):
    """Has no memory for these networks."""

    def __init__(self, *networks: str) -> None:
        super().__init__()
        self._networks = networks

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        if network.sha256 in self._networks:
            raise EdgedError("not enough memory to load the network", where=network.path)
        return super().load(network, model, threads)


def test_a_network_is_left_out_where_no_view_is_left_without_any(
    tmp_path: Path, gate: Family
) -> None:
    narrow, wide = gate.networks
    both = Model(gate, gate.variants())

    def load(own: Model) -> LoadedModels:
        by_view = {"yard/gate": both, "yard/bin": own}
        models = Models(by_view, (1,), "a test", (OutOfMemory(wide.sha256),), "a test")
        return LoadedModels(models, None, lambda number, of: None)

    loaded = load(Model(gate, (narrow.variants()[0], wide.variants()[0]))).loaded
    assert {choice.network for choice in loaded.choices} == {narrow.sha256}
    with pytest.raises(EdgedError, match="not enough memory") as refused:
        load(Model(gate, wide.variants()))
    assert str(wide.path) in str(refused.value)
    assert refused.value.exit_status == 1

"""Two runtimes in one family: what is loaded, given back, and left out."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.config.config import Config, load_config
from edged.daemon.loaded_models import LoadedModels
from edged.daemon.models import Models
from edged.errors import InputError
from edged.variants.family import Family, Network, load_family
from edged.variants.runtime import Runner
from edged.variants.variant import Choice, Precision, Variant
from tests.rig.families import ALPHAS, RESOLUTIONS, make_family
from tests.rig.paths import PROJECT
from tests.rig.waiting import eventually

pytest.importorskip("ncnn")
from edged.backends.ncnn.ncnn import NcnnBackend

PICTURE = np.full((100, 100, 3), 128, np.uint8)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return make_family(tmp_path / "animals")


def test_both_answer_alike_and_only_what_is_wanted_stays(family: Family) -> None:
    loaded = LoadedNetworks([family], [OrtBackend(), NcnnBackend()])
    assert len(loaded.choices) == 2 * len(family.variants())
    for variant in family.variants():
        by_ort, by_ncnn = (
            loaded.infer(family.choice(variant, 1, runtime), PICTURE)[0]
            for runtime in ("onnxruntime", "ncnn")
        )
        np.testing.assert_allclose(by_ncnn, by_ort, atol=1e-5)
    narrow, wide = family.variants()[0], family.variants()[-1]
    loaded.keep([family.choice(narrow, 1, "ncnn"), family.choice(wide)])
    kept = {(choice.variant.alpha, choice.runtime) for choice in loaded.choices}
    assert kept == {(ALPHAS[0], "ncnn"), (ALPHAS[1], "onnxruntime")}


class Wrong(NcnnBackend):
    """A runtime that computes something else."""

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        runner = super().load(network, model, threads)

        class Swapped:
            def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
                return runner.run(image)[::-1].copy()

        return Swapped()


def test_a_runtime_that_computes_wrongly_is_left_out(
    family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    """The golden picture guards each; alone, it is an error as ever."""
    loaded = LoadedNetworks([family], [OrtBackend(), Wrong()])
    assert {choice.runtime for choice in loaded.choices} == {"onnxruntime"}
    assert "continuing without one of the networks in ncnn" in caplog.text
    assert "gives wrong scores for the golden picture" in caplog.text
    with pytest.raises(InputError, match="gives wrong scores"):
        LoadedNetworks([family], [Wrong()])


def test_what_ncnn_does_not_support_runs_in_the_other_and_nobody_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    family = load_family("imagenette", PROJECT)
    loaded = LoadedNetworks([family], [OrtBackend(), NcnnBackend()])
    for choice in loaded.choices:
        assert (choice.variant.precision, choice.runtime) != (Precision.INT8, "ncnn")
    assert {c.variant for c in loaded.choices if c.runtime == "ncnn"} == {
        variant for variant in family.variants() if variant.precision is Precision.FLOAT
    }
    assert caplog.text == ""


@pytest.fixture
def config(tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    path = tmp_path / "edged.yaml"
    path.write_text(
        "model: ./animals\nlatency_budget_ms: 50\ncameras: {door: {source: synthetic}}\n"
    )
    yield load_config(path, {})


def load(config: Config, before: LoadedModels | None = None) -> LoadedModels:
    models = Models.of(config, None if before is None else before.models)
    return LoadedModels(models, before, lambda number, of: None)


def measure(choice: Choice) -> tuple[float, float]:
    """ncnn is faster on the narrow network, ONNX Runtime on the wide one."""
    factor = 2.0 if (choice.variant.alpha == ALPHAS[0]) == (choice.runtime == "ncnn") else 3.0
    return 0.0, factor * (choice.variant.alpha + choice.variant.resolution / 1000)


def idle(model: LoadedModels) -> Iterator[None]:
    """What the pipeline and the main thread do in turns while nothing else is to be done."""
    kept = None
    for second in range(1_000):
        model.tick(second * 10**9, dict)
        eventually(model._loaded.is_set)
        if model.profiler.complete and model.profiler.profile is not kept:
            model.loaded.keep(model.profiler.useful)
            model.profiler.limit_to(model.loaded.choices)
            kept = model.profiler.profile
        if new := model.loaded.adopt():
            model.profiler.add(new)
        for _ in range(100):
            model.profiler.use_gap(1e9, 1e9, measure)
        yield


def sessions(model: LoadedModels) -> set[tuple[float, str]]:
    return {(choice.variant.alpha, choice.runtime) for choice in model.loaded.choices}


def settle(model: LoadedModels) -> int:
    """The largest number of sessions that there was meanwhile."""
    most = 0
    for _ in idle(model):
        most = max(most, len(sessions(model)))
        if model._settled:
            return most
    raise AssertionError("never settled")


def test_a_runtime_is_loaded_beside_the_cameras_one_network_at_a_time(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    narrow, wide = ALPHAS
    first = load(config)
    assert sessions(first) == {(narrow, "onnxruntime"), (wide, "onnxruntime")}
    first.profiler.measure_cheapest(measure)
    assert settle(first) == 3
    assert sessions(first) == {(narrow, "ncnn"), (wide, "onnxruntime")}
    assert {each.choice[::2] for each in first.profiler.ladders["door"]} == {
        *((Variant(narrow, side), "ncnn") for side in RESOLUTIONS),
        *((Variant(wide, side), "onnxruntime") for side in RESOLUTIONS),
    }
    first.report_profile()
    assert f"mobilenet_v1_{narrow}_{RESOLUTIONS[0]} x1 ncnn" in caplog.text
    first.store_profile(dict, 30)

    second = load(config)  # begins with what was found, and measures the rest once more
    assert sessions(second) == {(narrow, "ncnn"), (wide, "onnxruntime")}
    assert [each.name for each in second.profiler.ladders["door"]] == [
        each.name for each in first.profiler.ladders["door"]
    ]
    assert settle(second) == 3
    assert sessions(second) == sessions(first)


def test_who_stores_a_profile_that_is_being_written_waits_for_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, written = load(config), threading.Event()
    model.profiler.measure_cheapest(measure)

    def slowly(*of: object) -> None:
        time.sleep(0.3)
        written.set()

    monkeypatch.setattr(type(model.store), "save", slowly)
    model.store_profile(dict)
    assert not written.is_set()
    model.store_profile(dict, 30)
    assert written.is_set()


def test_a_reload_while_the_profile_is_measured_leaves_no_session_behind(config: Config) -> None:
    first = load(config)
    first.profiler.measure_cheapest(measure)
    for _ in idle(first):
        if len(sessions(first)) == 3:
            break
    runners = [weakref.ref(runner) for runner in first.loaded._runners.values()]

    def cancel(number: int, of: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # killed in the middle of the next one's load
        LoadedModels(Models.of(config, first.models), first, cancel)
    second = load(config, first)
    assert second.profiler.profile.items() <= first.profiler.profile.items()
    assert second.profiler.ladders["door"]
    del first
    gc.collect()
    left = {id(runner) for each in runners if (runner := each()) is not None}
    # Those on the frontier are used again; the slower one is gone.
    assert left == {id(runner) for runner in second.loaded._runners.values()}
    assert sessions(second) == {(ALPHAS[0], "ncnn"), (ALPHAS[1], "onnxruntime")}


def test_a_variant_that_is_named_runs_in_either(config: Config, tmp_path: Path) -> None:
    name = f"mobilenet_v1_{ALPHAS[0]}_{RESOLUTIONS[0]}"
    path = tmp_path / "edged.yaml"
    path.write_text(path.read_text() + f"variants: [{name}]\n")
    model = load(load_config(path, {}))
    model.profiler.measure_cheapest(measure)
    settle(model)
    assert {(c.variant.name, c.runtime) for c in model.profiler.profile} == {
        (name, "onnxruntime"),
        (name, "ncnn"),
    }
    path.write_text(path.read_text().replace(name, f"{name}_fp16"))
    with pytest.raises(InputError, match=r"edged.yaml:4: variants: .*float16 .*remove _fp16"):
        Models.of(load_config(path, {}))

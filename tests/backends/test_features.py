"""Pooled features in every runtime, and taught families in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.build_worker import logger_class
from edged.backends.tensorrt.cache import FORMAT
from edged.backends.tensorrt.cuda import Cuda
from edged.backends.tensorrt.engine import Engine, PlanError
from edged.errors import InputError
from edged.variants.family import Family, Fit, Network, load_family
from edged.variants.features import with_features
from edged.variants.runtime import Backend, RunError, Runner
from edged.variants.taught import untaught, write_taught
from edged.variants.variant import Precision
from tests.rig.families import ALPHAS, RESOLUTIONS, make_family, model
from tests.rig.foreign import foreign_family
from tests.rig.gpu_stand_in import Device, Error, fake_tensorrt, with_network
from tests.rig.taught import GATE, heads, make_taught
from tests.rig.tensorrt_backend import PICTURE, Bench, load

SHIPPED = load_family("imagenette", Path())
PIXELS = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


class CountingBackend(OrtBackend):
    def __init__(self) -> None:
        super().__init__()
        self.loads: list[float] = []

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        self.loads.append(network.alpha)
        return super().load(network, model, threads)


def picture(side: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, side, side, 3), dtype=np.uint8)


def features_of(network: Network, image: NDArray[np.uint8]) -> Any:
    """By a session of its own."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        with_features(network.read()), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["features"], {"image": image})[0][0]


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return make_family(tmp_path / "animals")


# ------------------------------------------------------------------------------------ the runtimes


def backends() -> list[Backend]:
    found: list[Backend] = [OrtBackend()]
    ncnn = pytest.importorskip("edged.backends.ncnn.ncnn")
    return [*found, ncnn.NcnnBackend(int8=True)]


@pytest.mark.parametrize("network", SHIPPED.networks, ids=lambda network: network.path.stem)
def test_every_runtime_on_the_cpu_gives_the_same_features(network: Network) -> None:
    for backend in backends():
        runner = backend.load(network, network.read(), 1)
        for side in (128, 224):
            image = picture(side)
            found, expected = runner.features(image), features_of(network, image)
            assert found.shape == expected.shape and found.dtype == np.float32
            if network.precision is Precision.FLOAT or backend.name == "onnxruntime":
                np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())
            else:  # ncnn rounds less of an INT8 network
                cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
                assert cosine > 0.99


def test_features_and_scores_may_be_asked_for_in_turn(family: Family) -> None:
    network = family.networks[1]
    for backend in backends():
        runner = backend.load(network, network.read(), 1)
        scores, features = runner.run(picture(64)), runner.features(picture(64))
        kept = features.copy()
        runner.features(picture(64, seed=1))
        assert (features == kept).all()
        assert (runner.run(picture(64)) == scores).all()
        assert scores.shape == (6,) and features.shape == (256,)


def test_a_foreign_network_runs_but_has_no_features(tmp_path: Path) -> None:
    foreign = foreign_family(tmp_path / "foreign")
    network = foreign.networks[0]
    runner = OrtBackend().load(network, network.read(), 1)
    assert runner.run(picture(64)).shape == (3,)
    with pytest.raises(InputError, match=rf"{network.path}: the network has no pooled features"):
        runner.features(picture(64))


def test_a_foreign_network_whose_flatten_gives_something_else_still_runs(tmp_path: Path) -> None:
    for flatten in ("pixels", "rows"):
        foreign = foreign_family(tmp_path / flatten, flatten)
        network = foreign.networks[0]
        runner = OrtBackend().load(network, network.read(), 1)
        assert runner.run(picture(64)).shape == (3,)
        with pytest.raises(InputError, match=r"no pooled features|features of shape \(64, 192\)"):
            runner.features(picture(64))


# ---------------------------------------------------------------------------------------- TensorRT


@pytest.mark.parametrize("shares_memory", [True, False])
def test_an_engine_gives_features_and_scores_from_one_graph(
    tmp_path: Path, family: Family, shares_memory: bool
) -> None:
    bench = Bench(tmp_path, Device(shares_memory=shares_memory))
    runner, network = load(bench, family), family.networks[0]
    for side in RESOLUTIONS:
        for seed in range(3):  # the first run records the graph
            image = picture(side, seed)
            expected = OrtBackend().load(network, network.read(), 1).run(image)
            np.testing.assert_allclose(
                runner.features(image), features_of(network, image), atol=1e-4
            )
            np.testing.assert_allclose(runner.run(image), expected, atol=1e-5)
    assert bench.device.calls["cudaGraphInstantiate"] == len(RESOLUTIONS)


def test_features_come_from_the_cpu_while_the_gpu_fails(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    runner, expected = load(bench, family), features_of(family.networks[0], PICTURE)
    bench.device.failing["cudaStreamSynchronize"] = Error.cudaErrorDeviceUnavailable
    np.testing.assert_allclose(runner.features(PICTURE), expected, atol=1e-4)
    assert bench.backend.engines.failures == 1
    bench.device.failing.clear()
    bench.now_ns += 10**12
    synchronised = bench.device.calls["cudaStreamSynchronize"]
    np.testing.assert_allclose(runner.features(PICTURE), expected, atol=1e-4)
    assert bench.device.calls["cudaStreamSynchronize"] == synchronised + 1


def test_an_engine_without_features_is_refused(tmp_path: Path) -> None:
    """As they were built before engines had them."""
    device = Device()
    trt, plan = fake_tensorrt(device), with_network(b"", [64], model(ALPHAS[0]))
    with pytest.raises(PlanError, match="not an engine of one of edged's networks"):
        Engine(trt, Cuda(device.cudart()), logger_class(trt)(), plan, (64,))


def test_engines_of_the_format_before_are_built_once_more(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    key = bench.backend._key(family, family.networks[0])
    bench.cache.store(replace(key, format=FORMAT - 1), with_network(b"", [64], b""), b"")
    load(bench, family)
    assert bench.starts == 1
    load(Bench(tmp_path), family)
    assert bench.starts == 1


def test_a_file_at_other_resolutions_has_an_engine_of_its_own(
    tmp_path: Path, family: Family
) -> None:
    """A head may have been taught before its network served all the resolutions that it does."""
    bench, network = Bench(tmp_path), family.networks[0]
    whole = load(bench, family)
    part = replace(network, resolutions=RESOLUTIONS[1:])
    runner = bench.backend.load(part, part.read(), 1)
    assert bench.starts == 2
    for each in (whole, runner):
        assert each.features(picture(RESOLUTIONS[1])).shape == (30,)
    with pytest.raises(KeyError):
        runner.features(picture(RESOLUTIONS[0]))


# --------------------------------------------------------------------------------------- in memory


def test_features_in_place_of_scores(family: Family) -> None:
    loaded = LoadedNetworks([family], [OrtBackend()])
    choice = family.choice(family.variants()[-1])
    features, preprocessed_ns, inferred_ns = loaded.infer(choice, PIXELS, features=True)
    assert features.shape == (256,) and preprocessed_ns <= inferred_ns
    squashed, _, _ = loaded.infer(choice, PIXELS, Fit.SQUASH, features=True)
    assert np.abs(squashed - features).max() > 0.01
    assert loaded.infer(choice, PIXELS)[0].shape == (6,)


def test_a_taught_family_runs_on_its_backbones_sessions(tmp_path: Path, family: Family) -> None:
    taught = [make_taught(tmp_path / name, family, seed=number) for number, name in enumerate("ab")]
    backend = CountingBackend()
    loaded = LoadedNetworks([*taught, family], [backend])
    assert sorted(backend.loads) == list(ALPHAS)
    assert loaded.choices == {family.choice(variant) for variant in family.variants()}


def test_teaching_again_keeps_every_session(tmp_path: Path, family: Family) -> None:
    backend = CountingBackend()
    before = LoadedNetworks([untaught("gate", family, GATE)], [backend])
    backend.loads.clear()
    for number in range(2):
        taught = make_taught(tmp_path / str(number), family, seed=number)
        before = LoadedNetworks([taught], [backend], before=before)
        assert before.choices == {family.choice(variant) for variant in family.variants()}
    assert backend.loads == []


def test_a_two_class_head_loads_and_a_wrong_backbone_does_not(
    tmp_path: Path, family: Family
) -> None:
    """The golden picture proves the backbone."""
    blind = {sha256: 0 * matrix for sha256, matrix in heads(family, 2).items()}
    taught = write_taught(tmp_path / "1", "gate", family, GATE, blind, {}, False)
    LoadedNetworks([taught], [OrtBackend()])

    class Swapped(OrtBackend):
        def load(self, network: Network, content: bytes, threads: int) -> Runner:
            return super().load(network, model(network.alpha, seed=5), threads)

    with pytest.raises(InputError, match="gives wrong scores for the golden picture"):
        LoadedNetworks([taught], [Swapped()])


@pytest.mark.parametrize("again", [False, True])
def test_a_head_of_another_network_is_refused(tmp_path: Path, family: Family, again: bool) -> None:
    """Also where the sessions are there already."""
    first, second = (network.sha256 for network in family.networks)
    made = heads(family, 3)
    swapped = {first: made[second], second: made[first]}
    taught = write_taught(tmp_path / "1", "gate", family, GATE, swapped, {}, True)
    backend = OrtBackend()
    before = LoadedNetworks([family], [backend]) if again else None
    complaint = rf"head_.*\.npy: the head takes 256 features \(got 30 of {family.networks[0].path}"
    with pytest.raises(InputError, match=complaint):
        LoadedNetworks([taught], [backend], before=before)


def test_a_backbone_without_features_is_refused(tmp_path: Path) -> None:
    foreign = foreign_family(tmp_path / "foreign")
    LoadedNetworks([foreign], [OrtBackend()])
    with pytest.raises(InputError, match="no pooled features"):
        LoadedNetworks([untaught("gate", foreign, GATE)], [OrtBackend()])


def test_a_run_without_features_names_the_variant(tmp_path: Path) -> None:
    foreign = foreign_family(tmp_path / "foreign")
    loaded = LoadedNetworks([foreign], [OrtBackend()])
    choice = foreign.choice(foreign.variants()[0])
    with pytest.raises(RunError, match=rf"{choice.variant}.*no pooled features"):
        loaded.infer(choice, PIXELS, features=True)

"""The golden picture notices what it is there for, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.errors import InputError
from edged.variants.family import Family, Fit, InputContract, Network, load_family, write_family
from edged.variants.golden import (
    SENSITIVITY,
    TOLERANCE,
    check_golden,
    golden_picture,
    golden_scores,
    with_golden,
)
from edged.variants.mobilenet import Architecture
from edged.variants.variant import Precision, Variant
from edged.variants.weights.onnx_builder import Weights, build_network
from tests.rig.families import ALPHAS, LABELS, RESOLUTIONS, import_weights, make_family, model
from tests.rig.random_weights import random_weights
from tests.rig.weights import lively_weights

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("golden") / "animals")


def check(family: Family, picture: Picture, number: int = 0) -> None:
    network = family.networks[number]
    check_golden(OrtBackend().load(network, network.read(), 1), family, network, picture)


def swapped(weights: Weights) -> dict[str, NDArray[np.float32]]:
    """The same network, expecting BGR."""
    first = weights["conv.weight"][:, ::-1].copy()
    return {**weights, "conv.weight": first}


@pytest.mark.parametrize("seed", range(8))
def test_the_picture_is_drawn_alike_and_no_two_halves_are(seed: int) -> None:
    picture = golden_picture(seed)
    assert picture.shape == (256, 320, 3)
    assert picture.dtype == np.uint8
    assert (picture == golden_picture(seed)).all()
    assert (picture != golden_picture(seed + 1)).any()
    for turned in (picture[:, ::-1], picture[::-1], picture[:, :, ::-1]):
        assert (picture != turned).mean() > 0.5


def test_a_family_answers_its_picture(family: Family) -> None:
    for number in range(len(ALPHAS)):
        check(family, family.golden_picture(), number)


def test_every_wrong_turn_is_noticed(family: Family) -> None:
    """At every resolution by one network at least; exchanged colours by each."""
    picture = family.golden_picture()
    for resolution in RESOLUTIONS:
        for network in family.networks:
            only = replace(network, resolutions=(resolution,))
            assert not passes(family, only, picture[:, :, ::-1])
        alone = [replace(network, resolutions=(resolution,)) for network in family.networks]
        for turned in (picture[:, ::-1], picture[::-1]):
            assert not all(passes(family, network, turned) for network in alone)


def passes(family: Family, network: Network, picture: Picture) -> bool:
    runner = OrtBackend().load(network, network.read(), 1)
    try:
        check_golden(runner, family, network, np.ascontiguousarray(picture))
    except InputError as error:
        assert "gives wrong scores for the golden picture" in str(error)
        return False
    return True


def test_another_fit_is_noticed(family: Family) -> None:
    squashing = replace(family, input=InputContract(Fit.SQUASH))
    with pytest.raises(InputError, match="gives wrong scores for the golden picture"):
        check(squashing, family.golden_picture())


def test_rounding_is_not_noticed(family: Family) -> None:
    noise = np.random.default_rng(0).integers(-1, 2, (256, 320, 3))
    shaken = np.clip(family.golden_picture() + noise, 0, 255).astype(np.uint8)
    for number in range(len(ALPHAS)):
        check(family, shaken, number)


def test_a_file_that_expects_bgr_is_refused_and_told(family: Family) -> None:
    """The names, shapes and the hash are right; only the picture can tell."""
    network = family.networks[0]
    weights = swapped(lively_weights(Architecture(ALPHAS[0], len(LABELS))))
    bgr = build_network(Architecture(ALPHAS[0], len(LABELS)), weights, scale=1 / 127.5, offset=-1.0)
    runner = OrtBackend().load(network, bgr, 1)
    with pytest.raises(InputError) as raised:
        check_golden(runner, family, network, family.golden_picture())
    text = str(raised.value)
    assert str(network.path) in text
    assert "mobilenet_v1_0.03_64 gives wrong scores" in text
    assert "the file expects BGR" in text
    best, score = network.golden[64][0]
    assert f"{LABELS[best]} {score:.4f}" in text


def test_other_weights_are_not_called_bgr(family: Family) -> None:
    runner = OrtBackend().load(family.networks[0], model(ALPHAS[0], seed=3), 1)
    with pytest.raises(InputError, match="gives wrong scores") as raised:
        check_golden(runner, family, family.networks[0], family.golden_picture())
    assert "BGR" not in str(raised.value)


def test_more_classes_than_labels_are_refused(family: Family) -> None:
    runner = OrtBackend().load(family.networks[0], model(ALPHAS[0], classes=7), 1)
    with pytest.raises(InputError, match=r"6 labels \(got 7 scores\)"):
        check_golden(runner, family, family.networks[0], family.golden_picture())


def test_a_network_without_golden_scores_is_refused(family: Family) -> None:
    bare = replace(family.networks[0], golden={})
    runner = OrtBackend().load(bare, bare.read(), 1)
    with pytest.raises(InputError, match="has no golden scores"):
        check_golden(runner, family, bare, family.golden_picture())


class Answers:
    """A runner that always says the same."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = np.array(scores, np.float32)

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._scores


def test_scores_that_are_not_numbers_do_not_pass(family: Family) -> None:
    with pytest.raises(InputError, match="gives wrong scores"):
        check_golden(
            Answers([float("nan")] * 6), family, family.networks[0], family.golden_picture()
        )


def test_the_tolerance_of_the_manifest_counts(family: Family) -> None:
    network = family.networks[0]
    golden = ((0, 0.6), (1, 0.4))
    near = Answers([0.63, 0.37, 0, 0, 0, 0])
    only = replace(network, resolutions=(64,), golden={64: golden})
    check_golden(near, family, only, family.golden_picture())
    with pytest.raises(InputError, match=r"each within 0\.02"):
        check_golden(near, family, replace(only, tolerance={64: 0.02}), family.golden_picture())


def bare_family(directory: Path, models: dict[str, bytes], alpha: float, labels: int) -> Family:
    (name,) = models
    network = Network.of(directory / name, models[name], alpha, (64, 96))
    names = tuple(f"class {number}" for number in range(labels))
    return Family("bare", directory, names, InputContract(), (network,))


def test_a_new_network_keeps_the_picture_where_it_proves_it_too(
    family: Family, tmp_path: Path
) -> None:
    added = Network.of(family.directory / "wide.onnx", model(0.5), 0.5, RESOLUTIONS)
    wider = replace(family, networks=(*family.networks, added), directory=tmp_path / "wider")
    wider, golden = with_golden(wider, {"wide.onnx": model(0.5)}, OrtBackend())
    written = write_family(wider, {"wide.onnx": model(0.5)}, golden)
    for number in range(3):
        check(written, written.golden_picture(), number)
    # The present picture is the first that is tried, so asking again changes nothing.
    again, same = with_golden(written, {}, OrtBackend())
    assert (again, (written.golden_picture() == decoded(same)).all()) == (written, True)


def decoded(png: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(picture, np.uint8)


def test_a_picture_that_proves_nothing_is_replaced_and_all_scores_with_it(
    family: Family, tmp_path: Path
) -> None:
    """A grey, symmetric picture looks the same however it is turned."""
    grey = cv2.imencode(".png", np.full((256, 320, 3), 128, np.uint8))[1].tobytes()
    blind = write_family(replace(family, directory=tmp_path / "grey"), {}, grey)
    added = Network.of(blind.directory / "wide.onnx", model(0.5), 0.5, RESOLUTIONS)
    models = {"wide.onnx": model(0.5)}
    cured, golden = with_golden(
        replace(blind, networks=(*blind.networks, added)), models, OrtBackend()
    )
    written = write_family(cured, models, golden)
    assert (written.golden_picture() != 128).any()
    for number, network in enumerate(written.networks):
        check(written, written.golden_picture(), number)
        runner = OrtBackend().load(network, network.read(), 1)
        assert network.golden == golden_scores(
            runner, RESOLUTIONS, written.input, written.golden_picture()
        )


@pytest.mark.parametrize("axis", [0, 1])
def test_a_coloured_picture_that_is_its_own_mirror_image_is_replaced(
    family: Family, tmp_path: Path, axis: int
) -> None:
    half = np.split(golden_picture(3), 2, axis=axis)[0]
    double = np.concatenate([half, np.flip(half, axis)], axis=axis)
    png = cv2.imencode(".png", double[:, :, ::-1])[1].tobytes()
    blind = write_family(replace(family, directory=tmp_path / "blind"), {}, png)
    _, golden = with_golden(blind, {}, OrtBackend())
    chosen = decoded(golden)
    assert (chosen != np.flip(chosen, axis)).mean() > 0.5


def test_an_untrained_network_is_refused_with_its_name(tmp_path: Path) -> None:
    architecture = Architecture(0.25, 1000)
    models = {
        "raw.onnx": build_network(
            architecture, random_weights(architecture, 0), scale=1 / 127.5, offset=-1.0
        )
    }
    with pytest.raises(InputError, match=r"raw\.onnx: no golden picture can check.*moves no score"):
        with_golden(bare_family(tmp_path, models, 0.25, 1000), models, OrtBackend())


def test_a_weakly_trained_network_gets_a_smaller_tolerance(tmp_path: Path) -> None:
    """Its scores move little when its input is wrong, so less is tolerated."""
    architecture = Architecture(0.25, 6)
    weights = lively_weights(architecture)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] /= 12
    models = {"weak.onnx": build_network(architecture, weights, scale=1 / 127.5, offset=-1.0)}
    bare = bare_family(tmp_path, models, 0.25, 6)
    family = write_family(*with_models(bare, models))
    (network,) = family.networks
    assert network.tolerance
    assert all(0.005 <= value < 0.05 for value in network.tolerance.values())
    check(family, family.golden_picture())
    with pytest.raises(InputError, match="gives wrong scores"):
        check(family, family.golden_picture()[:, :, ::-1].copy())


def with_models(family: Family, models: dict[str, bytes]) -> tuple[Family, dict[str, bytes], bytes]:
    family, golden = with_golden(family, models, OrtBackend())
    return family, models, golden


def test_a_network_of_no_numbers_is_refused(tmp_path: Path) -> None:
    architecture = Architecture(0.03, 6)
    weights = lively_weights(architecture)
    infinite = build_network(architecture, weights, scale=1e38, offset=-1e38)
    models = {"infinite.onnx": infinite}
    with pytest.raises(InputError, match=r"infinite\.onnx: .*scores that are not finite"):
        with_golden(bare_family(tmp_path, models, 0.03, 6), models, OrtBackend())


def test_two_classes_are_enough(tmp_path: Path) -> None:
    models = {"person.onnx": model(0.25, classes=2)}
    bare = bare_family(tmp_path, models, 0.25, 2)
    family = write_family(*with_models(bare, models))
    assert [len(golden) for golden in family.networks[0].golden.values()] == [2, 2]
    check(family, family.golden_picture())
    with pytest.raises(InputError, match="gives wrong scores"):
        check(family, family.golden_picture()[:, :, ::-1].copy())


@pytest.mark.data
def test_official_networks_are_proved_at_the_usual_tolerance(data: Path, tmp_path: Path) -> None:
    weights = data / "weights"
    for name, alpha, sides in (("0.25_128", 0.25, (128,)), ("0.5_160", 0.5, (128, 160, 192, 224))):
        import_weights(
            weights / f"mobilenet_v1_{name}_quant.tflite",
            None,
            alpha=alpha,
            resolutions=sides,
            labels=weights / "imagenet_labels.txt",
            into=tmp_path / "imagenet",
        )
    family = load_family("imagenet", tmp_path, ())
    picture = family.golden_picture()
    noise = np.random.default_rng(0).integers(-1, 2, picture.shape)
    shaken = np.clip(picture + noise, 0, 255).astype(np.uint8)
    for number, network in enumerate(family.networks):
        assert network.tolerance == {}
        check(family, picture, number)
        check(family, shaken, number)
        for side in network.resolutions:
            only = replace(network, resolutions=(side,))
            runner = OrtBackend().load(only, only.read(), 1)
            with pytest.raises(InputError, match=str(Variant(network.alpha, side))):
                check_golden(runner, family, only, picture[:, :, ::-1].copy())


def test_what_is_tolerated_is_well_below_what_must_be_seen() -> None:
    assert set(TOLERANCE) == {Precision.FLOAT, Precision.INT8}  # of files; FP16 has none
    assert all(0 < value * SENSITIVITY < 1 for value in TOLERANCE.values())
    assert SENSITIVITY >= 2

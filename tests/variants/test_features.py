"""The pooled features of every kind of network, as a second output of its unchanged file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edged.errors import InputError
from edged.variants.family import InputContract, load_family
from edged.variants.features import features_name, with_features
from edged.variants.golden import golden_picture
from edged.variants.int8.float_network import probe
from edged.variants.int8.qdq import runtime_form
from edged.variants.mobilenet import Architecture
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Precision
from edged.variants.weights.onnx_builder import Activation, Storage, build_network
from tests.rig.families import import_weights
from tests.rig.imports import LABELS, write_labels, write_tflite
from tests.rig.keras_files import keras_file
from tests.rig.onnx_forms import session
from tests.rig.weights import TINY, lively_weights

SHIPPED = load_family("imagenette", Path())
SIDE = 96
IMAGE = Preprocessor(InputContract(), SIDE)(golden_picture(900)).copy()


def outputs(model: bytes, *names: str) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = session(model).run(list(names), {"image": IMAGE})
    return found


def constants(model: bytes) -> dict[str, NDArray[np.float32]]:
    graph = onnx.load_model_from_string(model).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def made(architecture: Architecture = TINY, **choices: Any) -> bytes:
    weights = lively_weights(replace(architecture, hidden=()))
    for name, inputs, results in architecture.dense():
        random = np.random.default_rng(inputs)
        weights[f"{name}.weight"] = random.normal(0, 0.3, (results, inputs)).astype(np.float32)
        weights[f"{name}.bias"] = random.normal(0, 0.3, results).astype(np.float32)
    return build_network(architecture, weights, scale=1 / 127.5, offset=-1.0, **choices)


def rounded(model: bytes) -> bytes:
    """Its INT8 counterpart, calibrated on the picture."""
    probing = probe(model)
    (row,) = outputs(probing.model, "scores")
    count = len(probing.names)
    calibration = probing.calibration(np.maximum(row[0, :count], 1e-3))
    return runtime_form(model, calibration, probing.means(row[0, count:]))


HIDDEN = replace(TINY, hidden=(7, 6))
NETWORKS = {
    "float16": lambda: made(),
    "float32": lambda: made(storage=Storage.FLOAT32),
    "relu": lambda: made(activation=Activation.RELU),
    "sigmoid": lambda: made(independent=True),
    "hidden": lambda: made(HIDDEN),
    "hidden sigmoid": lambda: made(HIDDEN, independent=True),
    "colours": lambda: build_network(
        TINY, lively_weights(TINY), scale=1 / 127.5, offset=(-1.0, -0.9, -1.1)
    ),
}


def classified(model: bytes, features: NDArray[np.float32], hidden: int = 0) -> Any:
    """What the dense layers of the file make of the features, up to the last one's sums."""
    values, known = features.astype(np.float64), constants(model)
    for name in (*(f"hidden{number}" for number in range(1, hidden + 1)), "classifier"):
        values = known[f"{name}.weight"].astype(np.float64) @ values + known[f"{name}.bias"]
        if name != "classifier":
            values = np.maximum(values, 0)
    return values


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_what_the_first_dense_layer_sees(name: str) -> None:
    model = NETWORKS[name]()
    scores, features = outputs(with_features(model), "scores", "features")
    assert features.shape == (1, TINY.features) and features.dtype == np.float32
    assert np.ptp(features) > 0.01
    sums = classified(model, features[0], hidden=2 if "hidden" in name else 0)
    expected = 1 / (1 + np.exp(-sums)) if "sigmoid" in name else np.exp(sums) / np.exp(sums).sum()
    np.testing.assert_allclose(scores[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_int8_counterpart_gives_nearly_the_same_features(name: str) -> None:
    model = NETWORKS[name]()
    (ours,) = outputs(with_features(rounded(model)), "features")
    (theirs,) = outputs(with_features(model), "features")
    assert np.abs(ours - theirs).max() < 0.1 * theirs.max()


def test_scores_stay_bit_for_bit_those_of_the_file() -> None:
    for network in SHIPPED.networks:
        model = network.read()
        (alone,) = outputs(model, "scores")
        (beside,) = outputs(with_features(model), "scores")
        assert (alone == beside).all(), network.path


def test_the_file_only_gets_a_description_appended() -> None:
    for network in SHIPPED.networks:
        model = network.read()
        described = with_features(model)
        assert described.startswith(model) and len(described) == len(model) + 31
        before, after = map(onnx.load_model_from_string, (model, described))
        onnx.checker.check_model(after, full_check=True)
        assert [each.name for each in after.graph.output] == ["scores", "features"]
        del after.graph.output[1]
        assert after == before


def tflite(folder: Path) -> Path:
    return write_tflite(folder / "tiny.tflite", TINY)


def keras(folder: Path) -> Path:
    keras_file(folder / "tiny.keras", TINY)
    return folder / "tiny.keras"


@pytest.mark.parametrize("weights", [tflite, keras])
def test_imported_networks_have_features(tmp_path: Path, weights: Callable[[Path], Path]) -> None:
    network = import_weights(
        weights(tmp_path),
        None,
        labels=write_labels(tmp_path / "labels.txt", LABELS),
        into=tmp_path / "family",
        resolutions=[SIDE],
    )
    (features,) = outputs(with_features(network.read()), features_name(network.read()))
    assert features.shape == (1, TINY.features)


def test_shipped_int8_networks_see_what_their_float_networks_see() -> None:
    for network in SHIPPED.networks:
        if network.precision is Precision.INT8:
            (other,) = (
                each
                for each in SHIPPED.networks
                if (each.alpha, each.precision) == (network.alpha, Precision.FLOAT)
            )
            ours, theirs = (
                outputs(with_features(each.read()), "features")[0][0] for each in (network, other)
            )
            cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
            assert cosine > 0.95, network.path


def foreign(*nodes: Any) -> bytes:
    """Means of the colours, after other nodes."""
    means = helper.make_node("ReduceMean", ["float"], ["means"], axes=(1, 2), keepdims=0)
    graph = helper.make_graph(
        [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT), means, *nodes],
        "foreign",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "height", "width", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def test_of_several_the_last_flatten_counts_and_keeps_its_name() -> None:
    model = foreign(
        helper.make_node("Flatten", ["image"], ["pixels"]),
        helper.make_node("Flatten", ["means"], ["pooled/élan"]),
        helper.make_node("Softmax", ["pooled/élan"], ["scores"]),
    )
    assert features_name(model) == "pooled/élan"
    scores, features = outputs(with_features(model), "scores", "pooled/élan")
    np.testing.assert_allclose(features[0], IMAGE.reshape(-1, 3).mean(axis=0), rtol=1e-4)
    assert scores.sum() == pytest.approx(1)


def test_a_long_name_is_described_too() -> None:
    name = "features" * 40
    model = foreign(
        helper.make_node("Flatten", ["means"], [name]),
        helper.make_node("Softmax", [name], ["scores"]),
    )
    assert outputs(with_features(model), name)[0].shape == (1, 3)


@pytest.mark.parametrize(
    "model",
    [
        foreign(helper.make_node("Softmax", ["means"], ["scores"])),
        b"",
        b"garbage",
        made()[:5000],
        bytes(1000),
    ],
    ids=["no Flatten", "empty", "garbage", "truncated", "zeros"],
)
def test_a_network_without_features_is_refused(model: bytes) -> None:
    with pytest.raises(InputError, match=r"no pooled features.*edged models import"):
        with_features(model)

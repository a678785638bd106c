"""Networks with hidden dense layers, sigmoid scores and an offset of each colour, in every form.

The reference is the shipped network of alpha 0.25: a hidden layer that computes its scores, and a
classifier that hands them on, must answer as it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edged.backends.tensorrt.onnx_forms import fp16_form, fp32_form
from edged.errors import InputError
from edged.variants.family import InputContract, load_family
from edged.variants.golden import golden_picture
from edged.variants.int8.float_network import probe
from edged.variants.int8.qdq import runtime_form, tensorrt_form
from edged.variants.mobilenet import Architecture, cost, recognise
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Variant
from edged.variants.weights.onnx_builder import Activation, Storage, build_network, expected_shapes
from tests.rig.onnx_forms import FormRunner

SIDE = 96
PLAIN = Architecture(0.25, 10)
HIDDEN = replace(PLAIN, hidden=(10,))
Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def plain() -> Weights:
    read = onnx.load_model_from_string(
        load_family("imagenette", Path()).network(Variant(0.25, 128)).read()
    )
    values = {each.name: onnx.numpy_helper.to_array(each) for each in read.graph.initializer}
    return {name: values[name].astype(np.float32) for name in expected_shapes(PLAIN)}


@pytest.fixture(scope="module")
def hidden(plain: Weights) -> Weights:
    """Shifted so far up that the activation changes nothing; a softmax does not see the shift."""
    weights = dict(plain)
    weights["hidden1.weight"] = plain["classifier.weight"] / 10
    weights["hidden1.bias"] = (plain["classifier.bias"] + 30) / 10
    weights["classifier.weight"] = 10 * np.eye(10, dtype=np.float32)
    weights["classifier.bias"] = np.zeros(10, np.float32)
    return weights


def made(architecture: Architecture, weights: Weights, **choices: Any) -> bytes:
    usual = {"scale": 1 / 127.5, "offset": -1.0, "storage": Storage.FLOAT32}
    return build_network(architecture, weights, **{**usual, **choices})


def pictures(count: int = 8) -> list[NDArray[np.uint8]]:
    make = Preprocessor(InputContract(), SIDE)
    return [make(golden_picture(500 + number)).copy() for number in range(count)]


def scores(model: bytes, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    runner = FormRunner(model)
    return np.stack([runner.run(image) for image in images])


def runtime(model: bytes) -> bytes:
    probing = probe(model)
    rows = scores(probing.model, pictures())
    count = len(probing.names)
    calibration = probing.calibration(np.maximum(rows[:, :count].max(axis=0), 1e-3))
    return runtime_form(model, calibration, probing.means(rows[:, count:].mean(axis=0)))


def tensorrt(model: bytes) -> bytes:
    probing = probe(model)
    rows = scores(probing.model, pictures())
    largest = np.maximum(rows[:, : len(probing.names)].max(axis=0), 1e-3)
    return tensorrt_form(model, probing.calibration(largest), runtime(model))


FORMS = [(lambda model: model, 1e-4), (fp32_form, 1e-4), (fp16_form, 0.02)]
FORMS += [(runtime, 0.05), (tensorrt, 0.05)]
NAMES = ["itself", "fp32", "fp16", "int8", "tensorrt int8"]


@pytest.mark.parametrize(("form", "within"), FORMS, ids=NAMES)
@pytest.mark.parametrize("activation", Activation)
def test_hidden_layers_compute_what_they_say(
    plain: Weights,
    hidden: Weights,
    form: Callable[[bytes], bytes],
    within: float,
    activation: Activation,
) -> None:
    storage = Storage.FLOAT16 if activation is Activation.RELU6 else Storage.FLOAT32
    model = made(HIDDEN, hidden, hidden_activation=activation, storage=storage)
    onnx.checker.check_model(onnx.load_model_from_string(form(model)), full_check=True)
    expected = scores(made(PLAIN, plain, storage=storage), pictures())
    within += 0.005 * (storage is Storage.FLOAT16)
    assert np.abs(scores(form(model), pictures()) - expected).max() < within
    assert np.ptp(expected, axis=0).max() > 0.25


@pytest.mark.parametrize(("form", "within"), FORMS, ids=NAMES)
def test_independent_scores_are_a_sigmoid_each(
    plain: Weights, form: Callable[[bytes], bytes], within: float
) -> None:
    found = scores(form(made(PLAIN, plain, independent=True)), pictures())
    assert (found.sum(axis=1) > 1.01).any()
    found = found.astype(np.float64)
    odds = found / (1 - found)  # their logarithms are what the softmax sees
    expected = scores(made(PLAIN, plain), pictures())
    assert np.abs(odds / odds.sum(axis=1, keepdims=True) - expected).max() < within


@pytest.mark.parametrize(("form", "within"), FORMS, ids=NAMES)
def test_each_colour_may_have_an_offset_of_its_own(
    plain: Weights, form: Callable[[bytes], bytes], within: float
) -> None:
    """Colours that are shifted one way in the picture and the other way in the network."""
    shift = np.array([0, 12, 20], np.uint8)
    images = [np.clip(image, 0, 230) for image in pictures()]
    offset = tuple(-1.0 - float(each) / 127.5 for each in shift)
    found = scores(form(made(PLAIN, plain, offset=offset)), [image + shift for image in images])
    assert np.abs(found - scores(made(PLAIN, plain), images)).max() < max(within, 1e-4)


def test_hidden_layers_are_counted() -> None:
    plain, wide = cost(PLAIN, 96), cost(replace(PLAIN, hidden=(64,)), 96)
    assert wide.parameters - plain.parameters == 256 * 64 + 64 * 10 - 256 * 10
    assert wide.multiply_adds - plain.multiply_adds == wide.parameters - plain.parameters


@pytest.mark.parametrize(("alpha", "first"), [(0.1, 3), (0.2, 6), (0.25, 8), (0.35, 11)])
def test_keras_has_no_narrowest_layer(alpha: float, first: int) -> None:
    narrow = Architecture(alpha, 3, narrowest=1)
    assert narrow.layers()[0].out_channels == first == int(32 * alpha)
    assert narrow.features == int(1024 * alpha)
    found = recognise(narrow.layers(), 3)
    assert (found.alpha, found.layers()) == (alpha, narrow.layers())
    assert recognise(Architecture(alpha, 3).layers(), 3) == Architecture(alpha, 3)


def test_a_network_with_something_else_in_its_head_is_not_quantised(plain: Weights) -> None:
    model = onnx.load_model_from_string(made(PLAIN, plain))
    model.graph.node[-1].op_type = "Tanh"
    del model.graph.node[-1].attribute[:]
    with pytest.raises(InputError, match="not a float network built by edged"):
        probe(model.SerializeToString())

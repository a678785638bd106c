"""Both INT8 forms: what they consist of, and that they compute what the float network does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.errors import InputError
from edged.variants.family import InputContract, Network, load_family
from edged.variants.golden import golden_picture
from edged.variants.int8.float_network import probe
from edged.variants.int8.qdq import runtime_form, tensorrt_form
from edged.variants.mobilenet import Architecture
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Precision, Variant
from edged.variants.weights.onnx_builder import Activation, Storage, build_network, expected_shapes

SIDES = (64, 96)
ARCHITECTURE = Architecture(0.25, 10)
Weights = dict[str, NDArray[np.float32]]


def float_model(weights: Weights, **choices: Any) -> bytes:
    normalisation = {"scale": 1 / 127.5, "offset": -1.0}
    return build_network(ARCHITECTURE, weights, **{**normalisation, **choices})


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Of a trained network: what a random one answers is mostly rounding."""
    network = load_family("imagenette", Path()).network(Variant(0.25, 128))
    values = constants(network.read())
    return {name: values[name].astype(np.float32) for name in expected_shapes(ARCHITECTURE)}


@pytest.fixture(scope="module")
def model(weights: Weights) -> bytes:
    return float_model(weights)


def images(count: int, first: int = 500) -> list[NDArray[np.uint8]]:
    """Of both sides, (1, side, side, 3)."""
    made = [Preprocessor(InputContract(), side) for side in SIDES]
    return [make(golden_picture(first + n)).copy() for n in range(count) for make in made]


def scores(model: bytes, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    network = Network.of(Path("not-read.onnx"), model, ARCHITECTURE.alpha, SIDES, Precision.INT8)
    runner = OrtBackend().load(network, model, 1)
    return np.stack([runner.run(picture) for picture in pictures])


def watched(model: bytes) -> tuple[dict[str, float], dict[str, NDArray[np.float32]]]:
    """What the network's values are on some pictures: the arguments of `runtime_form`."""
    probing = probe(model)
    rows = scores(probing.model, images(8))
    count = len(probing.names)
    largest = np.maximum(rows[:, :count].max(axis=0), 1e-3)
    means = probing.means(rows[:, count:].mean(axis=0))
    return dict(probing.calibration(largest)), dict(means)


def in_runtime_form(model: bytes) -> bytes:
    return runtime_form(model, *watched(model))


def in_tensorrt_form(model: bytes) -> bytes:
    return tensorrt_form(model, watched(model)[0], in_runtime_form(model))


def graph(model: bytes) -> Any:
    read = onnx.load_model_from_string(model)
    onnx.checker.check_model(read, full_check=True)
    return read.graph


def constants(model: bytes) -> dict[str, NDArray[Any]]:
    values = graph(model).initializer
    return {value.name: onnx.numpy_helper.to_array(value) for value in values}


def made_by(model: bytes) -> dict[str, Any]:
    return {node.output[0]: node for node in graph(model).node}


def test_the_runtime_form_is_8_bit_from_the_pixels_on(model: bytes) -> None:
    quantised = in_runtime_form(model)
    nodes, values = made_by(quantised), constants(quantised)
    assert {node.op_type for node in nodes.values()} == {
        "Transpose", "QuantizeLinear", "DequantizeLinear", "Conv", "GlobalAveragePool",
        "Flatten", "Gemm", "Softmax",
    }  # fmt: skip
    layers = [node for node in nodes.values() if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 28
    for number, layer in enumerate(layers):
        value, weight, bias = (nodes[name] for name in layer.input)
        assert {each.op_type for each in (value, weight, bias)} == {"DequantizeLinear"}
        assert_per_channel(weight, values)
        assert values[bias.input[0]].dtype == np.int32
        np.testing.assert_array_equal(
            values[bias.input[1]], values[value.input[1]] * values[weight.input[1]]
        )
        zero = values[value.input[2]]
        if number == 0:  # pixels: 127.5, to a whole number
            assert (zero.dtype, int(zero)) in ((np.uint8, 127), (np.uint8, 128))
        else:
            assert (zero.dtype, int(zero)) == (np.int8, -128)


def assert_per_channel(weight: Any, values: dict[str, NDArray[Any]]) -> None:
    steps, scale, zeros = (values[name] for name in weight.input)
    assert steps.dtype == np.int8
    assert scale.shape == zeros.shape == steps.shape[:1]
    assert not zeros.any()
    largest = np.abs(steps.reshape(len(steps), -1).astype(int)).max(axis=1)
    assert (largest == 127).all()


def test_the_tensorrt_form_quantises_what_convolutions_and_the_classifier_take(
    model: bytes,
) -> None:
    quantised = in_tensorrt_form(model)
    nodes, values = made_by(quantised), constants(quantised)
    layers = [node for node in nodes.values() if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 28
    users = {name: node for node in nodes.values() for name in node.input}
    for layer in layers:
        value, weight = (nodes[name] for name in layer.input[:2])
        assert values[layer.input[2]].dtype == np.float32
        assert_per_channel(weight, values)
        rounding = nodes[value.input[0]]
        assert rounding.op_type == "QuantizeLinear"
        assert list(rounding.input[1:]) == list(value.input[1:])
        zero = values[value.input[2]]
        assert (zero.dtype, int(zero), zero.shape) == (np.int8, 0, ())
        assert users[value.output[0]] is layer
    kinds = [node.op_type for node in nodes.values()]
    assert (kinds.count("QuantizeLinear"), kinds.count("Clip")) == (28, 27)


@pytest.mark.parametrize("form", [in_runtime_form, in_tensorrt_form])
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"storage": Storage.FLOAT32},
        {"activation": Activation.RELU},
        {"scale": 1 / 255, "offset": 0.0},
        {"scale": 1 / 128, "offset": -1.0},
    ],
    ids=str,
)
def test_scores_are_those_of_the_float_network(
    weights: Weights, form: Any, choices: dict[str, Any]
) -> None:
    model = float_model(weights, **choices)
    pictures = images(6, first=700)
    expected = scores(model, pictures)
    found = scores(form(model), pictures)
    assert np.abs(found - expected).max() < 0.12
    assert np.abs(found - expected).mean() < 0.012
    assert expected.std(axis=0).mean() > 0.05  # the pictures are told apart at all


def test_channels_that_batch_norm_left_dead_do_no_harm(weights: Weights) -> None:
    """Weights of next to nothing, and a bias that would overflow in steps of their size."""
    changed = {name: values.copy() for name, values in weights.items()}
    changed["block1.depthwise.weight"][:2] = [[[[1e-6]]], [[[0.0]]]]
    changed["block1.depthwise.bias"][:2] = 5.0, 3.0
    changed["block2.depthwise.weight"][:] = 0.0
    changed["block2.depthwise.bias"][:] = -1.0
    model = float_model(changed)
    assert watched(model)[0]["block2.depthwise"] == 1e-3  # what stands for nothing
    pictures = images(3, first=700)
    for form in (in_runtime_form, in_tensorrt_form):
        found = scores(form(model), pictures)
        np.testing.assert_allclose(found, scores(model, pictures), atol=0.05)


@pytest.mark.parametrize("name", ["conv", "block3.depthwise", "block9.pointwise", "classifier"])
def test_what_rounding_adds_on_average_is_taken_off_the_bias(weights: Weights, name: str) -> None:
    model = float_model(weights, scale=1 / 128, storage=Storage.FLOAT32)
    ranges, means = watched(model)
    quantised = runtime_form(model, ranges, means)
    values, kernel = constants(quantised), weights[f"{name}.weight"]
    steps, scale = (values[f"{name}.weight{part}"] for part in ("", ".scale"))
    added = []
    for out in range(len(kernel)):
        errors = steps[out] * scale[out] - kernel[out]
        seen = means[name][[out]] if "depthwise" in name else means[name]
        added.append(sum(errors[number].sum() * mean for number, mean in enumerate(seen)))
    bias = values[f"{name}.bias"] * values[f"{name}.bias.scale"]
    assert np.abs(added).max() > 1e-4
    off = np.abs(bias - (weights[f"{name}.bias"] - added))
    assert (off <= values[f"{name}.bias.scale"] / 2 + 1e-6).all()
    assert off.max() < np.abs(added).max() / 10
    taken_over = constants(tensorrt_form(model, ranges, quantised))[f"{name}.bias"]
    np.testing.assert_allclose(taken_over, bias, atol=1e-6)


def test_what_the_zero_point_of_the_pixels_lacks_is_in_the_first_bias(weights: Weights) -> None:
    """-1 … 1 has its zero between two grey levels."""
    for scale, offset, half in ((1 / 127.5, -1.0, 0.5), (1 / 255, 0.0, 0.0)):
        model = float_model(weights, scale=scale, offset=offset, storage=Storage.FLOAT32)
        ranges, means = watched(model)
        without = {name: np.zeros_like(mean) for name, mean in means.items()}
        quantised = runtime_form(model, ranges, without)
        values = constants(quantised)
        bias = values["conv.bias"] * values["conv.bias.scale"]
        sums = weights["conv.weight"].sum(axis=(1, 2, 3))
        lacking = offset + int(values["planes.zero"]) * scale
        assert abs(lacking) == pytest.approx(half * scale, abs=1e-6)
        np.testing.assert_allclose(bias, weights["conv.bias"] + lacking * sums, atol=1e-3)
        taken_over = constants(tensorrt_form(model, ranges, quantised))["conv.bias"]
        np.testing.assert_allclose(taken_over, weights["conv.bias"], atol=1e-3)


def test_the_probe_tells_the_largest_value_and_the_means(model: bytes) -> None:
    probing = probe(model)
    (picture, _) = images(1)
    exposed = onnx.load_model_from_string(model)
    layers = [node for node in exposed.graph.node if node.op_type in ("Conv", "Gemm")]
    clips = [node.output[0] for node in exposed.graph.node if node.op_type == "Clip"]
    inputs = [node.input[0] for node in layers]
    for name in {*clips, *inputs}:
        kind = onnx.TensorProto.FLOAT
        exposed.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    session = onnxruntime.InferenceSession(
        exposed.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = scores(probing.model, [picture])[0]
    assert probing.names == (*(node.name for node in layers[:-1]), "average")
    largest = [value.max() for value in session.run([*clips, "features"], {"image": picture})]
    np.testing.assert_allclose(found[: len(largest)], largest, rtol=1e-5)
    means = probing.means(found[len(largest) :])
    assert list(means) == [node.name for node in layers]
    for layer, value in zip(layers, session.run(inputs, {"image": picture}), strict=True):
        expected = value.reshape(*value.shape[:2], -1).mean(axis=2)[0]
        np.testing.assert_allclose(means[layer.name], expected, atol=1e-5)


def test_the_same_network_gives_the_same_bytes(model: bytes) -> None:
    ranges, means = watched(model)
    first = runtime_form(model, ranges, means)
    assert first == runtime_form(model, dict(reversed(ranges.items())), means)
    assert tensorrt_form(model, ranges, first) == tensorrt_form(model, ranges, first)


@pytest.mark.parametrize(
    "make",
    [
        lambda model, ranges, means: runtime_form(model, ranges, means),
        lambda model, ranges, _: tensorrt_form(model, ranges, b""),
        lambda model, *_: probe(model),
    ],
)
def test_other_networks_are_refused(model: bytes, make: Any) -> None:
    ranges, means = watched(model)
    with pytest.raises(InputError, match="not a float network built by edged"):
        make(runtime_form(model, ranges, means), ranges, means)
    with pytest.raises(InputError, match="not an ONNX network"):
        make(b"\xff not a network", ranges, means)


def test_a_calibration_of_another_network_is_refused(model: bytes) -> None:
    ranges, means = watched(model)
    int8 = runtime_form(model, ranges, means)
    del ranges["block7.pointwise"]
    with pytest.raises(InputError, match=r"block7\.pointwise: the calibration value is missing"):
        runtime_form(model, ranges, means)
    with pytest.raises(InputError, match=r"block7\.pointwise: the calibration value is missing"):
        tensorrt_form(model, ranges, int8)


def test_without_onnx_the_message_says_how_to_install_it() -> None:
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "from edged.errors import MissingPackageError\n"
        "from edged.variants.int8.float_network import probe\n"
        "try: probe(b'')\n"
        "except MissingPackageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'edged[models]'" in done.stdout, done.stderr

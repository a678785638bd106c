from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.mobilenet import Architecture, Body
from edged.variants.weights.onnx_builder import (
    Activation,
    Storage,
    Weights,
    build_network,
    check_weights,
    expected_shapes,
)
from tests.rig.random_weights import random_weights

TINY = Architecture(0.03, 5)
"""8 to 30 channels a layer."""


def weights_with_biases(
    architecture: Architecture, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(0.3, 0.3, values.shape).astype(np.float32)
        if name.endswith(".bias")
        else values
        for name, values in random_weights(architecture, seed).items()
    }


def picture(height: int, width: int, seed: int = 1) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, height, width, 3))
    return pixels.astype(np.uint8)


def run(model: bytes, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["scores"], {"image": image})[0])


def tensorflow_same(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after, as TensorFlow documents SAME."""
    remainder = length % stride
    total = max(kernel - (stride if remainder == 0 else remainder), 0)
    return total // 2, total - total // 2


def computed(
    architecture: Architecture,
    weights: Weights,
    image: NDArray[np.uint8],
    scale: float,
    offset: float,
    most: float = 6.0,
) -> NDArray[np.float64]:
    """The scores by the paper's definition in float64 NumPy, channels last."""
    value: NDArray[np.float64] = image[0].astype(np.float64) * scale + offset
    for layer in architecture.layers():
        pads = [tensorflow_same(length, layer.kernel, layer.stride) for length in value.shape[:2]]
        padded = np.pad(value, (*pads, (0, 0)))
        windows = sliding_window_view(padded, (layer.kernel, layer.kernel), axis=(0, 1))
        windows = windows[:: layer.stride, :: layer.stride]
        kernel = weights[f"{layer.name}.weight"].astype(np.float64)
        formula = "ijckl,ockl->ijo" if layer.groups == 1 else "ijckl,ckl->ijc"
        if layer.groups > 1:
            kernel = kernel[:, 0]
        value = np.einsum(formula, windows, kernel) + weights[f"{layer.name}.bias"]
        value = np.clip(value, 0, most)
    features = value.mean(axis=(0, 1))
    logits = weights["classifier.weight"] @ features + weights["classifier.bias"]
    scores: NDArray[np.float64] = np.exp(logits - logits.max())
    scores /= scores.sum()
    return scores


@pytest.mark.parametrize("body", list(Body))
@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 52), (33, 96), (224, 1)])
def test_scores_are_those_of_the_definition(body: Body, height: int, width: int) -> None:
    architecture = Architecture(TINY.alpha, TINY.classes, body)
    weights = weights_with_biases(architecture)
    image = picture(height, width)
    model = build_network(
        architecture, weights, scale=1 / 127.5, offset=-1.0, storage=Storage.FLOAT32
    )
    scores = run(model, image)
    assert scores.shape == (1, 5)
    assert scores.dtype == np.float32
    expected = computed(architecture, weights, image, 1 / 127.5, -1.0)
    assert expected.max() < 0.999, "a saturated softmax would hide differences"
    np.testing.assert_allclose(scores[0], expected, rtol=1e-3, atol=1e-6)


def test_relu_in_place_of_relu6() -> None:
    weights, image = weights_with_biases(TINY), picture(32, 32)
    weights["block13.pointwise.bias"] = weights["block13.pointwise.bias"] + np.float32(6)
    scores = {}
    for activation, most in ((Activation.RELU6, 6.0), (Activation.RELU, np.inf)):
        model = build_network(
            TINY,
            weights,
            scale=1 / 127.5,
            offset=-1.0,
            activation=activation,
            storage=Storage.FLOAT32,
        )
        scores[activation] = run(model, image)[0]
        expected = computed(TINY, weights, image, 1 / 127.5, -1.0, most)
        np.testing.assert_allclose(scores[activation], expected, rtol=1e-3, atol=1e-6)
    assert np.abs(scores[Activation.RELU] - scores[Activation.RELU6]).max() > 4e-3


def test_normalisation_is_pixel_times_scale_plus_offset() -> None:
    weights, image = weights_with_biases(TINY), picture(32, 32)
    model = build_network(TINY, weights, scale=1 / 255, offset=0.25, storage=Storage.FLOAT32)
    expected = computed(TINY, weights, image, 1 / 255, 0.25)
    np.testing.assert_allclose(run(model, image)[0], expected, rtol=1e-3, atol=1e-6)
    other = computed(TINY, weights, image, 1 / 127.5, -1.0)
    assert np.abs(other - expected).max() > 1e-2


@pytest.mark.parametrize("body", list(Body))
def test_one_session_serves_every_height_and_width(body: Body) -> None:
    architecture = Architecture(0.25, 10, body)
    model = build_network(
        architecture, random_weights(architecture, 0), scale=1 / 127.5, offset=-1.0
    )
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for height, width in ((224, 224), (128, 128), (97, 131)):
        (scores,) = session.run(None, {"image": picture(height, width)})
        assert scores.shape == (1, 10)
        assert scores.sum() == pytest.approx(1, abs=1e-5)


def test_the_model_is_valid_onnx_with_the_agreed_interface() -> None:
    model = onnx.load_from_string(
        build_network(TINY, random_weights(TINY, 0), scale=1 / 127.5, offset=-1.0)
    )
    onnx.checker.check_model(model, full_check=True)
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    (image,) = model.graph.input
    assert image.name == "image"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = [side.dim_param or side.dim_value for side in image.type.tensor_type.shape.dim]
    assert sides == [1, "height", "width", 3]
    (scores,) = model.graph.output
    assert scores.name == "scores"
    assert [side.dim_value for side in scores.type.tensor_type.shape.dim] == [1, 5]


def test_float16_storage_halves_the_file_and_keeps_the_scores() -> None:
    architecture = Architecture(0.25, 100)
    weights = weights_with_biases(architecture)
    small, large = (
        build_network(architecture, weights, scale=1 / 127.5, offset=-1.0, storage=storage)
        for storage in (Storage.FLOAT16, Storage.FLOAT32)
    )
    assert len(small) < 0.55 * len(large)
    image = picture(128, 128)
    np.testing.assert_allclose(run(small, image), run(large, image), atol=2e-3)
    stored = {
        tensor.name: tensor.data_type for tensor in onnx.load_from_string(small).graph.initializer
    }
    for name in expected_shapes(architecture):
        half = name.endswith(".weight")
        assert stored[name] == (onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT)


def test_the_same_weights_give_the_same_bytes() -> None:
    first, again = (
        build_network(TINY, random_weights(TINY, 3), scale=1 / 127.5, offset=-1.0) for _ in range(2)
    )
    assert first == again
    other = build_network(TINY, random_weights(TINY, 4), scale=1 / 127.5, offset=-1.0)
    assert other != first


def test_random_weights_have_the_variance_of_he() -> None:
    weights = random_weights(Architecture(1.0, 1000), 0)
    pointwise = weights["block13.pointwise.weight"]
    assert pointwise.std() == pytest.approx(np.sqrt(2 / 1024), rel=0.01)
    depthwise = weights["block13.depthwise.weight"]
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 9), rel=0.05)
    assert not weights["conv.bias"].any()


def test_wrong_weights_are_refused_by_name() -> None:
    good = dict(random_weights(TINY, 0))
    check_weights(TINY, good)

    missing = {name: values for name, values in good.items() if name != "block4.depthwise.bias"}
    with pytest.raises(InputError, match=r"^block4\.depthwise\.bias: weights are missing"):
        build_network(TINY, missing, scale=1, offset=0)

    flat = {**good, "block2.pointwise.weight": good["block2.pointwise.weight"].reshape(8, 8)}
    with pytest.raises(InputError, match=r"^block2\.pointwise\.weight: .*\(8, 8, 1, 1\).*\(8, 8\)"):
        build_network(TINY, flat, scale=1, offset=0)

    holed = {**good, "conv.weight": np.full_like(good["conv.weight"], np.nan)}
    with pytest.raises(InputError, match=r"^conv\.weight: .*not finite"):
        build_network(TINY, holed, scale=1, offset=0)

    foreign = {**good, "block14.depthwise.weight": good["conv.weight"]}
    with pytest.raises(InputError, match=r"^block14\.depthwise\.weight: unexpected weights"):
        build_network(TINY, foreign, scale=1, offset=0)


def test_weights_beyond_float16_are_refused_but_fit_float32() -> None:
    weights = dict(random_weights(TINY, 0))
    weights["block1.depthwise.weight"] = weights["block1.depthwise.weight"] + np.float32(1e5)
    with pytest.raises(InputError, match=r"^block1\.depthwise\.weight: .*float16.*float32"):
        build_network(TINY, weights, scale=1, offset=0)
    assert build_network(TINY, weights, scale=1, offset=0, storage=Storage.FLOAT32)


@pytest.mark.parametrize("storage", list(Storage))
@pytest.mark.parametrize("offset", [-1.0, (0.5, -2.0, 3.0)])
@pytest.mark.parametrize("hidden", [(), (200, 16)])
def test_the_bytes_are_those_that_the_onnx_package_writes(
    storage: Storage, offset: float | tuple[float, float, float], hidden: tuple[int, ...]
) -> None:
    """Order, presence and coding of all fields; lengths of one byte and of more."""
    architecture = Architecture(0.03, 150, hidden=hidden)
    model = build_network(
        architecture,
        random_weights(architecture, 0),
        scale=1 / 127.5,
        offset=offset,
        activation=Activation.RELU if hidden else Activation.RELU6,
        independent=bool(hidden),
        storage=storage,
    )
    read = onnx.load_from_string(model)
    assert read.SerializeToString(deterministic=True) == model
    onnx.checker.check_model(read, full_check=True)


def test_the_bytes_are_those_of_edged_0_2() -> None:
    """Profiles, engines and downloads.txt name networks by their hash."""
    model = build_network(TINY, random_weights(TINY, 3), scale=1 / 127.5, offset=-1.0)
    assert hashlib.sha256(model).hexdigest() == (
        "caeed94efdcb993b8af6b309c31b4e5415523172eaa77b7754242221b2e25d06"
    )


def test_a_network_is_made_without_the_onnx_package() -> None:
    program = (
        "import hashlib, sys; sys.modules['onnx'] = None\n"
        "from edged.variants.mobilenet import Architecture\n"
        "from edged.variants.weights.onnx_builder import build_network\n"
        "from tests.rig.random_weights import random_weights\n"
        "tiny = Architecture(0.03, 5)\n"
        "model = build_network(tiny, random_weights(tiny, 0), scale=1, offset=0)\n"
        "print(hashlib.sha256(model).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    model = build_network(TINY, random_weights(TINY, 0), scale=1, offset=0)
    assert done.stdout.strip() == hashlib.sha256(model).hexdigest(), done.stderr

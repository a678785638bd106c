"""The forms that TensorRT is given: valid ONNX, and in ONNX Runtime what the network computes.

ONNX Runtime's CPU widens float16 between its kernels, so that this proves the file, and what
rounding weights and values costs, not the arithmetic of a GPU; tests/jetson does that on one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.onnx_forms import fp16_form, fp32_form, int8_form
from edged.errors import InputError
from edged.variants.evaluation.evaluate import rank
from edged.variants.evaluation.photos import Photos
from edged.variants.family import Network, load_family
from edged.variants.features import with_features
from edged.variants.int8.qdq import tensorrt_form
from edged.variants.mobilenet import Architecture
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Precision, Variant
from edged.variants.weights.onnx_builder import Activation, Storage, build_network
from tests.rig.onnx_forms import FormRunner
from tests.rig.weights import lively_weights

ARCHITECTURE = Architecture(0.25, 10)
SIDES = (64, 96)


def made(**choices: Any) -> bytes:
    normalisation = {"scale": 1 / 127.5, "offset": -1.0}
    return build_network(
        ARCHITECTURE, lively_weights(ARCHITECTURE, 3), **{**normalisation, **choices}
    )


def runner(model: bytes) -> Any:
    """Of a network as edged writes it."""
    return OrtBackend().load(Network.of(Path("not-read.onnx"), model, 0.25, SIDES), model, 1)


def graph(model: bytes) -> Any:
    read = onnx.load_model_from_string(model)
    onnx.checker.check_model(read, full_check=True)
    return read.graph


def pictures() -> list[Any]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (1, side, side, 3), dtype=np.uint8) for side in SIDES * 3]


CHOICES = [{}, {"storage": Storage.FLOAT32}, {"activation": Activation.RELU}]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize(("form", "within"), [(fp32_form, 1e-5), (fp16_form, 0.02)])
def test_scores_are_those_of_the_network(choices: dict[str, Any], form: Any, within: float) -> None:
    model = made(**choices)
    ours, theirs = FormRunner(form(model)), runner(model)
    for picture in pictures():
        np.testing.assert_allclose(ours.run(picture), theirs.run(picture), atol=within)
        ours_features, theirs_features = ours.features(picture), theirs.features(picture)
        largest = np.abs(theirs_features).max()
        np.testing.assert_allclose(ours_features, theirs_features, atol=within * largest)


@pytest.mark.parametrize("form", [fp32_form, fp16_form])
def test_features_come_second_as_float32(form: Any) -> None:
    (scores, _, _), (name, kind, shape) = FormRunner(form(made())).outputs
    assert (scores, kind, shape) == ("scores", "tensor(float)", [1, ARCHITECTURE.features])
    assert name.startswith("features")


@pytest.mark.parametrize("form", [fp32_form, fp16_form])
def test_pixels_are_cast_before_anything_else_and_forms_are_the_same_twice(form: Any) -> None:
    model = made()
    found = graph(form(model))
    assert [node.op_type for node in found.node[:4]] == ["Cast", "Transpose", "Mul", "Add"]
    assert list(found.node[0].input) == ["image"]
    assert form(model) == form(model)


def test_in_fp16_every_weight_bias_and_limit_is_float16() -> None:
    found = graph(fp16_form(made()))
    kinds = {each.name: onnx.numpy_helper.to_array(each).dtype for each in found.initializer}
    assert {name for name, kind in kinds.items() if kind != np.float16} == {"scale", "offset"}
    casts = [node for node in found.node if node.op_type == "Cast"]
    # Pixels, normalised pixels, and back for the features and before the softmax.
    assert len(casts) == 4
    assert [node.op_type for node in found.node[-2:]] == ["Cast", "Softmax"]
    inferred = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(fp16_form(made())))
    types = {each.name: each.type.tensor_type.elem_type for each in inferred.graph.value_info}
    layers = [node.output[0] for node in found.node if node.op_type in ("Conv", "Gemm")]
    assert {types[name] for name in layers} == {onnx.TensorProto.FLOAT16}


def test_in_fp32_nothing_is_float16() -> None:
    found = graph(fp32_form(made()))
    assert {onnx.numpy_helper.to_array(each).dtype for each in found.initializer} == {
        np.dtype(np.float32)
    }


def test_weights_that_float16_cannot_hold_are_refused() -> None:
    weights = {**lively_weights(ARCHITECTURE, 3)}
    weights["conv.bias"] = weights["conv.bias"] + 1e6
    model = build_network(
        ARCHITECTURE, weights, scale=1 / 127.5, offset=-1.0, storage=Storage.FLOAT32
    )
    with pytest.raises(InputError, match=r"conv.bias: weights too large for float16"):
        fp16_form(model)


@pytest.mark.parametrize("form", [fp32_form, fp16_form])
def test_what_is_no_network_of_edged_is_refused(form: Any) -> None:
    with pytest.raises(InputError, match="not an ONNX network"):
        form(b"garbage")
    family = load_family("imagenette", Path())
    with pytest.raises(InputError, match="not a float network"):
        form(family.network(Variant(0.25, 128, Precision.INT8)).read())


def test_int8_differs_from_the_form_of_qdq_in_the_cast_alone() -> None:
    family = load_family("imagenette", Path())
    float_model = family.network(Variant(0.25, 128)).read()
    network = family.network(Variant(0.25, 128, Precision.INT8))
    arguments = float_model, network.calibration, network.read()
    quantised, turned = tensorrt_form(*arguments), int8_form(*arguments)
    assert [node.op_type for node in graph(turned).node[:2]] == ["Cast", "Transpose"]
    assert list(graph(turned).node[2:]) == list(graph(quantised).node[2:])
    ours, theirs = FormRunner(turned), FormRunner(with_features(quantised))
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    np.testing.assert_allclose(ours.run(picture), theirs.run(picture), atol=1e-5)
    np.testing.assert_allclose(ours.features(picture), theirs.features(picture), atol=1e-4)
    assert np.ptp(ours.features(picture)) > 1


@pytest.mark.long
@pytest.mark.data
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("alpha", "side"), [(0.25, 128), (0.5, 160), (0.75, 128), (1.0, 128)])
def test_fp16_costs_less_than_0_3_points(data: Path, alpha: float, side: int) -> None:
    family = load_family("imagenette", Path())
    variant = Variant(alpha, side)
    network = family.network(variant)
    ours, theirs = FormRunner(fp16_form(network.read())), FormRunner(network.read())
    preprocess = Preprocessor(family.input, side)
    right = {"ours": 0, "theirs": 0}
    count = 0
    for photo in Photos(data / "photos/imagenette-val.tar", family):
        image = preprocess.photo(photo.picture)
        right["ours"] += rank(ours.run(image), photo.class_index) == 0
        right["theirs"] += rank(theirs.run(image), photo.class_index) == 0
        count += 1
    assert count == 1963
    assert abs(right["ours"] - right["theirs"]) / count < 0.003

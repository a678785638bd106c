"""Whole Keras models as people make them: preprocessing, augmentation, heads, archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edged.errors import InputError
from edged.variants.weights.keras import read_keras
from edged.variants.weights.onnx_builder import Activation, InputRange
from tests.rig.keras_files import KerasLayer, dense_layer, keras_file
from tests.rig.weights import TINY

FEATURES = TINY.features
RANDOM = np.random.default_rng(0)
HIDDEN = RANDOM.normal(size=(FEATURES, 7)), RANDOM.normal(size=7)
LAST = RANDOM.normal(size=(7, 5)), RANDOM.normal(size=5)
DIRECT = RANDOM.normal(size=(FEATURES, 5)), RANDOM.normal(size=5)
POOL = KerasLayer("GlobalAveragePooling2D", "pool")
DIRECTLY = dense_layer("scores", *DIRECT, "softmax")


def norm(name: str, channels: int) -> tuple[KerasLayer, Any, Any]:
    """A batch norm with its gain and shift."""
    gamma, beta, mean = RANDOM.normal(1, 0.3, (3, channels))
    variance = RANDOM.uniform(0.5, 2, channels)
    gain = gamma / np.sqrt(variance + 1e-3)
    arrays = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    layer = KerasLayer("BatchNormalization", name, {"epsilon": 1e-3}, arrays)
    return layer, gain, beta - mean * gain


@pytest.mark.parametrize("layout", ["model", "archive"])
def test_hidden_dense_layers_are_read(path: Path, layout: str) -> None:
    head = (POOL, dense_layer("a", *HIDDEN, "relu"), KerasLayer("Dropout", "off"))
    expected = keras_file(
        path, TINY, layout=layout, head=(*head, dense_layer("b", *LAST, "softmax"))
    )
    imported = read_keras(path)
    assert imported.architecture.hidden == (7,)
    assert imported.hidden_activation is Activation.RELU
    for name, values in expected.items():
        np.testing.assert_allclose(imported.weights[name], values, rtol=2e-6, atol=1e-7)
    for name, (kernel, bias) in {"hidden1": HIDDEN, "classifier": LAST}.items():
        np.testing.assert_allclose(imported.weights[f"{name}.weight"], kernel.T, rtol=1e-6)
        np.testing.assert_allclose(imported.weights[f"{name}.bias"], bias, rtol=1e-6)


def test_edge_impulses_head_is_read(path: Path) -> None:
    """The average keeps its dimensions, dense layers see (1, features), Flatten comes last."""
    head = (
        KerasLayer("GlobalAveragePooling2D", "pool", {"keepdims": True}),
        KerasLayer("Reshape", "reshape", {"target_shape": [-1, FEATURES]}),
        dense_layer("a", *HIDDEN, "relu"),
        KerasLayer("Dropout", "off"),
        KerasLayer("Flatten", "flat"),
        dense_layer("b", *LAST, "softmax"),
    )
    keras_file(path, TINY, layout="archive", head=head)
    assert read_keras(path).architecture.hidden == (7,)


def test_an_average_over_the_whole_map_is_one_whatever_it_is_called(path: Path) -> None:
    flat = KerasLayer("Flatten", "flat")
    whole = KerasLayer("AveragePooling2D", "average", {"pool_size": [3, 3]})
    keras_file(path, TINY, layout="model", head=(whole, flat, DIRECTLY))
    np.testing.assert_allclose(
        read_keras(path).weights["classifier.weight"], DIRECT[0].T, rtol=1e-6
    )
    part = KerasLayer("AveragePooling2D", "average", {"pool_size": [2, 2]})
    keras_file(path, TINY, layout="model", head=(part, flat, DIRECTLY))
    with pytest.raises(InputError, match=r"layer average: .*whole \(3, 3\) map \(got \(2, 2\)"):
        read_keras(path)
    keras_file(path, TINY, layout="model", head=(flat, DIRECTLY))
    with pytest.raises(InputError, match=r"layer scores: .*dense layer on the 3x3 map without"):
        read_keras(path)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_batch_norm_in_the_head_is_folded(path: Path, place: str) -> None:
    kernel, bias = DIRECT
    if place == "before":
        layer, gain, shift = norm("norm", FEATURES)
        head = (layer, POOL, DIRECTLY)  # before the average it is the same
        weight, added = kernel.T * gain, bias + shift @ kernel
    else:
        layer, gain, shift = norm("norm", 5)
        head = (
            POOL, dense_layer("a", *DIRECT, "linear"), layer,
            KerasLayer("Activation", "end", {"activation": "softmax"}),
        )  # fmt: skip
        weight, added = kernel.T * gain[:, np.newaxis], bias * gain + shift
    keras_file(path, TINY, layout="archive", head=head)
    imported = read_keras(path)
    np.testing.assert_allclose(imported.weights["classifier.weight"], weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(imported.weights["classifier.bias"], added, rtol=1e-5, atol=1e-6)


def test_a_single_sigmoid_is_two_classes(path: Path) -> None:
    kernel, bias = DIRECT[0][:, :1], DIRECT[1][:1]
    keras_file(path, TINY, layout="model", head=(POOL, dense_layer("p", kernel, bias, "sigmoid")))
    imported = read_keras(path)
    assert (imported.architecture.classes, imported.independent) == (2, False)
    np.testing.assert_array_equal(imported.weights["classifier.weight"][0], 0)
    np.testing.assert_allclose(imported.weights["classifier.weight"][1], kernel[:, 0], rtol=1e-6)
    assert any("second label" in note for note in imported.notes)


def test_several_sigmoids_are_scores_of_their_own(path: Path) -> None:
    keras_file(path, TINY, layout="model", head=(POOL, dense_layer("p", *DIRECT, "sigmoid")))
    imported = read_keras(path)
    assert (imported.architecture.classes, imported.independent) == (5, True)
    assert any("need not add up to 1" in note for note in imported.notes)


def test_an_end_without_activation_is_said(path: Path) -> None:
    keras_file(path, TINY, layout="model", head=(POOL, dense_layer("p", *DIRECT, "linear")))
    assert "its last layer has no activation: softmax is assumed" in read_keras(path).notes


def test_a_grey_network_sees_luma(path: Path) -> None:
    expected = keras_file(path, TINY, layout="model", grey=True, head=(POOL, DIRECTLY))
    imported = read_keras(path)
    grey = expected["conv.weight"]
    for channel, share in enumerate((0.299, 0.587, 0.114)):
        np.testing.assert_allclose(
            imported.weights["conv.weight"][:, channel], grey[:, 0] * share, rtol=1e-5, atol=1e-7
        )
    assert any("grey" in note for note in imported.notes)


def operation(name: str, function: str) -> KerasLayer:
    return KerasLayer("TFOpLambda", name, {"function": f"math.{function}"})


RESCALE = KerasLayer("Rescaling", "rescaling", {"scale": 1 / 255, "offset": 0.0})
AUGMENT = tuple(
    KerasLayer(kind, kind.lower())
    for kind in (
        "RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast", "GaussianNoise", "Identity",
        "RandAugment", "AugMix", "MixUp", "CutMix",
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "scale", "offset", "assumed"),
    [
        (AUGMENT, 1 / 127.5, -1.0, InputRange.SYMMETRIC),
        ((*AUGMENT, RESCALE), 1 / 255, 0.0, InputRange.PIXELS),
        (
            (RESCALE, KerasLayer("Rescaling", "second", {"scale": 2.0, "offset": -1.0})),
            2 / 255, -1.0, InputRange.PIXELS,
        ),
        (
            (KerasLayer("Rescaling", "second", {"scale": 2.0, "offset": -1.0}),),
            2 / 255, -1.0, InputRange.UNIT,
        ),
        (
            (RESCALE, KerasLayer("Normalization", "norm", {"mean": [0.5], "variance": [0.04]})),
            5 / 255, -2.5, InputRange.PIXELS,
        ),
    ],
)  # fmt: skip
def test_preprocessing_layers_compose(
    path: Path,
    before: Sequence[KerasLayer],
    scale: float,
    offset: float,
    assumed: InputRange,
) -> None:
    keras_file(path, TINY, layout="model", before=before)
    imported = read_keras(path)
    assert imported.scale == pytest.approx(scale)
    assert imported.offset == pytest.approx(offset)
    assert imported.assumed is assumed


def test_a_normalisation_of_each_colour_is_kept(path: Path) -> None:
    """Adapted to photos: its numbers lie in the file, and differ between the colours."""
    mean, deviation = np.array([124.0, 116.0, 104.0]), np.array([58.0, 57.0, 60.0])
    arrays = {"mean": mean, "variance": deviation**2}
    layer = KerasLayer("Normalization", "norm", {"mean": None, "variance": None}, arrays)
    expected = keras_file(path, TINY, layout="archive", before=(layer,))
    imported = read_keras(path)
    gain = deviation[0] / deviation
    np.testing.assert_allclose(
        imported.weights["conv.weight"],
        expected["conv.weight"] * gain.reshape(1, 3, 1, 1),
        rtol=1e-5,
        atol=1e-7,
    )
    assert imported.scale == pytest.approx(1 / 58)
    assert imported.offset == pytest.approx(tuple(-mean / 58))


def test_an_older_models_own_arithmetic_is_read(path: Path) -> None:
    """mobilenet.preprocess_input inside a model, as Keras 2 writes it."""

    def chained(model: dict[str, Any]) -> None:
        config = model["config"]
        previous = None
        for layer in config["layers"]:
            layer["name"] = name = layer["config"]["name"]
            number = {"divide": 127.5, "shift": 1.0}.get(name)
            if number is not None:
                layer["inbound_nodes"] = [[previous, 0, 0, {"y": number, "name": None}]]
            elif name == "cast":
                layer["inbound_nodes"] = [[previous, 0, 0, {"dtype": "float32"}]]
            else:
                layer["inbound_nodes"] = [[[previous, 0, 0, {}]]] if previous else []
            previous = name
        config["input_layers"] = [["input_1", 0, 0]]
        config["output_layers"] = [[previous, 0, 0]]

    before = (
        operation("cast", "cast"),
        operation("divide", "truediv"),
        operation("shift", "subtract"),
    )
    keras_file(path, TINY, layout="model", before=before, changed=chained)
    imported = read_keras(path)
    assert (imported.scale, imported.offset) == (pytest.approx(1 / 127.5), pytest.approx(-1))
    assert imported.assumed is InputRange.PIXELS


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (KerasLayer("Lambda", "own"), r"layer own: .*Lambda layer.*; replace it with a Rescaling"),
        # It stretches the contrast of every picture, not just in training.
        (KerasLayer("AutoContrast", "more"), r"layer more: .*an unsupported layer"),
        (KerasLayer("Permute", "turn"), r"layer turn: .*an unsupported layer \(got Permute\)"),
    ],
)
def test_what_cannot_be_read_is_named(path: Path, layer: KerasLayer, message: str) -> None:
    keras_file(path, TINY, layout="model", before=(layer,))
    with pytest.raises(InputError, match=message):
        read_keras(path)


def test_a_random_crop_states_the_resolution(path: Path) -> None:
    crop = KerasLayer("RandomCrop", "crop", {"height": 64, "width": 64})
    keras_file(path, TINY, layout="model", before=(crop,))
    assert read_keras(path).resolution == 64


def test_channels_first_are_named(path: Path) -> None:
    def turn(model: dict[str, Any]) -> None:
        model["config"]["layers"][1]["config"]["data_format"] = "channels_first"

    keras_file(path, TINY, layout="model", changed=turn)
    with pytest.raises(InputError, match=r"layer conv1: .*NCHW\); build it with data_format="):
        read_keras(path)


def test_a_relative_is_called_by_its_name(path: Path) -> None:
    def rename(model: dict[str, Any]) -> None:
        model["config"]["name"] = "mobilenetv2_0.35_96"

    keras_file(path, TINY, layout="model", changed=rename)
    with pytest.raises(
        InputError, match=r"this is MobileNet v2; edged runs MobileNet v1 .*train MobileNet v1"
    ):
        read_keras(path)


def test_what_weighs_its_channels_is_no_mobilenet_v2(path: Path) -> None:
    def join(model: dict[str, Any]) -> None:
        for kind, name in (("Multiply", "mul"), ("Add", "block_add")):
            model["config"]["layers"].append({"class_name": kind, "config": {"name": name}})

    keras_file(path, TINY, layout="model", changed=join)
    with pytest.raises(InputError, match="this is MobileNet v3 or EfficientNet"):
        read_keras(path)


def test_a_model_whose_output_has_a_name_is_read(path: Path) -> None:
    def name(model: dict[str, Any]) -> None:
        previous = None
        for layer in model["config"]["layers"]:
            layer["name"] = layer["config"]["name"]
            layer["inbound_nodes"] = [[[previous, 0, 0, {}]]] if previous else []
            previous = layer["name"]
        model["config"]["output_layers"] = {"scores": [previous, 0, 0]}

    expected = keras_file(path, TINY, layout="model", changed=name)
    np.testing.assert_allclose(
        read_keras(path).weights["classifier.weight"], expected["classifier.weight"], rtol=1e-6
    )


def test_what_keras_quantised_is_refused_as_that(path: Path) -> None:
    def quantise(model: dict[str, Any]) -> None:
        policy = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}
        model["config"]["layers"][-1]["config"]["dtype"] = policy

    keras_file(path, TINY, layout="model", head=(POOL, DIRECTLY), changed=quantise)
    with pytest.raises(InputError, match=r"layer scores: .*was quantised by Keras.*; save it"):
        read_keras(path)


def test_a_softmax_over_one_class_says_nothing(path: Path) -> None:
    kernel, bias = DIRECT[0][:, :1], DIRECT[1][:1]
    keras_file(path, TINY, layout="model", head=(POOL, dense_layer("p", kernel, bias, "softmax")))
    with pytest.raises(InputError, match=r"its score is 1 for every picture; train it with sigm"):
        read_keras(path)


def test_a_model_of_an_own_class_is_called_that(path: Path) -> None:
    def opaque(model: dict[str, Any]) -> None:
        model.update(class_name="Mine", config={"trainable": True})

    keras_file(path, TINY, layout="model", changed=opaque)
    with pytest.raises(InputError, match=r"Mine is a custom Python class.*; build it of"):
        read_keras(path)


def test_an_archive_of_an_own_class_is_not_called_damaged(path: Path) -> None:
    """Keras then names the weights by the attributes of the class."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["dense/vars/0"] = np.zeros((4, 3), np.float32)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Mine", "config": {}}))
        archive.writestr("model.weights.h5", weights.getvalue())
    with pytest.raises(InputError, match="Mine is a custom Python class"):
        read_keras(path)


def test_several_outputs_are_a_detector(path: Path) -> None:
    def split(model: dict[str, Any]) -> None:
        model["config"]["output_layers"] = [["boxes", 0, 0], ["classes", 0, 0]]

    keras_file(path, TINY, layout="model", changed=split)
    with pytest.raises(
        InputError, match=r"several outputs, so it is not a classifier \(got 2 outputs\)"
    ):
        read_keras(path)

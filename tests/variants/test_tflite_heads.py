"""TensorFlow Lite files as people's tools write them: preprocessing, hidden layers, sigmoid, grey,
and those of other kinds, which are called by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.errors import InputError
from edged.variants.weights.onnx_builder import Activation, InputRange
from tests.rig.tflite_files import FLOAT32, INT8, WEIGHTS, Coding, TfliteWriter, read, tflite_file
from tests.rig.weights import TINY, Array

RANDOM = np.random.default_rng(0)
RELU = 1


def random(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


HIDDEN = random(7, TINY.features), random(7)
LAST = random(5, 7), random(5)


@pytest.mark.parametrize(
    ("steps", "scale", "offset"),
    [
        ([("MUL", 2.0), ("ADD", -1.0)], 2 / 255, -1.0),
        ([("DIV", 127.5), ("SUB", 1.0)], 1 / 127.5, -1.0),
        ([("SUB", 127.5), ("MUL", 1 / 127.5)], 1 / 127.5, -1.0),
    ],
)
def test_arithmetic_before_the_network_is_its_preprocessing(
    path: Path, steps: Sequence[tuple[str, float]], scale: float, offset: float
) -> None:
    def arithmetic(writer: TfliteWriter, value: int) -> int:
        for kind, number in steps:
            operand = writer.constant(np.array([number], "<f4"))
            value = writer.operator(kind, [value, operand], writer.value((1, 64, 64, 3)))
        return value

    imported = read(path, tflite_file(TINY, WEIGHTS, before=arithmetic))
    assert imported.assumed is (InputRange.UNIT if steps[0][1] == 2 else InputRange.PIXELS)
    assert imported.scale == pytest.approx(scale)
    assert imported.offset == pytest.approx(offset)


@pytest.mark.parametrize("coding", [FLOAT32, INT8], ids=["float32", "int8"])
def test_a_hidden_layer_is_read(path: Path, coding: Coding) -> None:
    def hidden(writer: TfliteWriter, layer: str, value: int) -> int:
        if layer != "average":
            return value
        inputs = [value, coding.weights(writer, HIDDEN[0], 0), coding.bias(writer, HIDDEN[1])]
        output = writer.value((1, 7), coding.values, *(coding.activations or ()))
        return writer.operator("FULLY_CONNECTED", inputs, output, FusedActivationFunction=RELU)

    weights = {**WEIGHTS, "classifier.weight": LAST[0], "classifier.bias": LAST[1]}
    imported = read(path, tflite_file(TINY, weights, coding, dense=True, changed=hidden))
    assert imported.architecture.hidden == (7,)
    assert imported.hidden_activation is Activation.RELU
    for name, (weight, bias) in {"hidden1": HIDDEN, "classifier": LAST}.items():
        step = 0 if coding is FLOAT32 else np.abs(weight).max() / 254
        np.testing.assert_allclose(
            imported.weights[f"{name}.weight"], weight, rtol=1e-6, atol=step + 1e-7
        )
        np.testing.assert_allclose(imported.weights[f"{name}.bias"], bias, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("classes", [1, 5])
def test_scores_of_a_sigmoid_are_read(path: Path, classes: int) -> None:
    weights = dict(WEIGHTS)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = WEIGHTS[name][:classes]
    architecture = replace(TINY, classes=classes)
    imported = read(path, tflite_file(architecture, weights, dense=True, end="LOGISTIC"))
    single = classes == 1  # two labels: the second has its score, the first what is left to 1
    assert imported.architecture.classes == (2 if single else classes)
    assert imported.independent is not single


def test_a_grey_network_sees_luma(path: Path) -> None:
    grey = WEIGHTS["conv.weight"][:, :1]

    def one_channel(writer: TfliteWriter, image: int) -> int:
        writer.tensors[image] = ((1, 64, 64, 1), *writer.tensors[image][1:])
        return image

    content = tflite_file(TINY, {**WEIGHTS, "conv.weight": grey}, before=one_channel)
    imported = read(path, content)
    for channel, share in enumerate((0.299, 0.587, 0.114)):
        found = imported.weights["conv.weight"][:, channel]
        np.testing.assert_allclose(found, grey[:, 0] * share, rtol=1e-5, atol=1e-7)
    assert any("grey" in note for note in imported.notes)


def custom(kind: str) -> Callable[[TfliteWriter, str, int], int]:
    def change(writer: TfliteWriter, layer: str, value: int) -> int:
        if layer != "average":
            return value
        return writer.operator(kind, [value], writer.value(writer.tensors[value][0]))

    return change


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("edgetpu-custom-op", r"is compiled for an Edge TPU.*; name the file that it was comp"),
        ("TFLite_Detection_PostProcess", r"is a detector; edged runs classifiers"),
    ],
)
def test_what_another_program_made_is_called_by_its_name(
    path: Path, kind: str, message: str
) -> None:
    with pytest.raises(InputError, match=rf"model: {message}"):
        read(path, tflite_file(TINY, WEIGHTS, changed=custom(kind)))


def test_channels_first_are_named(path: Path) -> None:
    def turned(writer: TfliteWriter, image: int) -> int:
        writer.tensors[image] = ((1, 3, 64, 64), *writer.tensors[image][1:])
        return image

    with pytest.raises(
        InputError, match=r"channels first \(NCHW\).*; build the model with channels last"
    ):
        read(path, tflite_file(TINY, WEIGHTS, before=turned))

"""TensorFlow Lite files of other networks, damaged ones, and what is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.mobilenet import Architecture, Layer
from edged.variants.weights.tflite import read_tflite
from tests.rig.tflite_files import (
    FLOAT16,
    FLOAT32,
    INT8,
    UINT8,
    WEIGHTS,
    Coding,
    TfliteWriter,
    read,
    tflite_file,
)
from tests.rig.weights import TINY

# ----------------------------------------------------------------------- other networks


def _behind(layer: str, kind: str) -> Callable[[TfliteWriter, str, int], int]:
    def change(writer: TfliteWriter, name: str, value: int) -> int:
        if name != layer:
            return value
        inputs = [value, value] if kind == "ADD" else [value]
        return writer.operator(kind, inputs, writer.value(writer.tensors[value][0]))

    return change


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        ("block3.pointwise", "TANH"),
        ("block13.pointwise", "RESHAPE"),
        ("conv", "SOFTMAX"),
        ("average", "LOGISTIC"),
        ("average", "AVERAGE_POOL_2D"),
        ("classifier", "CONV_2D"),
    ],
)
def test_an_operator_that_does_not_belong_is_named(path: Path, layer: str, kind: str) -> None:
    content = tflite_file(TINY, WEIGHTS, changed=_behind(layer, kind))
    with pytest.raises(InputError, match=rf"operator \d+ \({kind}\): not MobileNet v1: it "):
        read(path, content)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("ADD", "MobileNet v2"),
        ("HARD_SWISH", "MobileNet v3"),
    ],
)
def test_a_relative_is_called_by_its_name(path: Path, kind: str, what: str) -> None:
    content = tflite_file(TINY, WEIGHTS, changed=_behind("block1.depthwise", kind))
    with pytest.raises(InputError, match=rf"model: this is {what}; edged runs MobileNet v1; train"):
        read(path, content)


def test_a_branch_is_named(path: Path) -> None:
    def double(writer: TfliteWriter, layer: str, value: int) -> int:
        if layer != "block3.pointwise":
            return value
        made = writer.value(writer.tensors[value][0])
        return writer.operator("CONCATENATION", [value, value], made)

    with pytest.raises(InputError, match=r"\(CONCATENATION\): .*joins several branches"):
        read(path, tflite_file(TINY, WEIGHTS, changed=double))


def test_what_only_computes_a_shape_is_passed_over(path: Path) -> None:
    """As TensorFlow's converter writes Reshape and Flatten for any number of pictures."""

    def reshape(writer: TfliteWriter, layer: str, value: int) -> int:
        if layer != "average":
            return value
        shape = writer.operator("SHAPE", [value], writer.value((4,), "INT32"))
        count = writer.operator("STRIDED_SLICE", [shape], writer.value((1,), "INT32"))
        packed = writer.operator("PACK", [count], writer.value((2,), "INT32"))
        return writer.operator("RESHAPE", [value, packed], writer.value((1, TINY.features)))

    imported = read(path, tflite_file(TINY, WEIGHTS, dense=True, changed=reshape))
    for name, values in read(path, tflite_file(TINY, WEIGHTS, dense=True)).weights.items():
        np.testing.assert_array_equal(imported.weights[name], values)


def _option(layer: str, **options: int) -> Callable[[TfliteWriter, str, int], int]:
    def change(writer: TfliteWriter, name: str, value: int) -> int:
        if name == layer:
            kind, inputs, outputs, before = writer.operators[-1]
            writer.operators[-1] = (kind, inputs, outputs, {**before, **options})
        return value

    return change


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        ("conv", {"Padding": 1}, "SAME"),
        ("block2.depthwise", {"StrideH": 1}, "height and width"),
        ("block2.depthwise", {"StrideH": 1, "StrideW": 1}, "3x3 depthwise of stride 2"),
        ("block5.depthwise", {"DilationHFactor": 2}, "dilated"),
        ("block5.depthwise", {"DepthMultiplier": 2}, "depth multiplier"),
        ("block5.pointwise", {"FusedActivationFunction": 0}, "not followed by ReLU6"),
        ("block5.pointwise", {"FusedActivationFunction": 1}, "mixes ReLU and ReLU6"),
        ("average", {"FilterHeight": 1}, r"average the whole \(2, 2\) map"),
    ],
)
def test_an_operator_with_other_options_is_named(
    path: Path, layer: str, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=rf"operator \d+ \(.*{message}"):
        read(path, tflite_file(TINY, WEIGHTS, changed=_option(layer, **options)))


def test_a_classifier_with_an_activation_is_refused(path: Path) -> None:
    changed = _option("classifier", FusedActivationFunction=3)
    with pytest.raises(InputError, match=r"softmax that does not follow a dense layer"):
        read(path, tflite_file(TINY, WEIGHTS, dense=True, changed=changed))


def test_a_softmax_of_another_temperature_is_refused(path: Path) -> None:
    def soften(writer: TfliteWriter, layer: str, value: int) -> int:
        if layer != "classifier":
            return value
        return writer.operator("SOFTMAX", [value], writer.value((1, 5)), Beta=0.5)

    with pytest.raises(InputError, match=r"\(SOFTMAX\): .*beta is not 1 \(got 0\.5\)"):
        read(path, tflite_file(TINY, WEIGHTS, changed=soften))


@dataclass(frozen=True, slots=True)
class Other(Architecture):
    """TINY with its layers changed as a test wants."""

    change: Callable[[list[Layer]], list[Layer]] = field(default=list)

    def layers(self) -> tuple[Layer, ...]:
        return tuple(self.change(list(TINY.layers())))


def other_file(change: Callable[[list[Layer]], list[Layer]], features: int) -> bytes:
    other = Other(TINY.alpha, TINY.classes, change=change)
    weights: dict[str, NDArray[np.float32]] = {}
    for layer in other.layers():
        weights[f"{layer.name}.weight"] = np.ones(layer.weight_shape, np.float32)
        weights[f"{layer.name}.bias"] = np.ones(layer.out_channels, np.float32)
    weights["classifier.weight"] = np.ones((5, features), np.float32)
    weights["classifier.bias"] = np.ones(5, np.float32)
    return tflite_file(other, weights)


def test_a_layer_of_another_width_is_named(path: Path) -> None:
    def widen(layers: list[Layer]) -> list[Layer]:
        layers[4] = replace(layers[4], out_channels=9)
        layers[5] = replace(layers[5], in_channels=9, out_channels=9)
        layers[6] = replace(layers[6], in_channels=9)
        return layers

    with pytest.raises(
        InputError, match=r"operator 4 \(CONV_2D\): not MobileNet v1.*to 9 channels"
    ):
        read(path, other_file(widen, 30))


def test_a_shorter_network_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"27 convolutions .*\(got 11\)"):
        read(path, other_file(lambda layers: layers[:11], 8))


def test_a_wider_network_than_alpha_1_is_refused(path: Path) -> None:
    def widen(layers: list[Layer]) -> list[Layer]:
        return [*layers[:-1], replace(layers[-1], out_channels=1025)]

    with pytest.raises(InputError, match=r"operator 26 \(CONV_2D\): .*1 to 1024 .*got 1025"):
        read(path, other_file(widen, 1025))


def test_padding_written_out_is_right_at_even_sizes(path: Path) -> None:
    assert read(path, tflite_file(TINY, WEIGHTS, written_padding=True)).even_sizes
    assert not read(path, tflite_file(TINY, WEIGHTS)).even_sizes


# ----------------------------------------------------------------------- damaged and foreign


@pytest.mark.parametrize("coding", [FLOAT32, UINT8, INT8, FLOAT16])
def test_every_truncation_is_one_clear_error(path: Path, coding: Coding) -> None:
    content = tflite_file(TINY, WEIGHTS, coding)
    read(path, content)
    ends = {*range(1, 64), *range(64, len(content) - 3, max(1, len(content) // 300))}
    for end in sorted(ends):
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match=r"model.*: "):
            read_tflite(path)


def test_flipped_bytes_never_end_in_a_traceback(path: Path) -> None:
    content = tflite_file(TINY, WEIGHTS, UINT8)
    # Offsets, lengths and shapes lie outside the large constants: hit those most.
    structure = [i for i in range(len(content) - 64) if content[i : i + 64].count(0) > 16]
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for position in generator.choice(structure, 3):
            damaged[position] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            read_tflite(path)
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(path))
    assert refused > 60


def test_zeros_from_some_point_on_are_refused(path: Path) -> None:
    """Right length, nothing inside: what a power cut leaves behind."""
    content = tflite_file(TINY, WEIGHTS)
    for share in (0.001, 0.1, 0.5):
        start = int(len(content) * share)
        path.write_bytes(content[:start] + bytes(len(content) - start))
        with pytest.raises(InputError):
            read_tflite(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"tench\ngoldfish\n", "is not a TensorFlow Lite file"),
        (b"PK\x03\x04" + bytes(100), "is not a TensorFlow Lite file"),
        (b"\x08\x08\x12\x05edged", "is not a TensorFlow Lite file"),
        (b"\x1c\x00\x00\x00TFL3", "is a truncated or damaged"),
        (bytes(4) + b"TFL3" + bytes(100), "is a truncated or damaged"),
    ],
)
def test_foreign_content_is_named(path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"model: {message}"):
        read(path, content)


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.tflite: cannot be read: .*No such file"):
        read_tflite(tmp_path / "absent.tflite")
    with pytest.raises(InputError, match=r"cannot be read: .*directory"):
        read_tflite(tmp_path)


def test_without_the_package_the_message_says_how_to_install_it(path: Path) -> None:
    path.write_bytes(tflite_file(TINY, WEIGHTS))
    program = (
        "import sys; sys.modules['tflite'] = None\n"
        "from pathlib import Path\n"
        "from edged.errors import MissingPackageError\n"
        "from edged.variants.weights.tflite import read_tflite\n"
        "try: read_tflite(Path(sys.argv[1]))\n"
        "except MissingPackageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert "pip install tflite" in done.stdout, done.stderr

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edged.errors import InputError
from edged.variants.mobilenet import Architecture, Body
from edged.variants.weights.onnx_builder import (
    Activation,
    InputRange,
    Storage,
    build_network,
    check_weights,
)
from edged.variants.weights.tflite import read_tflite
from tests.rig.tflite_files import (
    FLOAT16,
    FLOAT32,
    INT8,
    INT16X8,
    UINT8,
    WEIGHTS,
    Coding,
    read,
    tflite_file,
)
from tests.rig.weights import TINY, lively_weights

# How far a stored number may be from the one it stands for, as a share of the layer's largest:
# half a step of float16's 11 bits, of the 255 steps of a range, of 127 steps of half a range.
STEPS = {"float32": 0.0, "float16": 2**-11, "uint8": 1 / 255, "int8": 1 / 254}


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("float32", FLOAT32), ("float16", FLOAT16), ("uint8", UINT8), ("int8", INT8),
        ("int8", INT16X8),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("written_padding", [False, True])
def test_weights_come_back_as_they_were_stored(
    path: Path, name: str, coding: Coding, dense: bool, written_padding: bool
) -> None:
    content = tflite_file(TINY, WEIGHTS, coding, dense=dense, written_padding=written_padding)
    imported = read(path, content)
    assert imported.architecture.layers() == TINY.layers()
    assert imported.architecture.classes == 5
    assert (imported.resolution, imported.activation) == (64, Activation.RELU6)
    check_weights(imported.architecture, imported.weights)
    for layer, values in WEIGHTS.items():
        step = STEPS[name] * np.abs(values).max()
        if layer.endswith(".bias") and name in ("uint8", "int8"):
            step = 0.5e-4
        np.testing.assert_allclose(imported.weights[layer], values, rtol=1e-6, atol=step)
        assert imported.weights[layer].dtype == np.float32


@pytest.mark.parametrize(
    ("coding", "scale", "black", "white"),
    [
        (FLOAT32, 1 / 127.5, -1.0, 1.0),
        (UINT8, 1 / 128, -1.0, 127 / 128),
        (INT8, 1 / 127.5, -127 / 127.5, 128 / 127.5),  # pixel 0 is stored as -128, zero point -1
    ],
)
def test_the_input_contract_is_the_files_own(
    path: Path, coding: Coding, scale: float, black: float, white: float
) -> None:
    imported = read(path, tflite_file(TINY, WEIGHTS, coding))
    assert imported.scale == pytest.approx(scale, rel=1e-6)
    assert imported.offset == pytest.approx(black, rel=1e-6)
    assert 255 * imported.scale + imported.offset == pytest.approx(white, rel=1e-6)


@pytest.mark.parametrize(
    ("scale", "zero_point", "assumed"),
    [
        (0.00392, -128, InputRange.UNIT),
        (0.0078, 0, InputRange.SYMMETRIC),  # 250 of the 255 steps
        (0.98, -128, InputRange.PIXELS),
    ],
)
def test_what_a_float_picture_is_quantised_to_tells_its_range(
    path: Path, scale: float, zero_point: int, assumed: InputRange
) -> None:
    content = tflite_file(TINY, WEIGHTS, quantised_first=(scale, zero_point))
    assert read(path, content).assumed is assumed


@pytest.mark.parametrize(
    ("alpha", "classes"), [(1.0, 3), (0.75, 2), (0.5, 7), (0.35, 4), (0.25, 1001)]
)
def test_alpha_and_classes_come_from_the_shapes(path: Path, alpha: float, classes: int) -> None:
    architecture = Architecture(alpha, classes)
    imported = read(path, tflite_file(architecture, lively_weights(architecture)))
    assert imported.architecture == architecture


def test_the_other_bodies_are_recognised(path: Path) -> None:
    for body in (Body.SHALLOW, Body.STANDARD):
        architecture = Architecture(0.05, 3, body)
        imported = read(path, tflite_file(architecture, lively_weights(architecture)))
        assert imported.architecture == architecture


def test_relu_throughout_is_kept(path: Path) -> None:
    imported = read(path, tflite_file(TINY, WEIGHTS, activation=1))
    assert imported.activation is Activation.RELU


@pytest.mark.parametrize("coding", [FLOAT32, UINT8])
def test_two_chained_files_are_the_whole(tmp_path: Path, coding: Coding) -> None:
    whole, extractor, head = (tmp_path / f"{part}.tflite" for part in ("whole", "a", "b"))
    whole.write_bytes(tflite_file(TINY, WEIGHTS, coding))
    extractor.write_bytes(tflite_file(TINY, WEIGHTS, coding, part="extractor"))
    head.write_bytes(tflite_file(TINY, WEIGHTS, coding, part="head"))
    expected, chained = read_tflite(whole), read_tflite(extractor, head)
    assert chained.architecture == expected.architecture
    assert (chained.scale, chained.offset) == (expected.scale, expected.offset)
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(chained.weights[name], values)
    assert "a.tflite + b.tflite" in chained.source

    with pytest.raises(
        InputError, match=r"a\.tflite: the network ends before its classifier.*second"
    ):
        read_tflite(extractor)
    with pytest.raises(InputError, match=r"b\.tflite: its input does not have shape.*second"):
        read_tflite(head)
    with pytest.raises(InputError, match=r"a\.tflite: does not continue b\.tflite"):
        read_tflite(head, extractor)
    with pytest.raises(InputError, match=r"b\.tflite: does not continue whole\.tflite"):
        read_tflite(whole, head)


def test_a_head_of_another_scale_is_refused(tmp_path: Path) -> None:
    extractor, head = tmp_path / "a.tflite", tmp_path / "b.tflite"
    extractor.write_bytes(tflite_file(TINY, WEIGHTS, UINT8, part="extractor"))
    other = Coding("UINT8", UINT8.weights, UINT8.bias, UINT8.image, (8 / 255, 0))
    head.write_bytes(tflite_file(TINY, WEIGHTS, other, part="head"))
    with pytest.raises(InputError, match=r"b\.tflite: does not continue a\.tflite.* scale "):
        read_tflite(extractor, head)


# ----------------------------------------------------------------------- real files


@pytest.mark.data
@pytest.mark.parametrize(
    ("names", "alpha", "resolution"),
    [
        (("mobilenet_v1_0.25_128_quant",), 0.25, 128),
        (("mobilenet_v1_0.5_160_quant",), 0.5, 160),
        (("mobilenet_v1_0.75_192_quant",), 0.75, 192),
        (
            (
                "mobilenet_v1_1.0_224_quant_embedding_extractor",
                "mobilenet_quant_v1_224_head_layers",
            ),
            1.0,
            224,
        ),
    ],
)
def test_official_quantised_files(
    data: Path, names: tuple[str, ...], alpha: float, resolution: int
) -> None:
    imported = read_tflite(*(data / "weights" / f"{name}.tflite" for name in names))
    assert imported.architecture == Architecture(alpha, 1001)
    assert (imported.scale, imported.offset) == (1 / 128, -1.0)
    assert (imported.resolution, imported.activation) == (resolution, Activation.RELU6)
    check_weights(imported.architecture, imported.weights)


# What the TensorFlow Lite interpreter (ai-edge-litert 2.3.0) answers to pixel / 255.
VISUAL_WAKE_WORDS = {
    1: (0.985612154006958, 0.0143878860399127),
    2: (0.29312312602996826, 0.7068768739700317),
    3: (0.9262382388114929, 0.07376179099082947),
}


@pytest.mark.data
@pytest.mark.parametrize(("slope", "expected"), VISUAL_WAKE_WORDS.items())
def test_a_float_file_answers_as_in_tensorflow_lite(
    data: Path, slope: int, expected: tuple[float, float]
) -> None:
    imported = read_tflite(data / "weights" / "vww_96_float.tflite")
    assert imported.architecture == Architecture(0.25, 2)
    assert (imported.resolution, imported.activation) == (96, Activation.RELU)
    model = build_network(
        imported.architecture,
        imported.weights,
        scale=1 / 255,
        offset=0.0,
        activation=imported.activation,
        storage=Storage.FLOAT32,
    )
    rows, columns = np.mgrid[0:96, 0:96]
    planes = (rows * slope, columns * slope, (rows + columns) * slope)
    picture = (np.stack(planes, axis=-1) % 256).astype(np.uint8)[np.newaxis]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"image": picture})
    np.testing.assert_allclose(scores[0], expected, atol=1e-5)


@pytest.mark.data
def test_truncations_of_official_files_are_refused(data: Path, path: Path) -> None:
    content = (data / "weights" / "mobilenet_v1_0.25_128_quant.tflite").read_bytes()
    ends = [*np.linspace(9, len(content) - 1, 60, dtype=int), len(content) - 20_000]
    for end in ends:
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match=r"model.*: "):
            read_tflite(path)

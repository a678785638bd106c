"""Small TensorFlow Lite files of known weights, for the tests of their reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

from edged.variants.mobilenet import Architecture, Kind
from edged.variants.weights.onnx_builder import ImportedWeights, Weights
from edged.variants.weights.tflite import read_tflite
from tests.rig.weights import TINY, Array, lively_weights

_TYPES = {
    "f4": "FLOAT32",
    "f2": "FLOAT16",
    "i8": "INT64",
    "i4": "INT32",
    "u1": "UINT8",
    "i1": "INT8",
}


# ------------------------------------------------------------------------------ TensorFlow Lite


@dataclass
class TfliteWriter:
    """The few parts of the format that a chain of operators needs."""

    tensors: list[tuple[Sequence[int], str, bytes, Array | None, Array | None, int]] = field(
        default_factory=list
    )
    operators: list[tuple[str, Sequence[int], Sequence[int], Mapping[str, float]]] = field(
        default_factory=list
    )

    def value(
        self,
        shape: Sequence[int],
        kind: str = "FLOAT32",
        scale: float | None = None,
        zero_point: int = 0,
    ) -> int:
        """A computed tensor; returns its index."""
        scales = None if scale is None else np.array([scale])
        zeros = None if scale is None else np.array([zero_point])
        self.tensors.append((shape, kind, b"", scales, zeros, 0))
        return len(self.tensors) - 1

    def constant(
        self,
        values: Array,
        scales: Array | None = None,
        zero_points: Array | None = None,
        axis: int = 0,
    ) -> int:
        kind = _TYPES[values.dtype.str[1:]]
        self.tensors.append((values.shape, kind, values.tobytes(), scales, zero_points, axis))
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, **options: float) -> int:
        self.operators.append((kind, inputs, [output], options))
        return output

    def finish(self, input_: int, output: int) -> bytes:
        b = flatbuffers.Builder(1 << 16)
        buffers = [_table(b, "Buffer")]
        for _, _, data, *_ in self.tensors:
            vector = b.CreateByteVector(data) if data else None
            buffers.append(_table(b, "Buffer", Data=vector))
        tensors = []
        for index, (shape, kind, _, scales, zeros, axis) in enumerate(self.tensors):
            quantisation = None
            if scales is not None:
                quantisation = _table(
                    b,
                    "QuantizationParameters",
                    Scale=b.CreateNumpyVector(scales.astype(np.float32)),
                    ZeroPoint=None if zeros is None else b.CreateNumpyVector(zeros.astype("<i8")),
                    QuantizedDimension=axis,
                )
            tensors.append(
                _table(
                    b,
                    "Tensor",
                    Name=b.CreateString(f"tensor{index}"),
                    Shape=b.CreateNumpyVector(np.array(shape, "<i4")),
                    Type=getattr(tflite.TensorType, kind),
                    Buffer=index + 1,
                    Quantization=quantisation,
                )
            )
        kinds = sorted({kind for kind, *_ in self.operators})
        operators = []
        for kind, inputs, outputs, options in self.operators:
            table = _option_table(kind)
            operators.append(
                _table(
                    b,
                    "Operator",
                    OpcodeIndex=kinds.index(kind),
                    Inputs=b.CreateNumpyVector(np.array(inputs, "<i4")),
                    Outputs=b.CreateNumpyVector(np.array(outputs, "<i4")),
                    BuiltinOptionsType=getattr(tflite.BuiltinOptions, table) if table else None,
                    BuiltinOptions=_table(b, table, **options) if table else None,
                )
            )
        codes = []
        for kind in kinds:
            code = getattr(tflite.BuiltinOperator, kind, tflite.BuiltinOperator.CUSTOM)
            custom = b.CreateString(kind) if code == tflite.BuiltinOperator.CUSTOM else None
            about = {"BuiltinCode": code, "DeprecatedBuiltinCode": min(127, code)}
            codes.append(_table(b, "OperatorCode", **about, CustomCode=custom))
        graph = _table(
            b,
            "SubGraph",
            Tensors=_offsets(b, tensors),
            Operators=_offsets(b, operators),
            Inputs=b.CreateNumpyVector(np.array([input_], "<i4")),
            Outputs=b.CreateNumpyVector(np.array([output], "<i4")),
        )
        model = _table(
            b,
            "Model",
            Version=3,
            OperatorCodes=_offsets(b, codes),
            Subgraphs=_offsets(b, [graph]),
            Buffers=_offsets(b, buffers),
        )
        b.Finish(model, b"TFL3")
        return bytes(b.Output())


def _table(b: Any, name: str, **fields: float | None) -> int:
    getattr(tflite, f"{name}Start")(b)
    for field_name, value in fields.items():
        if value is not None:
            getattr(tflite, f"{name}Add{field_name}")(b, value)
    return int(getattr(tflite, f"{name}End")(b))


def _offsets(b: Any, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _option_table(kind: str) -> str | None:
    return {
        "CONV_2D": "Conv2DOptions",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
        "AVERAGE_POOL_2D": "Pool2DOptions",
        "FULLY_CONNECTED": "FullyConnectedOptions",
        "SOFTMAX": "SoftmaxOptions",
        "ADD": "AddOptions",
    }.get(kind)


@dataclass(frozen=True)
class Coding:
    """How a file stores its numbers. activations: scale and zero point of every value."""

    values: str
    weights: Callable[[TfliteWriter, Array, int], int]
    bias: Callable[[TfliteWriter, Array], int]
    image: tuple[float, int] | None = None
    activations: tuple[float, int] | None = None


def _float32(writer: TfliteWriter, weights: Array, axis: int) -> int:
    return writer.constant(weights.astype("<f4"))


def _float16(writer: TfliteWriter, weights: Array, axis: int) -> int:
    narrow = writer.constant(weights.astype("<f2"))
    return writer.operator("DEQUANTIZE", [narrow], writer.value(weights.shape))


def _uint8(writer: TfliteWriter, weights: Array, axis: int) -> int:
    low, high = min(0.0, float(weights.min())), max(0.0, float(weights.max()))
    scale = (high - low) / 255
    zero_point = round(-low / scale)
    stored = np.clip(np.round(weights / scale) + zero_point, 0, 255).astype("u1")
    return writer.constant(stored, np.array([scale]), np.array([zero_point]))


def _int8_per_channel(writer: TfliteWriter, weights: Array, axis: int) -> int:
    others = tuple(other for other in range(weights.ndim) if other != axis)
    scales = np.maximum(np.abs(weights).max(axis=others), 1e-9) / 127
    along = [1] * weights.ndim
    along[axis] = scales.size
    stored = np.round(weights / scales.reshape(along)).astype("i1")
    return writer.constant(stored, scales, None, axis)


def _int32_bias(writer: TfliteWriter, bias: Array) -> int:
    return writer.constant(np.round(bias / 1e-4).astype("<i4"), np.array([1e-4]))


def _int64_bias(writer: TfliteWriter, bias: Array) -> int:
    return writer.constant(np.round(bias / 1e-4).astype("<i8"), np.array([1e-4]))


def _float_bias(writer: TfliteWriter, bias: Array) -> int:
    return writer.constant(bias.astype("<f4"))


FLOAT32 = Coding("FLOAT32", _float32, _float_bias)
FLOAT16 = Coding("FLOAT32", _float16, _float_bias)
UINT8 = Coding("UINT8", _uint8, _int32_bias, (1 / 128, 128), (6 / 255, 0))
INT16X8 = Coding("FLOAT32", _int8_per_channel, _int64_bias)
"""As TensorFlow's 16x8 quantisation leaves it: float pictures, INT8 weights, wide biases."""
INT8 = Coding("INT8", _int8_per_channel, _int32_bias, (1 / 127.5, -1), (6 / 255, -128))


def tflite_file(
    architecture: Architecture,
    weights: Weights,
    coding: Coding = FLOAT32,
    *,
    resolution: int = 64,
    part: str = "whole",
    activation: int = 3,
    dense: bool = False,
    written_padding: bool = False,
    quantised_first: tuple[float, int] | None = None,
    end: str = "SOFTMAX",
    before: Callable[[TfliteWriter, int], int] = lambda writer, image: image,
    changed: Callable[[TfliteWriter, str, int], int] = lambda writer, layer, value: value,
) -> bytes:
    """part: whole, extractor or head. activation: 3 is ReLU6, 1 ReLU. dense: FULLY_CONNECTED and
    MEAN in place of a 1x1 convolution and AVERAGE_POOL_2D. quantised_first: scale and zero point of
    what the first step makes of the picture. end: the operator that makes scores. before: may put
    something before the first layer, changed behind each."""
    writer = TfliteWriter()
    scale, zero_point = coding.activations or (None, 0)

    def value(*shape: int) -> int:
        return writer.value(shape, coding.values, scale, zero_point)

    side = resolution
    image_scale, image_zero = coding.image or (None, 0)
    image = writer.value((1, side, side, 3), coding.values, image_scale, image_zero)
    if part == "head":
        image = value(1, 1, 1, architecture.features)
    current = image
    if quantised_first is not None:
        integers = writer.value((1, side, side, 3), "INT8", *quantised_first)
        current = writer.operator("QUANTIZE", [image], integers)
    current = before(writer, current)
    for layer in architecture.layers() if part != "head" else ():
        depthwise = layer.kind is Kind.DEPTHWISE
        weight = weights[f"{layer.name}.weight"].transpose(
            (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        )
        padding = 0
        if written_padding and layer.stride == 2:
            sides = writer.constant(np.array([[0, 0], [0, 1], [0, 1], [0, 0]], "<i4"))
            channels = layer.in_channels
            padded = value(1, side + 1, side + 1, channels)
            current, padding = writer.operator("PAD", [current, sides], padded), 1
        side = -(-side // layer.stride)
        options = {
            "Padding": padding,
            "StrideH": layer.stride,
            "StrideW": layer.stride,
            "DilationHFactor": 1,
            "DilationWFactor": 1,
            "FusedActivationFunction": activation,
        }
        current = writer.operator(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            [
                current,
                coding.weights(writer, weight, 3 if depthwise else 0),
                coding.bias(writer, weights[f"{layer.name}.bias"]),
            ],
            value(1, side, side, layer.out_channels),
            **options,
            **({"DepthMultiplier": 1} if depthwise else {}),
        )
        current = changed(writer, layer.name, current)
    features = architecture.features
    if part != "head":
        if dense:
            axes = writer.constant(np.array([1, 2], "<i4"))
            current = writer.operator("MEAN", [current, axes], value(1, features))
        else:
            current = writer.operator(
                "AVERAGE_POOL_2D",
                [current],
                value(1, 1, 1, features),
                FilterHeight=side,
                FilterWidth=side,
                StrideH=1,
                StrideW=1,
                Padding=1,
            )
        current = changed(writer, "average", current)
    if part != "extractor":
        weight = weights["classifier.weight"]
        bias = coding.bias(writer, weights["classifier.bias"])
        if dense:
            matrix = coding.weights(writer, weight, 0)
            logits = value(1, architecture.classes)
            current = writer.operator("FULLY_CONNECTED", [current, matrix, bias], logits)
        else:
            kernel = coding.weights(writer, weight[:, np.newaxis, np.newaxis, :], 0)
            logits = value(1, 1, 1, architecture.classes)
            ones = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
            current = writer.operator("CONV_2D", [current, kernel, bias], logits, **ones)
            shape = writer.constant(np.array([1, -1], "<i4"))
            flat = value(1, architecture.classes)
            current = writer.operator("RESHAPE", [current, shape], flat)
        current = changed(writer, "classifier", current)
        scores = value(1, architecture.classes)
        current = writer.operator(end, [current], scores, **_ENDS.get(end, {}))
    return writer.finish(image, current)


_ENDS = {"SOFTMAX": {"Beta": 1.0}}
WEIGHTS = lively_weights(TINY)


def read(path: Path, content: bytes) -> ImportedWeights:
    path.write_bytes(content)
    return read_tflite(path)

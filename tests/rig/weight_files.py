"""Small TensorFlow Lite and Keras files of known weights, for the tests of their readers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import flatbuffers
import h5py
import numpy as np
import onnxruntime
import tflite
from numpy.typing import NDArray

from edged.variants.golden import golden_picture
from edged.variants.mobilenet import Architecture, Kind
from edged.variants.weights.onnx_builder import Weights, build_network
from tests.rig.random_weights import random_weights

Array = NDArray[Any]
TINY = Architecture(0.03, 5)
"""8 to 30 channels a layer."""

_TYPES = {
    "f4": "FLOAT32",
    "f2": "FLOAT16",
    "i8": "INT64",
    "i4": "INT32",
    "u1": "UINT8",
    "i1": "INT8",
}


def lively_weights(architecture: Architecture, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Random, with biases, and scores that depend much on the picture."""
    generator = np.random.default_rng(seed)
    weights = dict(random_weights(architecture, seed))
    for name, values in weights.items():
        if name.endswith(".bias"):
            weights[name] = generator.normal(0.1, 0.2, values.shape).astype(np.float32)
    return {**weights, **lively_classifier(architecture, weights, seed)}


def lively_classifier(
    architecture: Architecture, body: Weights, seed: int
) -> dict[str, NDArray[np.float32]]:
    """A classifier that tells pictures apart: what all have in common is taken off by its bias.

    The features come out of a network whose classifier is the identity, as the logarithm of its
    scores: but for a constant, which rows that sum to zero take no notice of.
    """
    generator = np.random.default_rng(seed)
    size = architecture.features
    identity = {
        "classifier.weight": np.eye(size, dtype=np.float32),
        "classifier.bias": np.zeros(size, np.float32),
    }
    body = {name: values for name, values in body.items() if not name.startswith("classifier")}
    model = build_network(
        replace(architecture, classes=size), {**body, **identity}, scale=1 / 127.5, offset=-1.0
    )
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    by_side = []
    for side in (64, 96, 128):
        pictures = (cv2.resize(golden_picture(seed), (side, side)) for seed in range(900, 906))
        scores = [session.run(None, {"image": picture[np.newaxis]})[0][0] for picture in pictures]
        by_side.append(np.log(np.maximum(np.array(scores, np.float64), 1e-12)))
    means = [features.mean(axis=0) for features in by_side]
    # Nor may the side of the picture decide: blind to it as to the constant.
    blind = np.stack([np.ones(size), means[1] - means[0], means[2] - means[0]], axis=1)
    blind, _ = np.linalg.qr(blind)
    weight = generator.standard_normal((architecture.classes, size))
    weight -= weight @ blind @ blind.T
    spread = np.concatenate(by_side) - np.repeat(means, 6, axis=0)
    weight *= 1.5 / (spread @ weight.T).std(axis=0).mean()
    bias = -weight @ means[0]
    return {
        "classifier.weight": weight.astype(np.float32),
        "classifier.bias": bias.astype(np.float32),
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
        codes = [
            _table(
                b,
                "OperatorCode",
                BuiltinCode=getattr(tflite.BuiltinOperator, kind),
                DeprecatedBuiltinCode=min(127, getattr(tflite.BuiltinOperator, kind)),
            )
            for kind in kinds
        ]
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
    changed: Callable[[TfliteWriter, str, int], int] = lambda writer, layer, value: value,
) -> bytes:
    """part: whole, extractor or head. activation: 3 is ReLU6, 1 ReLU. dense: FULLY_CONNECTED and
    MEAN in place of a 1x1 convolution and AVERAGE_POOL_2D. quantised_first: scale and zero point of
    what the first step makes of the picture. changed: may put something behind each
    layer."""
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
        current = writer.operator("SOFTMAX", [current], scores, Beta=1.0)
    return writer.finish(image, current)


# -------------------------------------------------------------------------------------- Keras


@dataclass(frozen=True)
class Unfolded:
    """A convolution before its batch norm was folded in."""

    kernel: Array
    gamma: Array
    beta: Array
    mean: Array
    variance: Array


def keras_file(
    path: Path,
    architecture: Architecture,
    seed: int = 0,
    *,
    layout: str = "weights",
    classifier: str | None = "conv_preds",
    epsilon: float = 1e-3,
    before: Sequence[KerasLayer] = (),
    head: Sequence[KerasLayer] | None = None,
    grey: bool = False,
    changed: Callable[[dict[str, Any]], None] = lambda model: None,
) -> dict[str, NDArray[np.float32]]:
    """Write a file in one of Keras's layouts; returns the weights that a reader must find.

    layout: `weights`, `model`, `nested` (MobileNet inside a model of one's own) or `archive`
    (the same as `.keras`). classifier: `conv_preds` is a convolution as in keras.applications; any
    other name is a dense layer. before: layers before the first convolution. head: in place of all
    that follows the last convolution. grey: the first convolution sees one channel. changed: may
    change the model's description.
    """
    generator = np.random.default_rng(seed)
    folded: dict[str, NDArray[np.float32]] = {}
    arrays: dict[str, dict[str, Array]] = {}
    described: list[dict[str, Any]] = [
        _described("InputLayer", "input_1", batch_input_shape=[None, 96, 96, 1 if grey else 3]),
        *(layer.described for layer in before),
    ]
    arrays |= {layer.name: dict(layer.arrays) for layer in before if layer.arrays}
    started = random_weights(architecture, seed)
    for layer in architecture.layers():
        block, _, part = layer.name.removeprefix("block").partition(".")
        name = f"conv_{part[0]}w_{block}" if part else "conv1"
        channels, depthwise = layer.out_channels, layer.kind is Kind.DEPTHWISE
        weight = started[f"{layer.name}.weight"]
        gamma, beta, mean = generator.normal(1, 0.2, (3, channels)) * [[1], [0.1], [0.1]]
        variance = generator.uniform(0.5, 2, channels)
        gain = gamma / np.sqrt(variance + epsilon)
        folded[f"{layer.name}.weight"] = (weight * gain[:, None, None, None]).astype(np.float32)
        folded[f"{layer.name}.bias"] = (beta - mean * gain).astype(np.float32)
        if grey and name == "conv1":
            weight = weight.sum(axis=1, keepdims=True)
            folded[f"{layer.name}.weight"] = (weight * gain[:, None, None, None]).astype(np.float32)
        kernel = weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        arrays[name] = {"depthwise_kernel" if depthwise else "kernel": kernel}
        arrays[f"{name}_bn"] = {
            "gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance,
        }  # fmt: skip
        if layer.stride == 2 and part:
            described.append(
                _described("ZeroPadding2D", f"conv_pad_{block}", padding=[[0, 1], [0, 1]])
            )
        described += [
            _described(
                "DepthwiseConv2D" if depthwise else "Conv2D",
                name,
                kernel_size=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                padding="valid" if layer.stride == 2 and part else "same",
                dilation_rate=[1, 1],
                activation="linear",
            ),
            _described("BatchNormalization", f"{name}_bn", epsilon=epsilon),
            _described("ReLU", f"{name}_relu", max_value=6.0, negative_slope=0.0, threshold=0.0),
        ]
    if head is not None:
        classifier = None
        described += [layer.described for layer in head]
        arrays |= {layer.name: dict(layer.arrays) for layer in head if layer.arrays}
    else:
        described.append(_described("GlobalAveragePooling2D", "global_average_pooling2d"))
    if classifier is not None:
        folded |= lively_classifier(architecture, folded, seed)
        matrix, bias = folded["classifier.weight"], folded["classifier.bias"]
        convolution = classifier == "conv_preds"
        kernel = matrix.T[np.newaxis, np.newaxis] if convolution else matrix.T
        arrays[classifier] = {"kernel": kernel, "bias": bias}
        ones = {"kernel_size": [1, 1], "strides": [1, 1], "dilation_rate": [1, 1]}
        described.append(
            _described("Conv2D", classifier, **ones, padding="same", activation="linear")
            if convolution
            else _described("Dense", classifier, activation="softmax")
        )
    model = {"class_name": "Functional", "config": {"name": "mobilenet", "layers": described}}
    if layout == "nested":
        outer = [described.pop(), model] if classifier else [model]
        model = {"class_name": "Sequential", "config": {"name": "own", "layers": outer[::-1]}}
    if layout == "archive":
        of_body = len(described) - (len(head) if head is not None else 1)
        inner = {"class_name": "Functional", "config": {"name": "mobilenet"}}
        inner["config"]["layers"] = described[:of_body]  # type: ignore[index]
        outer = [inner, *described[of_body:]]
        model = {"class_name": "Sequential", "config": {"name": "own", "layers": outer}}
        changed(model)
        _write_archive(path, model, arrays)
        return folded
    changed(model)
    with h5py.File(path, "w") as file:
        root = file if layout == "weights" else file.create_group("model_weights")
        for name, parts in arrays.items():
            outer_name = "mobilenet" if layout == "nested" and name != classifier else name
            for part, values in parts.items():
                root[f"{outer_name}/{name}/{part}:0"] = values.astype(np.float32)
        if layout != "weights":
            file.attrs["model_config"] = json.dumps(model)
            file["optimizer_weights/iteration:0"] = np.float32(3)
    return folded


@dataclass(frozen=True)
class KerasLayer:
    kind: str
    name: str
    config: Mapping[str, object] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)

    @property
    def described(self) -> dict[str, Any]:
        return _described(self.kind, self.name, **self.config)


def dense_layer(name: str, kernel: Array, bias: Array, activation: str) -> KerasLayer:
    arrays = {"kernel": kernel, "bias": bias}
    return KerasLayer("Dense", name, {"activation": activation}, arrays)


_SNAKE = {
    "BatchNormalization": "batch_normalization",
    "Conv2D": "conv2d",
    "Dense": "dense",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Functional": "functional",
    "Normalization": "normalization",
}
_ORDER = ("kernel", "depthwise_kernel", "gamma", "beta", "moving_mean", "moving_variance")
_ORDER += ("mean", "variance", "bias")


def _write_archive(
    path: Path, model: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Array]]
) -> None:
    """As Keras 3 writes it: arrays are numbered, layers are counted by their class."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:

        def write(layers: Sequence[Mapping[str, Any]], way: str) -> None:
            seen: dict[str, int] = {}
            for layer in layers:
                name = _SNAKE.get(layer["class_name"], "other")
                number = seen[name] = seen.get(name, -1) + 1
                at = f"{way}layers/{name}_{number}" if number else f"{way}layers/{name}"
                if "layers" in layer["config"]:
                    write(layer["config"]["layers"], f"{at}/")
                parts = arrays.get(layer["config"]["name"], {})
                for place, part in enumerate(sorted(parts, key=_ORDER.index)):
                    file[f"{at}/vars/{place}"] = parts[part].astype(np.float32)

        write(model["config"]["layers"], "")
        file["optimizer/vars/0"] = np.float32(3)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", content.getvalue())


def _described(kind: str, name: str, **config: object) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}

"""Builds an ONNX network from weights: pixels in, scores out, any height and width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.mobilenet import Architecture
from edged.variants.weights import onnx_writer
from edged.variants.weights.onnx_writer import Attribute

Weights = Mapping[str, NDArray[np.float32]]
"""`<layer>.weight` (output, input / groups, rows, columns) and `<layer>.bias` (output,) of every
layer of the architecture, batch norm folded in; `classifier.weight` (classes, features) and
`classifier.bias` (classes,), before them the same of each hidden layer."""
Offset = float | tuple[float, float, float]
"""Added to scaled pixels: to all, or to red, green and blue."""

INPUT_NAME = "image"
OUTPUT_NAME = "scores"

_OPSET = 17
_IR_VERSION = 8  # readable by ONNX Runtime 1.13 and TensorRT 8.6


class Storage(str, Enum):
    """Type of the weights in the file. FLOAT16 halves the file; the runtime converts it to float32
    when it loads the network."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


class Activation(str, Enum):
    """After each convolution: ReLU6 in MobileNet v1, ReLU in some derived networks."""

    RELU6 = "relu6"
    RELU = "relu"


class InputRange(str, Enum):
    """Range of a network's input for pixels from 0 to 255."""

    SYMMETRIC = "symmetric"  # -1 … 1
    UNIT = "unit"  # 0 … 1
    PIXELS = "pixels"  # 0 … 255

    @property
    def scale(self) -> float:
        return {"symmetric": 1 / 127.5, "unit": 1 / 255, "pixels": 1.0}[self.value]

    @property
    def offset(self) -> float:
        return -1.0 if self is InputRange.SYMMETRIC else 0.0

    @property
    def words(self) -> str:
        return {"symmetric": "-1 … 1", "unit": "0 … 1", "pixels": "0 … 255"}[self.value]


@dataclass(frozen=True, slots=True)
class ImportedWeights:
    """Weights read from a file of another framework.

    The network's input is pixel * scale + offset. resolution: the picture side in pixels, None
    where the file does not state it. source: the file and its kind, in words. hidden_activation:
    after each hidden dense layer. independent: class scores are independent (sigmoid). inner: gain
    and shift of the file's own layers before its first convolution. assumed: the input range where
    the file states none. even_sizes: the padding equals that of edged's networks only at multiples
    of 32 pixels. notes: further sentences for the user.
    """

    architecture: Architecture
    weights: Weights
    scale: float
    offset: Offset
    activation: Activation
    resolution: int | None
    source: str
    hidden_activation: Activation = Activation.RELU
    independent: bool = False
    inner: tuple[float, Offset] = (1.0, 0.0)
    assumed: InputRange | None = None
    even_sizes: bool = False
    notes: tuple[str, ...] = ()

    def with_range(self, given: InputRange) -> ImportedWeights:
        """The same weights for another range of the file's input."""
        scale, offset = composed(self.inner, given.scale, given.offset)
        return replace(self, scale=scale, offset=offset, assumed=None)


def composed(inner: tuple[float, Offset], scale: float, offset: float) -> tuple[float, Offset]:
    """Scale and offset of pixels that are scaled first, then by `inner`."""
    gain, shift = inner
    if isinstance(shift, tuple):
        red, green, blue = (gain * offset + each for each in shift)
        return gain * scale, (red, green, blue)
    return gain * scale, gain * offset + shift


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shape of every array in the architecture's Weights, in the network's order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in architecture.layers():
        shapes[f"{layer.name}.weight"] = layer.weight_shape
        shapes[f"{layer.name}.bias"] = (layer.out_channels,)
    for name, inputs, outputs in architecture.dense():
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


def check_weights(architecture: Architecture, weights: Weights) -> None:
    """Raise InputError naming the first array that is missing, misshapen, not finite or unknown."""
    shapes = expected_shapes(architecture)
    for name, shape in shapes.items():
        if name not in weights:
            raise InputError("weights are missing", where=name)
        if weights[name].shape != shape:
            raise InputError(
                f"weights do not have shape {shape}", where=name, got=weights[name].shape
            )
        if not np.isfinite(weights[name]).all():
            raise InputError("weights are not finite", where=name)
    unknown = sorted(set(weights) - set(shapes))
    if unknown:
        raise InputError("unexpected weights", where=unknown[0])


def build_network(
    architecture: Architecture,
    weights: Weights,
    *,
    scale: float,
    offset: Offset,
    activation: Activation = Activation.RELU6,
    hidden_activation: Activation = Activation.RELU,
    independent: bool = False,
    storage: Storage = Storage.FLOAT16,
) -> bytes:
    """The ONNX model; the same arguments give the same bytes.

    Input `image`: uint8 (1, height, width, 3), RGB; scaled to pixel * scale + offset.
    Output `scores`: float32 (1, classes), with sum 1 or, where `independent`, each from 0 to 1.
    Raises InputError for weights that do not fit.
    """
    check_weights(architecture, weights)
    graph = _Graph(storage)
    value = graph.add("Transpose", [INPUT_NAME], "planes", perm=[0, 3, 1, 2])
    value = graph.add("Cast", [value], "pixels", to=onnx_writer.FLOAT)
    value = graph.add("Mul", [value, graph.scalar("scale", scale)], "scaled")
    value = graph.add("Add", [value, graph.offset(offset)], "normalised")
    for layer in architecture.layers():
        value = graph.add(
            "Conv",
            [value, *graph.parameters(layer.name, weights)],
            layer.name,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            group=layer.groups,
            # TensorFlow's SAME, also at odd sizes; measured as fast as explicit padding.
            auto_pad="SAME_UPPER",
        )
        value = graph.activation(activation, value, layer.name)
    value = graph.add("GlobalAveragePool", [value], "average")
    value = graph.add("Flatten", [value], "features")
    for name, _, _ in architecture.dense():
        value = graph.add("Gemm", [value, *graph.parameters(name, weights)], name, transB=1)
        if name != "classifier":
            value = graph.activation(hidden_activation, value, name)
    if independent:
        graph.add("Sigmoid", [value], OUTPUT_NAME)
    else:
        graph.add("Softmax", [value], OUTPUT_NAME, axis=1)
    return graph.serialize(architecture)


class _Graph:
    """Collects nodes and constants; each node has the name of its output."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._limits: list[str] = []

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Attribute) -> str:
        self._nodes.append(onnx_writer.node(operator, inputs, output, attributes))
        return output

    def scalar(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, np.float32))

    def offset(self, value: Offset) -> str:
        """A scalar, or (3, 1, 1) for one offset per colour."""
        if not isinstance(value, tuple):
            return self.scalar("offset", value)
        return self._constant("offset", np.array(value, np.float32).reshape(3, 1, 1))

    def activation(self, kind: Activation, value: str, layer: str) -> str:
        if kind is Activation.RELU:
            return self.add("Relu", [value], f"{layer}.relu")
        if not self._limits:
            self._limits = [self.scalar("zero", 0.0), self.scalar("six", 6.0)]
        return self.add("Clip", [value, *self._limits], f"{layer}.relu6")

    def parameters(self, layer: str, weights: Weights) -> list[str]:
        """Weight and bias of a layer. Biases stay float32: they are 1 % of the file."""
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        bias_value = self._constant(bias, weights[bias].astype(np.float32))
        if self._storage is Storage.FLOAT32:
            return [self._constant(weight, weights[weight].astype(np.float32)), bias_value]
        with np.errstate(over="ignore"):  # refused below
            narrow = weights[weight].astype(np.float16)
        if not np.isfinite(narrow).all():
            raise InputError(
                "weights are too large for float16",
                where=weight,
                got=float(np.abs(weights[weight]).max()),
                fix="store this network as float32",
            )
        stored = self._constant(weight, narrow)
        wide = self.add("Cast", [stored], f"{weight}.wide", to=onnx_writer.FLOAT)
        return [wide, bias_value]

    def serialize(self, architecture: Architecture) -> bytes:
        return onnx_writer.model(
            f"mobilenet_v1_{architecture.alpha}",
            self._nodes,
            self._tensors,
            onnx_writer.value_info(INPUT_NAME, onnx_writer.UINT8, [1, "height", "width", 3]),
            onnx_writer.value_info(OUTPUT_NAME, onnx_writer.FLOAT, [1, architecture.classes]),
            ir_version=_IR_VERSION,
            opset=_OPSET,
        )

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._tensors.append(onnx_writer.tensor(name, values))
        return name

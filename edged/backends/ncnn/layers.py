"""A network of edged's becomes ncnn's layers: its .param text and .bin bytes.

ncnn checks little of what it is given and may crash, so everything is checked here: the order of
the operators, each attribute, and each shape against MobileNet v1.
Knows neither files nor ncnn itself: bytes in, bytes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.backends.ncnn.int8 import Rounded, float_form, is_int8
from edged.backends.ncnn.onnx_file import FLOAT, Constants, Node, read_graph, require
from edged.errors import InputError
from edged.variants.mobilenet import Kind, Layer, recognise
from edged.variants.weights.onnx_builder import INPUT_NAME, OUTPUT_NAME

_OPERATORS = re.compile(
    "Transpose Cast Mul Add(?: Conv (?:Clip|Relu))+ GlobalAveragePool Flatten"
    " Gemm(?: (?:Clip|Relu) Gemm)* (?:Softmax|Sigmoid)"
)
_ATTRIBUTES: Mapping[str, Mapping[str, object]] = {
    "Transpose": {"perm": [0, 3, 1, 2]},
    "Cast": {"to": FLOAT},
    "Gemm": {"transB": 1},
    "Softmax": {"axis": 1},
}
"""Of a convolution see _convolution; other operators have none."""

_MAGIC = 7767517
_FLOAT16, _FLOAT32, _INT8 = 0x01306B47, 0, 0x000D4B38
"""Before weights in a .bin file. Biases and scales have no such tag and are float32."""

_INT8_INPUTS = 64
"""Of an INT8 network the pointwise convolutions with so many inputs run in INT8, the rest in
floating point: the others, and the depthwise ones, need more instructions so than they save."""


@dataclass(frozen=True, slots=True)
class NcnnLayers:
    """What ncnn loads, and what it is given: (pixel - mean) * scale, by colour.

    param: the text of a .param file. weights: the bytes of its .bin file. last: the index of the
    scores among the values; the picture is 0. pooled, channels: index and number of the features
    that the first dense layer sees. int8: of an INT8 network.
    """

    param: str
    weights: bytes
    means: list[float]
    scales: list[float]
    classes: int
    last: int
    pooled: int
    channels: int
    int8: bool


def ncnn_layers(model: bytes, *, int8: bool = False) -> NcnnLayers:
    """int8: take INT8 networks too. Raise InputError if the model is not a float network, or such
    a one, that edged wrote."""
    try:
        nodes, constants = read_graph(model)
        nodes = _without_casts(nodes, constants)
        if int8 and is_int8(nodes):
            return _layers(*float_form(nodes, constants), constants)
        return _layers(nodes, {}, constants)
    except (ValueError, IndexError, KeyError, TypeError):
        kinds = "" if int8 else "float "
        raise InputError(
            f"ncnn runs only {kinds}networks that edged wrote", fix="use backend: onnxruntime"
        ) from None


def _without_casts(nodes: list[Node], constants: dict[str, NDArray[Any]]) -> list[Node]:
    """Those of weights that are stored as float16, which become constants."""
    for node in nodes:
        if node.operator == "Cast" and node.inputs[0] in constants:
            require(node.attributes == {"to": FLOAT})
            constants[node.output] = constants[node.inputs[0]]
    return [node for node in nodes if node.output not in constants]


def _layers(nodes: list[Node], rounded: Mapping[str, Rounded], constants: Constants) -> NcnnLayers:
    require(_OPERATORS.fullmatch(" ".join(node.operator for node in nodes)))
    value = INPUT_NAME
    for node in nodes:
        require(node.inputs[0] == value)
        if node.operator != "Conv":
            require(node.attributes == _ATTRIBUTES.get(node.operator, {}))
        value = node.output
    require(value == OUTPUT_NAME)

    writer, layers, width, pooled = _Writer(constants, rounded), [], 0, 0
    for node, following in zip(nodes[4:], [*nodes[5:], nodes[-1]], strict=True):
        if node.operator == "Conv":
            layers.append(_convolution(node, constants))
            writer.convolution(layers[-1], node, following)
            width = layers[-1].out_channels
        elif node.operator == "GlobalAveragePool":
            pooled = writer.layer("Pooling", "0=1 4=1")
        elif node.operator == "Gemm":
            width = writer.dense(width, node, following)
    recognise(layers, width)
    last = writer.layer(nodes[-1].operator)
    means, scales = _normalisation(constants[nodes[2].inputs[1]], constants[nodes[3].inputs[1]])
    return NcnnLayers(
        writer.param(),
        b"".join(writer.weights),
        means,
        scales,
        classes=width,
        last=last,
        pooled=pooled,
        channels=layers[-1].out_channels,
        int8=bool(rounded),
    )


def _convolution(node: Node, constants: Constants) -> Layer:
    outputs, inputs, kernel, _ = constants[node.inputs[1]].shape
    group, (stride, _) = node.attributes["group"], node.attributes["strides"]
    if kernel == 1:
        kind = Kind.POINTWISE
    else:
        kind = Kind.DEPTHWISE if (outputs, inputs) == (group, 1) else Kind.CONVOLUTION
    layer = Layer(node.output, kind, inputs * group, outputs, kernel, stride)
    expected = {
        "auto_pad": "SAME_UPPER",
        "group": layer.groups,
        "kernel_shape": [kernel] * 2,
        "strides": [stride] * 2,
    }
    require(node.attributes == expected)
    return layer


def _normalisation(scale: NDArray[Any], offset: NDArray[Any]) -> tuple[list[float], list[float]]:
    require(scale.shape == () and offset.shape in ((), (3, 1, 1)))
    require(np.isfinite(scale) and scale != 0 and np.isfinite(offset).all())
    means = -offset.reshape(-1).astype(np.float64) / float(scale)
    return np.broadcast_to(means, 3).tolist(), [float(scale)] * 3


class _Writer:
    """Collects layers; each reads the value that the one before it makes."""

    def __init__(self, constants: Constants, rounded: Mapping[str, Rounded]) -> None:
        self._constants = constants
        self._rounded = rounded
        self.lines = ["Input picture 0 1 0"]
        self.weights: list[bytes] = []

    def layer(self, kind: str, form: str = "") -> int:
        """The index of its value."""
        number = len(self.lines)
        self.lines.append(f"{kind} layer{number} 1 1 {number - 1} {number} {form}")
        return number

    def convolution(self, layer: Layer, node: Node, following: Node) -> None:
        is_wide = layer.kind is Kind.POINTWISE and layer.in_channels >= _INT8_INPUTS
        rounded = self._rounded.get(node.inputs[1]) if is_wide else None
        size = self._parameters(node, layer.weight_shape, rounded)
        self.layer(
            "ConvolutionDepthWise" if layer.kind is Kind.DEPTHWISE else "Convolution",
            f"0={layer.out_channels} 1={layer.kernel} 3={layer.stride} 4=-233 5=1 6={size}"
            f" 7={layer.groups}{' 8=2' if rounded else ''}{self._activation(following)}",
        )

    def dense(self, inputs: int, node: Node, following: Node) -> int:
        """Its number of outputs."""
        outputs = len(self._constants[node.inputs[1]])
        size = self._parameters(node, (outputs, inputs))
        self.layer("InnerProduct", f"0={outputs} 1=1 2={size}{self._activation(following)}")
        return outputs

    def param(self) -> str:
        """There are as many values as layers."""
        return "\n".join([f"{_MAGIC}", f"{len(self.lines)} {len(self.lines)}", *self.lines, ""])

    def _parameters(
        self, node: Node, shape: tuple[int, ...], rounded: Rounded | None = None
    ) -> int:
        """Writes weight, of that shape, and bias; how many numbers the weight has.

        rounded: the weight in INT8, which its scales follow.
        """
        weight, bias = (self._constants[name] for name in node.inputs[1:])
        require(weight.shape == shape and bias.shape == shape[:1])
        require(weight.dtype.kind == "f" and bias.dtype == np.float32)
        tag = _FLOAT16 if weight.dtype == np.float16 else _FLOAT32
        if rounded:
            tag, weight = _INT8, rounded.steps
        content = weight.tobytes()
        self.weights += [tag.to_bytes(4, "little"), content, bytes(-len(content) % 4)]
        self.weights.append(bias.tobytes())
        if rounded:
            self.weights.append((1 / rounded.scale).tobytes())
            self.weights.append(np.float32(127 / rounded.highest).tobytes())
        return weight.size

    def _activation(self, node: Node) -> str:
        if node.operator == "Relu":
            return " 9=1"
        if node.operator != "Clip":
            return ""
        low, high = (float(self._constants[name].item()) for name in node.inputs[1:])
        require(np.isfinite([low, high]).all())
        return f" 9=3 -23310=2,{low},{high}"

"""Builds an INT8 network, in one of two forms, from a float network and its value ranges.

Weights are quantised per output channel, symmetrically, to -127 … 127: batch norm is folded, so
channels differ too much for one scale. A layer's output ranges from 0 (ReLU) to the largest value
of the calibration. The mean error from rounding the weights is subtracted from the bias (Nagel et
al., arXiv 1906.04721): on 550 ImageNet photos the loss falls from 4.9 points to 0.7 for Keras's
0.25 at 224, and from 2.0 to 0.4 for TF-Slim's 1.0 at 128. onnxruntime.quantization is not used: it
cannot take known ranges, corrects no biases, and leaves the normalisation in floating point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.int8.float_network import (
    Calibration,
    FloatNetwork,
    Layer,
    Means,
    read_float_network,
)

_LARGEST_BIAS = 2**30
"""In steps of its scale: the accumulator has 32 bits."""


def runtime_form(model: bytes, calibration: Calibration, means: Means) -> bytes:
    """The form that ONNX Runtime runs fastest: 8-bit from the pixels to the last convolution.

    Values have a zero point of -128, so that all 256 steps are used and saturation replaces the
    activation; biases are 32-bit. The uint8 pixels serve as quantised values, without operators for
    the normalisation.
    Raises InputError if the model is not a float network of edged or the calibration is incomplete.
    """
    network = read_float_network(model)
    graph = _Graph(network.onnx)
    transpose = network.before[0]
    graph.nodes.append(transpose)
    value, shift = graph.pixels(transpose.output[0], network.scale, network.offset)
    for layer in network.convolutions:
        bias = (layer.bias + layer.added(shift)).astype(np.float32)
        graph.integer_layer(layer, value, bias, means[layer.name])
        step = _highest(calibration, layer.name) / 255
        value = graph.quantised(layer.name, step, zero_point=-128)
        shift = np.zeros(1)
    graph.again(network.average, value.name)
    graph.nodes.append(network.flatten)
    step = _highest(calibration, network.average.name) / 255
    value = graph.quantised(network.flatten.output[0], step, zero_point=-128)
    classifier = network.classifier
    graph.integer_layer(classifier, value, classifier.bias, means[classifier.name])
    graph.head(network)
    return graph.serialize(network.model)


def tensorrt_form(model: bytes, calibration: Calibration, int8: bytes) -> bytes:
    """The form for TensorRT: only the inputs of the convolutions and the classifier are quantised,
    with a zero point of 0; biases stay float.

    int8: the same network's `runtime_form`, whose corrected biases are used. ONNX Runtime runs this
    form too, but more slowly than the float network; its accuracy was measured that way.
    Raises InputError as `runtime_form` does.
    """
    network = read_float_network(model)
    biases = _biases(network, int8)
    graph = _Graph(network.onnx)
    graph.nodes.extend(network.before)
    graph.constant("scale", np.float32(network.scale))
    graph.constant("offset", network.offset_values)
    largest = max(np.abs(network.offset).max(), np.abs(255 * network.scale + network.offset).max())
    value = graph.quantised(network.before[-1].output[0], largest / 127, zero_point=0)
    for name, limit in network.limits.items():
        if name not in network.head_constants:
            graph.constant(name, limit)
    for layer, activation in zip(network.convolutions, network.activations, strict=True):
        graph.float_biased_layer(layer, value, biases[layer.name])
        graph.nodes.append(activation)
        if layer is not network.convolutions[-1]:  # the global average is float
            step = _highest(calibration, layer.name) / 127
            value = graph.quantised(activation.output[0], step, zero_point=0)
    graph.nodes.extend((network.average, network.flatten))
    step = _highest(calibration, network.average.name) / 127
    value = graph.quantised(network.flatten.output[0], step, zero_point=0)
    graph.float_biased_layer(network.classifier, value, biases[network.classifier.name])
    graph.head(network)
    return graph.serialize(network.model)


def _highest(calibration: Calibration, name: str) -> float:
    if name not in calibration:
        raise InputError(
            "the calibration value is missing",
            where=name,
            fix="quantise the network again with edged models quantize",
        )
    return calibration[name]


@dataclass(frozen=True, slots=True)
class _Value:
    """A dequantised value. step: the size of one of its 256 steps."""

    name: str
    step: float


@dataclass(frozen=True, slots=True)
class _Graph:
    onnx: Any
    nodes: list[Any] = field(default_factory=list)
    _constants: list[Any] = field(default_factory=list)

    def constant(self, name: str, value: Any) -> str:
        self._constants.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def pixels(
        self, planes: str, scale: float, offset: NDArray[np.float64]
    ) -> tuple[_Value, NDArray[np.float64]]:
        """The picture's planes as quantised values, and their difference from
        pixel * scale + offset, which the first bias corrects: the zero point is an integer, and one
        for all colours."""
        zero_point = min(255, max(0, round(-float(offset.mean()) / scale)))
        value = self._dequantised(planes, np.float32(scale), np.uint8(zero_point))
        return _Value(value, scale), offset + zero_point * scale

    def quantised(self, value: str, step: float, zero_point: int) -> _Value:
        """Quantise a float value to 8 bits and dequantise it."""
        rounded, scale = f"{value}.rounded", np.float32(step)
        inputs = [value, f"{rounded}.scale", f"{rounded}.zero"]
        self._add("QuantizeLinear", inputs, rounded)
        return _Value(self._dequantised(rounded, scale, np.int8(zero_point)), step)

    def integer_layer(
        self,
        layer: Layer,
        value: _Value,
        bias: NDArray[np.float32],
        mean: NDArray[np.float32],
    ) -> None:
        """The layer with quantised input and weights, a corrected 32-bit bias and float output.
        mean: (input channels,)."""
        smallest = np.abs(bias) / value.step / _LARGEST_BIAS
        weight, scale = self._weight(layer, smallest)
        bias = bias - _added_by_rounding(layer, weight, scale, mean)
        scale = scale * np.float32(value.step)
        steps = np.rint(bias.astype(np.float64) / scale).astype(np.int32)
        rounded = self._by_channel(f"{layer.name}.bias", steps, scale)
        self.again(layer.node, value.name, f"{layer.name}.weight.wide", rounded)

    def float_biased_layer(self, layer: Layer, value: _Value, bias: NDArray[np.float32]) -> None:
        """The layer with quantised input and weights, and a float bias."""
        self._weight(layer, 0.0)
        self.constant(f"{layer.name}.bias", bias)
        self.again(layer.node, value.name, f"{layer.name}.weight.wide", f"{layer.name}.bias")

    def head(self, network: FloatNetwork) -> None:
        """The unchanged nodes after the first dense layer."""
        for name, values in network.head_constants.items():
            self.constant(name, values)
        self.nodes.extend(network.head)

    def again(self, node: Any, *inputs: str) -> None:
        """The float network's node with other inputs."""
        copy = type(node)()
        copy.CopyFrom(node)
        copy.input[:] = inputs
        self.nodes.append(copy)

    def serialize(self, model: Any) -> bytes:
        """Replaces the nodes and constants of the float model."""
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.extend(self.nodes)
        model.graph.initializer.extend(self._constants)
        return bytes(model.SerializeToString(deterministic=True))

    def _weight(self, layer: Layer, smallest: Any) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        steps, scale = _rounded(layer.weight, smallest)
        self._by_channel(f"{layer.name}.weight", steps, scale)
        return steps, scale

    def _by_channel(self, name: str, steps: NDArray[Any], scale: NDArray[np.float32]) -> str:
        zeros = np.zeros(len(scale), steps.dtype)
        return self._dequantised(self.constant(name, steps), scale, zeros, axis=0)

    def _dequantised(self, name: str, scale: Any, zero_point: Any, **attributes: int) -> str:
        inputs = [
            name,
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", zero_point),
        ]
        return self._add("DequantizeLinear", inputs, f"{name}.wide", **attributes)

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: int) -> str:
        node = self.onnx.helper.make_node(operator, inputs, [output], name=output, **attributes)
        self.nodes.append(node)
        return output


def _rounded(
    weight: NDArray[np.float32], smallest: Any
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Steps from -127 to 127, and the scale of each output channel, at least `smallest`; 1 for a
    channel of zeros, which batch norm can leave."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    scale = np.maximum(largest / 127, smallest).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1.0
    steps = weight / scale.reshape(-1, *[1] * (weight.ndim - 1))
    return np.clip(np.rint(steps), -127, 127).astype(np.int8), scale


def _added_by_rounding(
    layer: Layer, steps: NDArray[np.int8], scale: NDArray[np.float32], mean: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The mean error of each output channel from rounding the weights, (output,), ignoring the
    padding at the borders."""
    shape = layer.weight.shape
    rounded = steps * scale.reshape(-1, *[1] * (len(shape) - 1))
    errors = (rounded - layer.weight).reshape(*shape[:2], -1).sum(axis=2)
    seen = mean.reshape(layer.groups, -1).repeat(shape[0] // layer.groups, axis=0)
    added: NDArray[np.float32] = (errors * seen).sum(axis=1).astype(np.float32)
    return added


def _biases(network: FloatNetwork, int8: bytes) -> dict[str, NDArray[np.float32]]:
    """The corrected biases of the runtime form, without the correction for its pixels."""
    onnx = network.onnx
    stored = {
        each.name: onnx.numpy_helper.to_array(each)
        for each in onnx.load_model_from_string(int8).graph.initializer
    }
    found = {}
    planes = network.before[0].output[0]
    shift = network.offset + int(stored[f"{planes}.zero"]) * network.scale
    for layer in (*network.convolutions, network.classifier):
        name = f"{layer.name}.bias"
        bias = stored[name] * stored[f"{name}.scale"] - layer.added(shift)
        found[layer.name] = bias.astype(np.float32)
        shift = np.zeros(1)
    return found

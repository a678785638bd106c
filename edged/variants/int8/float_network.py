"""Splits a float network of onnx_builder.py into its parts, and builds a probe of its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError, MissingPackageError
from edged.variants.weights.onnx_builder import OUTPUT_NAME

Calibration = Mapping[str, float]
"""The largest value on the calibration pictures of each activation, by the convolution's name,
and of the global average, by the name `average`."""
Means = Mapping[str, NDArray[np.float32]]
"""The mean of each input channel of each convolution and of the classifier, by their names."""

_BEFORE = ("Transpose", "Cast", "Mul", "Add")
_AFTER = ("GlobalAveragePool", "Flatten", "Gemm")
_HIDDEN, _LAST = {"Gemm", "Relu", "Clip"}, {"Softmax", "Sigmoid"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or the first dense layer. weight: float32, output channels first."""

    node: Any
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def name(self) -> str:
        return str(self.node.name)

    @property
    def groups(self) -> int:
        return next((int(each.i) for each in self.node.attribute if each.name == "group"), 1)

    @property
    def channels(self) -> int:
        """Of its input."""
        return self.groups * int(self.weight.shape[1])

    def added(self, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """The change of each output channel when `shift`, (1,) or (input channels,), is added to
        the inputs."""
        sums = self.weight.reshape(*self.weight.shape[:2], -1).sum(axis=2, dtype=np.float64)
        added: NDArray[np.float64] = (sums * shift).sum(axis=1)
        return added


@dataclass(frozen=True, slots=True)
class FloatNetwork:
    """The parts of a network built by onnx_builder.py.

    offset: of all colours, or of red, green and blue. limits: clip limits of the activations.
    classifier: the first dense layer. head: further dense layers and the softmax or sigmoid, which
    stay in floating point; head_constants: their constants.
    """

    onnx: Any
    model: Any
    scale: float
    offset: NDArray[np.float64]
    before: list[Any]
    convolutions: list[Layer]
    activations: list[Any]
    limits: Mapping[str, NDArray[np.float32]]
    average: Any
    flatten: Any
    classifier: Layer
    head: list[Any]
    head_constants: Mapping[str, NDArray[np.float32]]

    @property
    def offset_values(self) -> NDArray[np.float32]:
        """As stored in the file: a scalar, or (colours, 1, 1)."""
        shape = () if self.offset.size == 1 else (-1, 1, 1)
        return self.offset.reshape(shape).astype(np.float32)


def read_float_network(model: bytes) -> FloatNetwork:
    """Raises InputError for another network, MissingPackageError without the onnx package."""
    onnx = import_onnx("quantising")
    try:
        read = onnx.load_model_from_string(model)
    except Exception as error:  # the decoder's exceptions share no other base class
        raise InputError("not an ONNX network", got=type(error).__name__) from None
    constants = {
        constant.name: onnx.numpy_helper.to_array(constant) for constant in read.graph.initializer
    }
    nodes = []
    for node in read.graph.node:
        if node.op_type == "Cast" and node.input[0] in constants:  # weights stored as float16
            constants[node.output[0]] = constants[node.input[0]].astype(np.float32)
        else:
            nodes.append(node)
    end = next((at for at, node in enumerate(nodes) if node.op_type == _AFTER[0]), 0)
    before, body, after, head = nodes[:4], nodes[4:end], nodes[end : end + 3], nodes[end + 3 :]
    chain = [_kinds(before), set(_kinds(body[::2])), _kinds(after)]
    if (
        chain != [_BEFORE, {"Conv"}, _AFTER]
        or not set(_kinds(body[1::2])) <= {"Clip", "Relu"}
        or not set(_kinds(head[:-1])) <= _HIDDEN
        or not set(_kinds(head[-1:])) & _LAST
    ):
        raise InputError(
            "not a float network built by edged", fix="import it again with edged models import"
        )

    def layer(node: Any) -> Layer:
        return Layer(node, constants[node.input[1]], constants[node.input[2]])

    activations = body[1::2]
    return FloatNetwork(
        onnx=onnx,
        model=read,
        scale=float(constants[before[2].input[1]]),
        offset=constants[before[3].input[1]].reshape(-1).astype(np.float64),
        before=before,
        convolutions=[layer(node) for node in body[::2]],
        activations=activations,
        limits={name: constants[name] for node in activations for name in node.input[1:]},
        average=after[0],
        flatten=after[1],
        classifier=layer(after[2]),
        head=head,
        head_constants={name: constants[name] for node in head for name in node.input[1:]},
    )


def _kinds(nodes: Sequence[Any]) -> tuple[str, ...]:
    return tuple(node.op_type for node in nodes)


@dataclass(frozen=True, slots=True)
class Probe:
    """A float network whose scores are, for one picture, the largest values of Calibration followed
    by the Means of each layer."""

    model: bytes
    names: tuple[str, ...]
    channels: Mapping[str, int]

    def calibration(self, largest: NDArray[np.float32]) -> Calibration:
        """largest: (names,). Rounds to the digits that a manifest stores."""
        return {n: float(f"{value:.4g}") for n, value in zip(self.names, largest, strict=True)}

    def means(self, row: NDArray[np.float32]) -> Means:
        parts = np.split(row, np.cumsum(list(self.channels.values()))[:-1])
        return dict(zip(self.channels, parts, strict=True))


def probe(model: bytes) -> Probe:
    """Raises as `read_float_network` does."""
    network = read_float_network(model)
    helper, nodes = network.onnx.helper, network.model.graph.node
    for node in (network.classifier.node, *network.head):
        nodes.remove(node)
    features = network.flatten.output[0]
    outputs = [node.output[0] for node in network.activations]
    names = (*(layer.name for layer in network.convolutions), network.average.name)
    found = []
    for name, value in zip(names, (*outputs, features), strict=True):
        nodes.append(helper.make_node("Flatten", [value], [f"{name}.row"]))
        nodes.append(helper.make_node("ReduceMax", [f"{name}.row"], [f"{name}.largest"], axes=[1]))
        found.append(f"{name}.largest")
    inputs = (network.before[-1].output[0], *outputs[:-1])
    for layer, value in zip(network.convolutions, inputs, strict=True):
        mean = f"{layer.name}.mean"
        nodes.append(helper.make_node("ReduceMean", [value], [mean], axes=[2, 3], keepdims=0))
        found.append(mean)
    nodes.append(helper.make_node("Concat", [*found, features], [OUTPUT_NAME], axis=1))
    channels = {layer.name: layer.channels for layer in (*network.convolutions, network.classifier)}
    shape = network.model.graph.output[0].type.tensor_type.shape
    shape.dim[1].dim_value = len(names) + sum(channels.values())
    content = bytes(network.model.SerializeToString(deterministic=True))
    return Probe(content, names, channels)


def import_onnx(purpose: str) -> Any:
    """Raises MissingPackageError. purpose: the subject of its message."""
    try:
        import onnx
    except ImportError:
        raise MissingPackageError(
            f"{purpose} needs the onnx package", "pip install 'edged[models]'"
        ) from None
    return onnx

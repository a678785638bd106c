"""TensorFlow Lite files of MobileNet v1 become our weights.

Reads float32 and float16 files, and quantised ones (uint8 or int8, per tensor or per channel) by
de-quantising them. The graph is followed operator by operator, so that a file is either read
rightly or refused with the operator that does not belong. Knows nothing of labels, families or
ONNX; nothing in the file is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.mobilenet import Kind, Layer, recognise
from edged.variants.network import (
    USUAL_OFFSET,
    USUAL_SCALE,
    Activation,
    ImportedWeights,
)
from edged.variants.tflite_file import Graph, Operator, Tensor, read_graph

_TYPES = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT32": "<i4", "UINT8": "u1", "INT8": "i1"}

_SAME, _VALID = 0, 1
_NO_ACTIVATION = 0
_ACTIVATIONS = {1: Activation.RELU, 3: Activation.RELU6}


class _Stage(Enum):
    """How far along the network the walk is."""

    BODY = 0
    POOLED = 1
    CLASSIFIED = 2
    FINISHED = 3


def read_tflite(path: Path, head: Path | None = None) -> ImportedWeights:
    """Read a whole classifier, or an extractor whose classifier is in a second file.

    Raises InputError for a file that is empty, truncated, foreign or not MobileNet v1, and
    MissingPackageError without the tflite package.
    """
    graphs = [read_graph(path)]
    if head is not None:
        graphs.append(read_graph(head))
        _check_joint(graphs[0], graphs[1])
    image = graphs[0].tensors[graphs[0].input]
    if len(image.shape) != 4 or image.shape[3] != 3:
        raise InputError(
            "its input is no picture of shape (1, height, width, 3)",
            where=path,
            got=image.shape,
            fix="a file that holds only the classifier goes second, after its extractor",
        )
    walk = _Walk()
    for graph in graphs:
        for operator in _in_order(graph):
            walk.take(graph, operator)
    classifier = walk.finish(graphs[-1])
    try:
        architecture = recognise(walk.layers, classes=len(classifier[1]))
    except InputError as error:
        where = f"{path}, {error.where}" if error.where else path
        raise InputError(error.what, where=where, got=error.got) from None
    weights = {"classifier.weight": classifier[0], "classifier.bias": classifier[1]}
    for layer, (weight, bias) in zip(architecture.layers(), walk.parameters, strict=True):
        weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"] = weight, bias
    scale, offset = _normalisation(image)
    height, width = image.shape[1:3]
    quantised = "float" if image.type.startswith("FLOAT") else f"de-quantised {image.type.lower()}"
    return ImportedWeights(
        architecture,
        weights,
        scale,
        offset,
        walk.activation or Activation.RELU6,
        height if height == width and height > 1 else None,
        " + ".join(graph.path.name for graph in graphs) + f" ({quantised} TensorFlow Lite)",
    )


class _Walk:
    """Takes the operators in their order and collects layers; refuses what does not belong."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.parameters: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self.activation: Activation | None = None
        self._stage = _Stage.BODY
        self._padded = False
        self._classifier: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def take(self, graph: Graph, operator: Operator) -> None:
        kind, stage = operator.kind, self._stage
        if kind in ("QUANTIZE", "DEQUANTIZE"):
            return  # another scale for the same real values
        if stage is _Stage.BODY and kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self._take_convolution(graph, operator)
        elif stage is _Stage.BODY and kind == "PAD" and not self._padded:
            self._padded = _is_same_padding(graph, operator)
        elif stage is _Stage.BODY and kind in ("AVERAGE_POOL_2D", "MEAN") and not self._padded:
            _check_average(graph, operator)
            self._stage = _Stage.POOLED
        elif stage is _Stage.POOLED and kind in ("CONV_2D", "FULLY_CONNECTED"):
            self._classifier = _classifier(graph, operator)
            self._stage = _Stage.CLASSIFIED
        elif stage is _Stage.CLASSIFIED and kind == "SOFTMAX":
            if operator.options["Beta"] != 1:
                raise _refusal(graph, operator, "its beta is not 1", operator.options["Beta"])
            self._stage = _Stage.FINISHED
        elif stage is _Stage.BODY or kind not in ("RESHAPE", "SQUEEZE"):
            raise _refusal(graph, operator, "has no place there")

    def finish(self, graph: Graph) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._classifier is None:
            raise InputError(
                "ends before the classifier",
                where=graph.path,
                fix="name the file that holds the classifier second",
            )
        return self._classifier

    def _take_convolution(self, graph: Graph, operator: Operator) -> None:
        options = operator.options
        weight, bias = _weight_and_bias(graph, operator, dimensions=4)
        if operator.kind == "DEPTHWISE_CONV_2D":
            if options["DepthMultiplier"] != 1 or weight.shape[0] != 1:
                raise _refusal(graph, operator, "multiplies its channels", weight.shape)
            weight = weight.transpose(3, 0, 1, 2)
        else:
            weight = weight.transpose(0, 3, 1, 2)
        channels, depth, rows, columns = weight.shape
        if rows != columns or options["StrideH"] != options["StrideW"]:
            raise _refusal(graph, operator, "treats height and width differently")
        if options["DilationHFactor"] != 1 or options["DilationWFactor"] != 1:
            raise _refusal(graph, operator, "is dilated")
        if not self._pads_as_same(rows, options):
            raise _refusal(graph, operator, "does not pad as TensorFlow's SAME does")
        self._padded = False
        activation = _ACTIVATIONS.get(int(options["FusedActivationFunction"]))
        if activation is None or self.activation not in (None, activation):
            raise _refusal(graph, operator, "is not followed by ReLU6, or by ReLU throughout")
        self.activation = activation
        if operator.kind == "DEPTHWISE_CONV_2D":
            kind, depth = Kind.DEPTHWISE, channels
        else:
            kind = Kind.POINTWISE if rows == 1 else Kind.CONVOLUTION
        name = f"operator {operator.number} ({operator.kind})"
        self.layers.append(Layer(name, kind, depth, channels, rows, int(options["StrideH"])))
        self.parameters.append((np.ascontiguousarray(weight), bias))

    def _pads_as_same(self, kernel: int, options: Mapping[str, float]) -> bool:
        if self._padded:
            return options["Padding"] == _VALID and kernel == 3 and options["StrideH"] == 2
        return options["Padding"] == _SAME or kernel == 1


def _in_order(graph: Graph) -> list[Operator]:
    """The operators from input to output, where each value goes to just one of them."""
    ordered: list[Operator] = []
    value = graph.input
    while value != graph.output:
        users = [operator for operator in graph.operators if value in operator.inputs]
        if not users or len(ordered) == len(graph.operators):
            raise InputError("its input does not lead to its output", where=graph.path)
        if len(users) > 1 or len(users[0].outputs) != 1:
            last = users[-1]
            raise _refusal(graph, last, "takes a branch, of which MobileNet v1 has none")
        ordered.append(users[0])
        value = users[0].outputs[0]
    return ordered


def _is_same_padding(graph: Graph, operator: Operator) -> bool:
    """Bottom and right by one: what SAME does at stride 2 and even sizes, written out by Keras."""
    padding = _integers(graph, operator, 1)
    if padding != [0, 0, 0, 1, 0, 1, 0, 0]:
        raise _refusal(graph, operator, "pads other than one row below and one right", padding)
    sides = graph.tensors[operator.inputs[0]].shape[1:3]
    if any(side % 2 for side in sides):
        raise _refusal(graph, operator, "pads an odd size otherwise than SAME does", sides)
    return True


def _check_average(graph: Graph, operator: Operator) -> None:
    sides = graph.tensors[operator.inputs[0]].shape[1:3]
    if operator.kind == "MEAN":
        axes = sorted(axis % 4 for axis in _integers(graph, operator, 1))
        if axes != [1, 2]:
            raise _refusal(graph, operator, "averages over other axes than the picture's", axes)
        return
    window = (operator.options["FilterHeight"], operator.options["FilterWidth"])
    if window != sides or operator.options["FusedActivationFunction"] != _NO_ACTIVATION:
        raise _refusal(graph, operator, f"does not average the whole {sides} map", window)


def _classifier(
    graph: Graph, operator: Operator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    dimensions = 4 if operator.kind == "CONV_2D" else 2
    weight, bias = _weight_and_bias(graph, operator, dimensions)
    if weight.size != weight.shape[0] * weight.shape[-1]:
        raise _refusal(graph, operator, "is no 1x1 convolution", weight.shape)
    if operator.options["FusedActivationFunction"] != _NO_ACTIVATION:
        raise _refusal(graph, operator, "has an activation; the classifier has none")
    return weight.reshape(weight.shape[0], weight.shape[-1]), bias


def _weight_and_bias(
    graph: Graph, operator: Operator, dimensions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    weight = _constant(graph, operator, 1)
    if weight.ndim != dimensions:
        raise _refusal(graph, operator, f"has no {dimensions}-dimensional weights", weight.shape)
    channels = weight.shape[3 if operator.kind == "DEPTHWISE_CONV_2D" else 0]
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return weight, np.zeros(channels, np.float32)
    bias = _constant(graph, operator, 2)
    if bias.shape != (channels,):
        raise _refusal(graph, operator, f"has a bias of other length than {channels}", bias.shape)
    return weight, bias


def _integers(graph: Graph, operator: Operator, position: int) -> list[int]:
    return [int(value) for value in _constant(graph, operator, position, scaled=False).flat]


def _constant(
    graph: Graph, operator: Operator, position: int, *, scaled: bool = True
) -> NDArray[np.float32]:
    """The real values of an operator's constant input, de-quantised."""
    tensor, data = _stored(graph, operator, position)
    if tensor.type not in _TYPES:
        raise _refusal(graph, operator, "holds numbers of an unknown type", tensor.type)
    try:
        values = data.view(_TYPES[tensor.type]).reshape(tensor.shape)
    except ValueError:
        raise _refusal(graph, operator, "has damaged weights", f"{data.size} bytes") from None
    if values.dtype.kind == "f" or not scaled:
        return values.astype(np.float32)
    if tensor.scales.size == 0:
        raise _refusal(graph, operator, "holds integers without a scale")
    along: list[int] = [1] * len(tensor.shape)
    if tensor.scales.size > 1:
        along[tensor.axis] = tensor.scales.size
    zero_points = tensor.zero_points.reshape(along)
    with np.errstate(over="ignore", invalid="ignore"):  # check_weights refuses what results
        return ((values - zero_points) * tensor.scales.reshape(along)).astype(np.float32)


def _stored(graph: Graph, operator: Operator, position: int) -> tuple[Tensor, NDArray[np.uint8]]:
    index = operator.inputs[position] if position < len(operator.inputs) else -1
    if index < 0:
        raise _refusal(graph, operator, f"lacks its input {position}")
    # Float16 files store the weights narrow and widen them by an operator of their own.
    for widening in graph.operators:
        if widening.kind == "DEQUANTIZE" and index in widening.outputs and widening.inputs:
            index = widening.inputs[0]
            break
    tensor = graph.tensors[index]
    if tensor.data is None:
        raise _refusal(graph, operator, f"computes its input {position}, which is no constant")
    return tensor, tensor.data


def _normalisation(image: Tensor) -> tuple[float, float]:
    """Scale and offset that turn a uint8 pixel into what the network was trained to see."""
    if image.scales.size != 1 or image.type not in ("UINT8", "INT8"):
        return USUAL_SCALE, USUAL_OFFSET
    scale = float(image.scales[0])
    zero_point = int(image.zero_points[0]) + (128 if image.type == "INT8" else 0)
    return scale, -scale * zero_point


def _check_joint(extractor: Graph, head: Graph) -> None:
    """What leaves the first file must be what enters the second, in the same integers."""
    left, right = extractor.tensors[extractor.output], head.tensors[head.input]
    for what, ours, theirs in (
        ("shape", left.shape, right.shape),
        ("type", left.type, right.type),
        ("scale", left.scales.tolist(), right.scales.tolist()),
        ("zero point", left.zero_points.tolist(), right.zero_points.tolist()),
    ):
        if ours != theirs:
            raise InputError(
                f"does not continue {extractor.path.name}, which ends with {what} {ours}",
                where=head.path,
                got=theirs,
                fix="name an extractor first and the classifier that was cut from it second",
            )


def _refusal(graph: Graph, operator: Operator, what: str, got: object = None) -> InputError:
    where = f"{graph.path}, operator {operator.number} ({operator.kind})"
    return InputError(f"not MobileNet v1: it {what}", where=where, got=got)

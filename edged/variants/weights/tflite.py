"""Reads MobileNet v1 from TensorFlow Lite files.

Reads float32 and float16 files, and de-quantises uint8 and int8 files (per tensor or per channel).
Follows the graph operator by operator, and names the operator in a refusal.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.mobilenet import Kind
from edged.variants.weights.chain import TEACH, Chain
from edged.variants.weights.onnx_builder import ImportedWeights, InputRange
from edged.variants.weights.tflite_file import Graph, Operator, Tensor, read_graph

_TYPES = {
    "FLOAT32": "<f4", "FLOAT16": "<f2", "INT64": "<i8", "INT32": "<i4", "INT16": "<i2",
    "INT8": "i1", "UINT8": "u1",
}  # fmt: skip

_SAME = 0
_NO_ACTIVATION = 0
_ACTIVATIONS = {_NO_ACTIVATION: "linear", 1: "relu", 3: "relu6"}
_FUNCTIONS = {
    "SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "RELU": "relu", "RELU6": "relu6",
}  # fmt: skip
_ARITHMETIC = {"ADD", "DIV", "MUL", "SUB"}
_RESHAPES = {"RESHAPE", "SQUEEZE"}


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
    _check_kin(graphs[-1])
    chain = Chain(path, _side(graphs[0], image))
    for graph in graphs:
        chain.path = graph.path
        for operator in _in_order(graph):
            _take(chain, graph, operator)
    quantised = "float" if image.type.startswith("FLOAT") else f"de-quantised {image.type.lower()}"
    source = " + ".join(graph.path.name for graph in graphs) + f" ({quantised} TensorFlow Lite)"
    return chain.finish(source, _normalisation(image), _usual_range(graphs[0]))


def _side(graph: Graph, image: Tensor) -> int | None:
    """The picture side in pixels, None where the file accepts any."""
    shape = image.shape
    if len(shape) == 4 and shape[1] in (1, 3) and min(shape[2:]) > 3:
        raise InputError(
            "takes pictures with channels first (NCHW)",
            where=graph.path,
            got=shape,
            fix="build the model with channels last and convert it again",
        )
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise InputError(
            "its input does not have shape (1, height, width, 3)",
            where=graph.path,
            got=shape,
            fix="name a file that contains only the classifier second, after its extractor",
        )
    return shape[1] if shape[1] == shape[2] and shape[1] > 1 else None


def _check_kin(graph: Graph) -> None:
    """Raise InputError for another known architecture."""
    kinds = {operator.kind for operator in graph.operators}
    if "edgetpu-custom-op" in kinds:
        raise InputError(
            "is compiled for an Edge TPU, whose weight format edged does not read",
            where=graph.path,
            fix="name the file that it was compiled from, without _edgetpu in its name",
        )
    if "TFLite_Detection_PostProcess" in kinds or graph.outputs > 1:
        raise InputError(
            "is a detector; edged runs classifiers",
            where=graph.path,
            got=f"{graph.outputs} outputs",
            fix=f"name a classifier; or {TEACH}",
        )
    kin = None
    if "HARD_SWISH" in kinds:
        kin = "MobileNet v3"
    elif "LOGISTIC" in kinds and _joins(graph, "MUL"):
        kin = "EfficientNet or a related network"
    elif _joins(graph, "ADD"):
        kin = "MobileNet v2" if "DEPTHWISE_CONV_2D" in kinds else "a residual network"
    if kin is not None:
        raise InputError(f"this is {kin}; edged runs MobileNet v1", where=graph.path, fix=TEACH)


def _joins(graph: Graph, kind: str) -> bool:
    """Whether an operator of this kind joins two values that both depend on the picture."""
    return any(
        operator.kind == kind
        and all(index >= 0 and _constant_index(graph, index) is None for index in operator.inputs)
        for operator in graph.operators
    )


def _take(chain: Chain, graph: Graph, operator: Operator) -> None:
    kind, where = operator.kind, _where(operator)
    if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        _take_convolution(chain, graph, operator)
    elif kind == "FULLY_CONNECTED":
        weight, bias = _weight_and_bias(graph, operator, dimensions=2)
        chain.dense(where, weight, bias)
    elif kind in _ARITHMETIC:
        _take_arithmetic(chain, graph, operator)
    elif kind == "PAD":
        padding = _integers(graph, operator, 1)
        if len(padding) != 8 or any(padding[:2] + padding[6:]):
            raise chain.refuse(where, "pads dimensions other than height and width", padding)
        chain.padding(where, [padding[2:4], padding[4:6]])
    elif kind == "MEAN":
        axes = sorted(axis % 4 for axis in _integers(graph, operator, 1))
        if axes != [1, 2]:
            raise chain.refuse(where, "averages over axes other than height and width", axes)
        chain.average(where)
    elif kind == "AVERAGE_POOL_2D":
        rows, columns = operator.options["FilterHeight"], operator.options["FilterWidth"]
        chain.window(where, (int(rows), int(columns)))
    elif kind in _FUNCTIONS:
        chain.function(where, _FUNCTIONS[kind])
        if operator.options.get("Beta", 1) != 1:
            raise chain.refuse(where, "has a softmax whose beta is not 1", operator.options["Beta"])
    elif kind in _RESHAPES:
        chain.flatten(where)
    elif kind not in ("CAST", "QUANTIZE", "DEQUANTIZE"):  # same values, other type
        raise chain.refuse(where, "uses an unsupported operator", kind, TEACH)
    activation = int(operator.options.get("FusedActivationFunction", _NO_ACTIVATION))
    chain.function(where, _ACTIVATIONS.get(activation, f"activation {activation}"))


def _take_convolution(chain: Chain, graph: Graph, operator: Operator) -> None:
    options, where = operator.options, _where(operator)
    weight, bias = _weight_and_bias(graph, operator, dimensions=4)
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    if depthwise and (options["DepthMultiplier"] != 1 or weight.shape[0] != 1):
        raise chain.refuse(where, "has a depth multiplier other than 1", weight.shape)
    chain.convolution(
        where,
        Kind.DEPTHWISE if depthwise else Kind.CONVOLUTION,
        weight.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)),
        bias,
        (int(options["StrideH"]), int(options["StrideW"])),
        (int(options["DilationHFactor"]), int(options["DilationWFactor"])),
        same=options["Padding"] == _SAME,
    )


def _take_arithmetic(chain: Chain, graph: Graph, operator: Operator) -> None:
    """An operator on the picture and a constant."""
    places = [_constant_index(graph, index) is not None for index in operator.inputs]
    if len(places) != 2 or sum(places) != 1:
        raise _refusal(graph, operator, "joins several branches")
    number = _constant(graph, operator, places.index(True)).astype(np.float64)
    if number.size not in (1, *number.shape[-1:]):
        raise _refusal(graph, operator, "has a constant that varies over the picture", number.shape)
    chain.arithmetic(_where(operator), operator.kind.lower(), number.reshape(-1), first=places[1])


def _in_order(graph: Graph) -> list[Operator]:
    """The operators from the picture to the scores, each with one computed input.

    Leaves out operators that only compute the shape of a reshape.
    """
    makers = {output: operator for operator in graph.operators for output in operator.outputs}
    ordered: list[Operator] = []
    value = graph.output
    while value != graph.input:
        operator = makers.get(value)
        if operator is None or len(ordered) == len(graph.operators):
            raise InputError("its output does not depend on its input", where=graph.path)
        ordered.append(operator)
        inputs = operator.inputs[:1] if operator.kind in _RESHAPES else operator.inputs
        computed = [
            index for index in inputs if index >= 0 and _constant_index(graph, index) is None
        ]
        if len(computed) != 1:
            raise _refusal(graph, operator, "joins several branches")
        value = computed[0]
    return ordered[::-1]


def _weight_and_bias(
    graph: Graph, operator: Operator, dimensions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    weight = _constant(graph, operator, 1)
    if weight.ndim != dimensions:
        raise _refusal(graph, operator, f"has no {dimensions}-dimensional weights", weight.shape)
    channels = weight.shape[3 if operator.kind == "DEPTHWISE_CONV_2D" else 0]
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return weight, None
    bias = _constant(graph, operator, 2)
    if bias.shape != (channels,):
        raise _refusal(graph, operator, f"has a bias whose length is not {channels}", bias.shape)
    return weight, bias


def _integers(graph: Graph, operator: Operator, position: int) -> list[int]:
    return [int(value) for value in _constant(graph, operator, position, scaled=False).flat]


def _constant(
    graph: Graph, operator: Operator, position: int, *, scaled: bool = True
) -> NDArray[np.float32]:
    """The real values of an operator's constant input, de-quantised."""
    tensor, data = _stored(graph, operator, position)
    if tensor.type not in _TYPES:
        raise _refusal(graph, operator, "has constants of an unknown type", tensor.type)
    try:
        values = data.view(_TYPES[tensor.type]).reshape(tensor.shape)
    except ValueError:
        raise _refusal(graph, operator, "has a damaged constant", f"{data.size} bytes") from None
    if values.dtype.kind == "f" or not scaled:
        return values.astype(np.float32)
    if tensor.scales.size == 0:
        raise _refusal(graph, operator, "has integers without a scale")
    along: list[int] = [1] * len(tensor.shape)
    if tensor.scales.size > 1:
        along[tensor.axis] = tensor.scales.size
    zero_points = tensor.zero_points.reshape(along)
    with np.errstate(over="ignore", invalid="ignore"):  # check_weights refuses what results
        return ((values - zero_points) * tensor.scales.reshape(along)).astype(np.float32)


def _stored(graph: Graph, operator: Operator, position: int) -> tuple[Tensor, NDArray[np.uint8]]:
    index = operator.inputs[position] if position < len(operator.inputs) else -1
    if index < 0:
        raise _refusal(graph, operator, f"has an operator without input {position}")
    found = _constant_index(graph, index)
    data = None if found is None else graph.tensors[found].data
    if found is None or data is None:
        raise _refusal(graph, operator, f"has an operator whose input {position} is not a constant")
    return graph.tensors[found], data


def _constant_index(graph: Graph, index: int) -> int | None:
    """The tensor that stores the values of this one, None where they are computed."""
    # Float16 files widen their weights with a DEQUANTIZE operator.
    for widening in graph.operators:
        if widening.kind == "DEQUANTIZE" and index in widening.outputs and widening.inputs:
            index = widening.inputs[0]
            break
    return None if graph.tensors[index].data is None else index


def _normalisation(image: Tensor) -> tuple[float, float] | None:
    """Scale and offset from a uint8 pixel to the file's input, None where not stated."""
    if image.scales.size != 1 or image.type not in ("UINT8", "INT8"):
        return None
    scale = float(image.scales[0])
    zero_point = int(image.zero_points[0]) + (128 if image.type == "INT8" else 0)
    return scale, -scale * zero_point


def _usual_range(graph: Graph) -> InputRange:
    """The range to assume for an input that states none: where the first operator quantises it,
    the range nearest to that of the integers, which the calibration pictures set."""
    first = next((each for each in graph.operators if graph.input in each.inputs), None)
    if first is None or first.kind != "QUANTIZE":
        return InputRange.SYMMETRIC
    stated = _normalisation(graph.tensors[first.outputs[0]])
    if stated is None or stated[0] <= 0:
        return InputRange.SYMMETRIC
    scale = stated[0]
    return min(InputRange, key=lambda each: abs(np.log(scale / each.scale)))


def _check_joint(extractor: Graph, head: Graph) -> None:
    """The output of the first file and the input of the second must have the same form."""
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


def _where(operator: Operator) -> str:
    return f"operator {operator.number} ({operator.kind})"


def _refusal(graph: Graph, operator: Operator, what: str, got: object = None) -> InputError:
    where = f"{graph.path}, {_where(operator)}"
    return InputError(f"not MobileNet v1: it {what}", where=where, got=got)

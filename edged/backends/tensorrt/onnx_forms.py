"""A network in the forms for TensorRT's parser: FP32, FP16 and INT8.

TensorRT accepts uint8 pixels only as input of a cast, so in all forms the cast comes before the
transposition. Up to version 10 the FP32 form also serves FP16, and the builder narrows it; from
11 on TensorRT computes in the types of the file ("strongly typed"), and FP16 needs its own form.
INT8 is explicit in both: `tensorrt_form` in qdq.py. All have the pooled features as second output,
float32 (1, channels). All raise InputError if the model is not one of edged's networks,
MissingPackageError without the onnx package.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.int8.float_network import (
    Calibration,
    FloatNetwork,
    import_onnx,
    read_float_network,
)
from edged.variants.int8.qdq import tensorrt_form

_HEAD = "head."


class EnginePrecision(str, Enum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def fp32_form(model: bytes) -> bytes:
    """Of a float network: weights are float32 in the file as well."""
    network = read_float_network(model)
    return _written(network, np.dtype(np.float32))


def fp16_form(model: bytes) -> bytes:
    """Of a float network: from the normalised pixels to the classifier everything is float16.

    Normalisation stays float32, where a grey level is exact, and so does all after the first dense
    layer. Raises InputError for weights that float16 cannot represent.
    """
    network = read_float_network(model)
    return _written(network, np.dtype(np.float16))


def int8_form(model: bytes, calibration: Calibration, int8: bytes) -> bytes:
    """Of a float network, and what its INT8 counterpart was quantised with."""
    quantised = tensorrt_form(model, calibration, int8)
    onnx = import_onnx("making an engine")
    read = onnx.load_model_from_string(quantised)
    before = list(read.graph.node)
    del read.graph.node[:]
    read.graph.node.extend([*_cast_first(onnx, before[:2]), *before[2:]])
    flatten = next(node for node in before if node.op_type == "Flatten")
    _add_output(onnx, read.graph, flatten.output[0])
    return bytes(read.SerializeToString(deterministic=True))


def _cast_first(onnx: Any, nodes: list[Any]) -> list[Any]:
    """The two nodes Transpose and Cast in reverse order."""
    transpose, cast = nodes
    wide = f"{transpose.input[0]}.wide"
    turned = type(cast)(), type(transpose)()
    for copy, node in zip(turned, (cast, transpose), strict=True):
        copy.CopyFrom(node)
    turned[0].input[:], turned[0].output[:] = transpose.input, [wide]
    turned[1].input[:], turned[1].output[:] = [wide], cast.output
    return list(turned)


def _written(network: FloatNetwork, kind: np.dtype[Any]) -> bytes:
    onnx = network.onnx
    constants: dict[str, NDArray[Any]] = {}
    for layer in (*network.convolutions, network.classifier):
        constants[f"{layer.name}.weight"] = _narrow(layer.weight, kind, f"{layer.name}.weight")
        constants[f"{layer.name}.bias"] = _narrow(layer.bias, kind, f"{layer.name}.bias")
    for name, limit in network.limits.items():
        constants[name] = limit.astype(kind)
    constants["scale"] = np.array(network.scale, np.float32)
    constants["offset"] = network.offset_values
    nodes = _cast_first(onnx, network.before[:2]) + [_copy(each) for each in network.before[2:]]
    nodes[2].input[1], nodes[3].input[1] = "scale", "offset"
    value = nodes[-1].output[0]
    if kind == np.float16:
        value = _cast(onnx, nodes, value, onnx.TensorProto.FLOAT16)
    pairs = zip(network.convolutions, network.activations, strict=True)
    for layer, activation in pairs:
        weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
        nodes += [_copy(layer.node, value, weight, bias), _copy(activation)]
        value = activation.output[0]
    classifier = network.classifier
    features = network.flatten.output[0]
    inputs = (features, f"{classifier.name}.weight", f"{classifier.name}.bias")
    nodes += [_copy(network.average), _copy(network.flatten), _copy(classifier.node, *inputs)]
    value = classifier.node.output[0]
    if kind == np.float16:
        features = _cast(onnx, nodes, features, onnx.TensorProto.FLOAT)
        value = _cast(onnx, nodes, value, onnx.TensorProto.FLOAT)
    nodes.append(_copy(network.head[0], value, *_own(network.head[0])))
    nodes += [_copy(node, node.input[0], *_own(node)) for node in network.head[1:]]
    for name, values in network.head_constants.items():
        constants[_HEAD + name] = values
    graph = network.model.graph
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    _add_output(onnx, graph, features)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(values, name) for name, values in constants.items()
    )
    return bytes(network.model.SerializeToString(deterministic=True))


def _add_output(onnx: Any, graph: Any, name: str) -> None:
    """Describe a value as a further output."""
    kind = onnx.TensorProto.FLOAT
    graph.output.append(onnx.helper.make_tensor_value_info(name, kind, [1, "channels"]))


def _own(node: Any) -> list[str]:
    """The constants of a node of the head: always float32."""
    return [_HEAD + name for name in node.input[1:]]


def _copy(node: Any, *inputs: str) -> Any:
    """A copy of the node, with other inputs if given."""
    copy = type(node)()
    copy.CopyFrom(node)
    if inputs:
        copy.input[:] = inputs
    return copy


def _cast(onnx: Any, nodes: list[Any], value: str, to: int) -> str:
    """Append a cast of the value; returns the name of the result."""
    made = f"{value}.cast"
    nodes.append(onnx.helper.make_node("Cast", [value], [made], name=made, to=to))
    return made


def _narrow(values: NDArray[np.float32], kind: np.dtype[Any], name: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # refused just below, with the layer's name
        narrow: NDArray[Any] = values.astype(kind)
    if not np.isfinite(narrow).all():
        raise InputError(
            "weights too large for float16",
            where=name,
            got=float(np.abs(values).max()),
            fix="use backend: tensorrt-fp32",
        )
    return narrow

"""Writes an ONNX file as the onnx package does, to the byte, without that package.

A device that adds official weights to a family then needs neither onnx nor what comes with it
(37 MB on Debian 12, without tests). Numbers of fields and types are those of onnx.proto, which
never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.variants.protobuf import field

FLOAT, UINT8, FLOAT16 = 1, 2, 10
"""TensorProto.DataType."""

_DATA_TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.float16): FLOAT16}
_INT, _STRING, _INTS = 2, 3, 7  # AttributeProto.AttributeType

Attribute = int | str | Sequence[int]


def node(
    operator: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute]
) -> bytes:
    """A NodeProto with the name of its output. Numbers in attributes: from 0 on."""
    return b"".join(
        (
            *(field(1, each) for each in inputs),
            field(2, output),
            field(3, output),
            field(4, operator),
            *(field(5, _attribute(name, attributes[name])) for name in sorted(attributes)),
        )
    )


def tensor(name: str, values: NDArray[Any]) -> bytes:
    """A TensorProto of float32 or float16."""
    return b"".join(
        (
            *(field(1, length) for length in values.shape),
            field(2, _DATA_TYPES[values.dtype]),
            field(8, name),
            field(9, values.astype(values.dtype.newbyteorder("<")).tobytes()),
        )
    )


def value_info(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """The ValueInfoProto of an input or output; a side of unknown length has a name instead."""
    sides = (field(1, field(2 if isinstance(side, str) else 1, side)) for side in shape)
    tensor_type = field(1, kind) + field(2, b"".join(sides))
    return field(1, name) + field(2, field(1, tensor_type))


def model(
    name: str,
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    input_: bytes,
    output: bytes,
    *,
    ir_version: int,
    opset: int,
) -> bytes:
    """A ModelProto with a graph of one input and one output."""
    graph = b"".join(
        (
            *(field(1, each) for each in nodes),
            field(2, name),
            *(field(5, each) for each in tensors),
            field(11, input_),
            field(12, output),
        )
    )
    opset_import = field(1, "") + field(2, opset)
    return b"".join(
        (field(1, ir_version), field(2, "edged"), field(7, graph), field(8, opset_import))
    )


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        content, kind = field(3, value), _INT
    elif isinstance(value, str):
        content, kind = field(4, value), _STRING
    else:
        content, kind = b"".join(field(8, each) for each in value), _INTS
    return field(1, name) + content + field(20, kind)

"""The pooled features of a network: what its classifier sees, and a taught head as well.

They are an inner value of the unchanged file. A runtime gives them as a second output once the file
describes them as one: 31 bytes, appended in memory. So file, hash, golden scores, profile and
engines stay those of the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edged.errors import InputError
from edged.variants.protobuf import field, fields

# Fields of onnx.proto3, whose numbers are stable.
_GRAPH, _NODE, _OUTPUT = 7, 1, 12
_NODE_OUTPUT, _NODE_OPERATOR = 2, 4

_FLATTEN = b"Flatten"
_FLOAT = b"\x08\x01"
"""TensorProto.DataType."""
_ONE = b"\x08\x01"
"""The size of a dimension."""


def with_features(model: bytes) -> bytes:
    """The ONNX file with its pooled features, float32 (1, channels), described as another output.

    They are the output of the last Flatten, whose name they keep: `features` in networks that edged
    wrote, INT8 ones too. Raises InputError for a network that has none.
    """
    return model + _described(features_name(model))


def features_name(model: bytes) -> str:
    """The name of the pooled features in the file; InputError for a network that has none."""
    found = None
    try:
        for graph in _messages(memoryview(model), _GRAPH):
            for node in _messages(graph, _NODE):
                if next(_messages(node, _NODE_OPERATOR), b"") == _FLATTEN:
                    found = str(next(_messages(node, _NODE_OUTPUT)), "utf-8")
    except (IndexError, ValueError, StopIteration):
        found = None
    if not found:
        raise no_features()
    return found


def no_features(path: Path | None = None) -> InputError:
    return InputError(
        "the network has no pooled features: no Flatten before its classifier",
        where=path,
        fix="use a network that edged models import or edged models pull has written",
    )


def _messages(content: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in fields(content):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _described(name: str) -> bytes:
    """A part of a model that adds the output to its graph, as such parts are merged when read."""
    shape = field(1, _ONE) + field(1, field(2, b"C"))
    kind = field(1, _FLOAT + field(2, shape))
    return field(_GRAPH, field(_OUTPUT, field(1, name) + field(2, kind)))

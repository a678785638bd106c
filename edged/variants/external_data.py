"""Detects ONNX files with external data, before a runtime opens them.

A runtime would open any file that such a file names, relative to the working directory. Networks of
a family contain all their weights. Reads only the structure of the protocol buffer that leads to
tensors, so that devices do not need the onnx package.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _GROUP, _FIXED32 = 0, 1, 2, (3, 4), 5

# Messages by name, and of each the fields that lead on to tensors (onnx.proto3, stable numbers).
_MESSAGES = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse",
    },
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}  # fmt: skip
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a Tensor
_DEEPEST = 100


def has_external_data(model: bytes) -> bool:
    """Also True for messages nested deeper than in any network. False for other content, which
    runtimes reject themselves."""
    waiting = [("Model", memoryview(model), 0)]
    try:
        while waiting:
            message, content, depth = waiting.pop()
            leads = _MESSAGES[message]
            for number, value in fields(content):
                if message == "Tensor" and number in (_EXTERNAL_DATA, _DATA_LOCATION) and value:
                    return True
                if isinstance(value, memoryview) and number in leads:
                    if depth >= _DEEPEST:
                        return True
                    waiting.append((leads[number], value, depth + 1))
    except (IndexError, ValueError):
        return False
    return False


def fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field. Raises ValueError or IndexError where it ends."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind in _GROUP:  # long out of use, but parsers skip them; what is inside comes next
            continue
        value: int | memoryview
        if kind == _VARINT:
            value, at = _varint(content, at)
        else:
            if kind == _BYTES:
                size, at = _varint(content, at)
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
            else:
                raise ValueError("no such wire type")
            value, at = content[at : at + size], at + size
            if at > len(content):
                raise ValueError("ends inside a field")
        yield (key & 0xFFFFFFFF) >> 3, value


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("no such number")

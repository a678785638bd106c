"""Detects ONNX files with external data, before a runtime opens them.

A runtime would open any file that such a file names, relative to the working directory. Networks of
a family contain all their weights. Reads only the structure of the protocol buffer that leads to
tensors, so that devices do not need the onnx package.
"""

from __future__ import annotations

from edged.variants.protobuf import fields

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

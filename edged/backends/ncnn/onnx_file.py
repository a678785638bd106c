"""The nodes and constants of an ONNX file, read without the onnx package.

Reads only what edged's own networks consist of; anything else raises ValueError or IndexError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.variants.protobuf import fields

FLOAT = 1
"""TensorProto.DataType, as a Cast names it."""

_KINDS: Mapping[int, str] = {FLOAT: "<f4", 2: "u1", 3: "i1", 6: "<i4", 10: "<f2"}

Constants = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, which has one output. attributes: whole numbers, lists of them, or text."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


def read_graph(model: bytes) -> tuple[list[Node], dict[str, NDArray[Any]]]:
    """The nodes in their order, and the constants by name."""
    (graph,) = (value for number, value in fields(memoryview(model)) if number == 7)
    nodes: list[Node] = []
    constants: dict[str, NDArray[Any]] = {}
    for number, value in fields(_message(graph)):
        if number == 1:
            nodes.append(_node(_message(value)))
        elif number == 5:
            name, values = _tensor(_message(value))
            constants[name] = values
    return nodes, constants


def _node(content: memoryview) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Any] = {}
    operator = ""
    for number, value in fields(content):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            operator = _text(value)
        elif number == 5:
            name, setting = _attribute(_message(value))
            attributes[name] = setting
    (output,) = outputs
    return Node(operator, tuple(inputs), output, attributes)


def _attribute(content: memoryview) -> tuple[str, int | list[int] | str]:
    name = ""
    found: int | str | None = None
    numbers: list[int] = []
    for number, value in fields(content):
        if number == 1:
            name = _text(value)
        elif number == 3:
            found = _number(value)
        elif number == 4:
            found = _text(value)
        elif number == 8:
            numbers.append(_number(value))
        elif number != 20:  # its type, which follows from the field
            raise ValueError("an attribute of another type")
    return name, numbers if found is None else found


def _tensor(content: memoryview) -> tuple[str, NDArray[Any]]:
    name, kind, raw = "", 0, memoryview(b"")
    shape: list[int] = []
    for number, value in fields(content):
        if number == 1:
            shape.append(_number(value))
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _message(value)
    if kind not in _KINDS or prod(shape) * np.dtype(_KINDS[kind]).itemsize != len(raw):
        raise ValueError("a constant of another type or size")
    return name, np.frombuffer(raw, _KINDS[kind]).reshape(shape)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("something else in place of a number")
    return value


def _text(value: int | memoryview) -> str:
    return str(_message(value), "utf-8")


def require(holds: object) -> None:
    """Raise ValueError if it does not hold."""
    if not holds:
        raise ValueError

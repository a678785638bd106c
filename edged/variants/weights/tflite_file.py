"""Reads a TensorFlow Lite file: tensors, operators and their connections."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import read_file
from edged.errors import InputError, MissingPackageError, cannot_read
from edged.printable import printable

FILE_IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every TensorFlow Lite file."""

_MOST_BYTES = 256 << 20
_MOST_PARTS = 10_000  # tensors or operators; bounds the time spent on a damaged length

_OPTIONS = {
    "CONV_2D": (
        "Conv2DOptions",
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor")
        + ("FusedActivationFunction",),
    ),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor")
        + ("FusedActivationFunction", "DepthMultiplier"),
    ),
    "AVERAGE_POOL_2D": (
        "Pool2DOptions",
        ("FilterHeight", "FilterWidth", "FusedActivationFunction"),
    ),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "DIV": ("DivOptions", ("FusedActivationFunction",)),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "SUB": ("SubOptions", ("FusedActivationFunction",)),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """type: the schema's name, `FLOAT32`. data: the bytes of a constant, None where computed.

    A stored integer stands for scale * (integer - zero point), with one scale for the whole
    tensor or one for each index along `axis`; both are empty for floating-point numbers.
    """

    shape: tuple[int, ...]
    type: str
    data: NDArray[np.uint8] | None
    scales: NDArray[np.float64]
    zero_points: NDArray[np.int64]
    axis: int


@dataclass(frozen=True, slots=True)
class Operator:
    """inputs, outputs: indices of tensors, -1 where an optional one is absent."""

    number: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Graph:
    path: Path
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: int
    output: int
    outputs: int = 1
    """Number of outputs; a classifier has one."""


def read_graph(path: Path) -> Graph:
    """Raises InputError for an empty, foreign or damaged file, MissingPackageError without the
    tflite package."""
    try:
        data = read_file(path, _MOST_BYTES + 1)
    except OSError as error:
        raise cannot_read(path, error) from None
    if len(data) > _MOST_BYTES:
        raise InputError("is larger than any MobileNet v1", where=path, got="over 256 MiB")
    if not data:
        raise InputError("is empty", where=path, fix="download the file again")
    if data[4:8] != FILE_IDENTIFIER:
        raise InputError(
            "is not a TensorFlow Lite file", where=path, got=f"first bytes {data[:8]!r}"
        )
    try:
        import tflite
    except ImportError:
        raise MissingPackageError(
            "reading a TensorFlow Lite file needs the tflite package",
            "pip install tflite",
            in_deb=True,
        ) from None
    try:
        _check_attachment(data)
        return _graph(tflite, path, data)
    except (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError):
        # The accessors raise these, or return None, for an offset outside the file.
        raise InputError(
            "is a truncated or damaged TensorFlow Lite file",
            where=path,
            got=f"{len(data)} bytes",
            fix="download the file again",
        ) from None


def _check_attachment(data: bytes) -> None:
    """Raise ValueError for a truncated zip archive after the model.

    Official files append their labels as one; truncated there, the model would still parse.
    """
    for match in re.finditer(rb"PK\x03\x04.{22}(..)..", data, re.DOTALL):
        name = data[match.end() :][: int.from_bytes(match[1], "little")]
        if name and name.isascii() and name.decode().isprintable():
            if not zipfile.is_zipfile(io.BytesIO(data)):
                raise ValueError("the archive behind the model does not end")
            return


def _graph(tflite: Any, path: Path, data: bytes) -> Graph:
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    if max(graph.TensorsLength(), graph.OperatorsLength()) > _MOST_PARTS:
        raise ValueError("impossible length")
    types, kinds = _names(tflite.TensorType), _names(tflite.BuiltinOperator)
    tensors = tuple(
        _tensor(model, graph.Tensors(index), types) for index in range(graph.TensorsLength())
    )
    operators = tuple(
        _operator(tflite, model, number, graph.Operators(number), kinds)
        for number in range(graph.OperatorsLength())
    )
    (input_,), ends = graph.InputsAsNumpy().tolist(), graph.OutputsAsNumpy().tolist()
    used = [index for operator in operators for index in operator.inputs + operator.outputs]
    if not all(-1 <= index < len(tensors) for index in [*used, input_, *ends]):
        raise IndexError("no such tensor")
    return Graph(path, tensors, operators, input_, ends[0], len(ends))


def _names(enumeration: Any) -> dict[int, str]:
    return {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}


def _tensor(model: Any, tensor: Any, types: Mapping[int, str]) -> Tensor:
    shape = tuple(tensor.ShapeAsNumpy().tolist()) if tensor.ShapeLength() else ()
    buffer = model.Buffers(tensor.Buffer())
    quantisation = tensor.Quantization()
    scales, zero_points, axis = np.zeros(0), np.zeros(0, np.int64), 0
    if quantisation is not None and quantisation.ScaleLength():
        scales = quantisation.ScaleAsNumpy().astype(np.float64)
        zero_points = np.zeros(scales.shape, np.int64)
        if quantisation.ZeroPointLength():
            zero_points = np.broadcast_to(quantisation.ZeroPointAsNumpy(), scales.shape)
        axis = quantisation.QuantizedDimension()
        if scales.size > 1 and scales.size != shape[axis]:
            raise ValueError("not one scale for each channel")
    return Tensor(
        shape,
        types.get(tensor.Type(), f"type {tensor.Type()}"),
        buffer.DataAsNumpy() if buffer.DataLength() else None,
        scales,
        zero_points,
        axis,
    )


def _operator(
    tflite: Any, model: Any, number: int, operator: Any, kinds: Mapping[int, str]
) -> Operator:
    codes = model.OperatorCodes(operator.OpcodeIndex())
    # Two fields for one code: files from before 2020 fill only the older, narrower one.
    code = max(codes.BuiltinCode(), codes.DeprecatedBuiltinCode())
    kind = kinds.get(code, f"operator code {code}")
    if kind == "CUSTOM" and codes.CustomCode():
        kind = printable(codes.CustomCode().decode(errors="replace"))
    options: dict[str, float] = {}
    if kind in _OPTIONS:
        table, names = _OPTIONS[kind]
        accessor, position = getattr(tflite, table)(), operator.BuiltinOptions()
        if position is not None:  # optional for ADD and similar operators
            accessor.Init(position.Bytes, position.Pos)
            options = {name: getattr(accessor, name)() for name in names}
    return Operator(
        number,
        kind,
        tuple(operator.InputsAsNumpy().tolist()) if operator.InputsLength() else (),
        tuple(operator.OutputsAsNumpy().tolist()) if operator.OutputsLength() else (),
        options,
    )

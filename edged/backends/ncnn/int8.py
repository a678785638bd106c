"""An INT8 network of edged's (qdq.runtime_form) as the float network that it stands for.

ncnn's own INT8 form has float values between its layers: what is left of the network's 8-bit
values are their limits, and the weights of each layer as they were rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.backends.ncnn.onnx_file import FLOAT, Node, require

_D, _Q = "DequantizeLinear", "QuantizeLinear"
_OPERATORS = re.compile(
    f"Transpose {_D}(?: {_D} {_D} Conv {_Q} {_D})+ GlobalAveragePool Flatten {_Q} {_D}"
    f" {_D} {_D} Gemm(?: (?:Clip|Relu|Gemm|Softmax|Sigmoid))*"
)

_SMALLEST = np.finfo(np.float32).tiny
"""Of a number whose reciprocal is finite."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """A layer's weights: steps from -127 to 127, and the size of a step for each output channel.

    highest: the largest value that the layer is given; the smallest is 0.
    """

    steps: NDArray[np.int8]
    scale: NDArray[np.float32]
    highest: float


def is_int8(nodes: Sequence[Node]) -> bool:
    return any(node.operator == _Q for node in nodes)


def float_form(
    nodes: Sequence[Node], constants: dict[str, NDArray[Any]]
) -> tuple[list[Node], Mapping[str, Rounded]]:
    """The float network, whose constants are added, and its rounded weights by name.

    Saturation is its activation. Raises ValueError, IndexError or KeyError if the order, the types
    or the scales are not those of an INT8 network of edged's; shapes are for the caller to check.
    """
    require(_OPERATORS.fullmatch(" ".join(node.operator for node in nodes)))
    form = _FloatForm(constants)
    with np.errstate(over="ignore"):  # an infinite limit is refused with the float network
        for before, node in zip([nodes[0], *nodes], nodes, strict=False):
            if node.operator == _Q:
                form.saturate(node)
            elif node.operator != _D:
                form.keep(node)
            elif before.operator == _Q:
                require(node.inputs == (before.output, *before.inputs[1:]) and not node.attributes)
                form.rename(node)
            elif before.operator == "Transpose":
                form.pixels(node)
            else:
                form.weights(node)
    return form.nodes, form.rounded


class _FloatForm:
    def __init__(self, constants: dict[str, NDArray[Any]]) -> None:
        self._constants = constants
        self._names: dict[str, str] = {}
        self._highest = 0.0
        self.nodes: list[Node] = []
        self.rounded: dict[str, Rounded] = {}

    def keep(self, node: Node) -> None:
        inputs = tuple(self._names.get(name, name) for name in node.inputs)
        self.nodes.append(Node(node.operator, inputs, node.output, node.attributes))

    def rename(self, node: Node) -> None:
        """Its output is the value that it is given."""
        self._names[node.output] = self._names.get(node.inputs[0], node.inputs[0])

    def pixels(self, node: Node) -> None:
        """(pixel - zero) * scale, as a float network writes it."""
        zero = self._zero(node, np.uint8)
        scale = _scales(self._constants[node.inputs[1]], ())
        cast, scaled = f"{node.output}.cast", f"{node.output}.scaled"
        offset = self._constant(f"{node.output}.offset", -zero * scale)
        self.keep(Node("Cast", node.inputs[:1], cast, {"to": FLOAT}))
        self.keep(Node("Mul", (cast, node.inputs[1]), scaled, {}))
        self.keep(Node("Add", (scaled, offset), node.output, {}))
        self._highest = float(255 * scale)

    def saturate(self, node: Node) -> None:
        require(self._zero(node, np.int8) == -128)
        highest = 255 * _scales(self._constants[node.inputs[1]], ())
        require(highest >= _SMALLEST)
        if self.nodes[-1].operator == "Conv":
            low = self._constant(f"{node.output}.low", 0.0)
            high = self._constant(f"{node.output}.high", highest)
            self.keep(Node("Clip", (node.inputs[0], low, high), node.output, {}))
            self._highest = float(highest)
        else:  # the average of values that are within their limits
            self.rename(node)

    def weights(self, node: Node) -> None:
        """Weights, or a bias."""
        steps, scale, zeros = (self._constants[name] for name in node.inputs)
        require(node.attributes == {"axis": 0} and steps.dtype in (np.int8, np.int32))
        require(zeros.dtype == steps.dtype and zeros.shape == steps.shape[:1] and not zeros.any())
        by_channel = _scales(scale, steps.shape[:1]).reshape(-1, *[1] * (steps.ndim - 1))
        self._constant(node.output, steps * by_channel)
        if steps.dtype == np.int8:
            require((steps > -128).all() and (scale >= _SMALLEST).all())
            self.rounded[node.output] = Rounded(steps, scale, self._highest)

    def _zero(self, node: Node, kind: type) -> int:
        zero = self._constants[node.inputs[2]]
        require(zero.dtype == kind and zero.shape == () and not node.attributes)
        return int(zero)

    def _constant(self, name: str, value: Any) -> str:
        require(name not in self._constants)
        self._constants[name] = np.asarray(value, np.float32)
        return name


def _scales(scale: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The scale, if it has that shape, is finite and positive."""
    require(scale.dtype == np.float32 and scale.shape == shape)
    require((np.isfinite(scale) & (scale > 0)).all())
    return scale

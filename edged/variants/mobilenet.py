"""MobileNet v1 as one parametric definition: its layers, and what they cost.

Source: Howard et al., "MobileNets" (arXiv 1704.04861), tables 1 to 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from edged.errors import InputError

SMALLEST_WIDTH = 8
"""No layer is narrower than this, however small alpha is (the rule of TF-Slim's mobilenet_v1)."""
KERAS_SMALLEST_WIDTH = 1
"""Keras has no such rule: at alpha 0.1 its first layer has 3 channels."""

# (output channels at alpha 1, stride) of each block, a depthwise and a pointwise convolution.
_ENTRY = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
_MIDDLE = ((512, 1),) * 5  # the five that work on 14 x 14 x 512 at 224, dropped by the shallow body
_EXIT = ((1024, 2), (1024, 1))


class Body(str, Enum):
    """Kind of layers; all but SEPARABLE exist only to compare costs."""

    SEPARABLE = "separable"
    STANDARD = "standard"
    """Each depthwise and pointwise pair is one full 3 x 3 convolution."""
    SHALLOW = "shallow"
    """Without the five separable blocks that work on 14 x 14 x 512."""


class Kind(str, Enum):
    CONVOLUTION = "convolution"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution with TensorFlow's SAME padding, a bias (batch norm folded) and ReLU6."""

    name: str
    kind: Kind
    in_channels: int
    out_channels: int
    kernel: int
    stride: int

    @property
    def groups(self) -> int:
        return self.in_channels if self.kind is Kind.DEPTHWISE else 1

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(output channels, input channels per group, rows, columns)."""
        return (self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel)


@dataclass(frozen=True, slots=True)
class Architecture:
    """alpha: the width multiplier, in (0, 1]. classes: how many scores come out. hidden: widths of
    the dense layers before the classifier. narrowest: channels that every layer has at least."""

    alpha: float
    classes: int
    body: Body = Body.SEPARABLE
    hidden: tuple[int, ...] = ()
    narrowest: int = SMALLEST_WIDTH

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise InputError(
                "the width multiplier alpha must be above 0 and at most 1", got=self.alpha
            )
        if self.classes < 1:
            raise InputError("a network needs at least one class", got=self.classes)

    def width(self, channels: int) -> int:
        """Channels of a layer that has `channels` at alpha 1."""
        return max(self.narrowest, int(channels * self.alpha))

    @property
    def features(self) -> int:
        """Channels that the classifier sees, after the average over the picture."""
        return self.width(1024)

    def dense(self) -> tuple[tuple[str, int, int], ...]:
        """Name, inputs and outputs of `hidden1`, … and `classifier`."""
        widths = (self.features, *self.hidden, self.classes)
        names = (*(f"hidden{number}" for number, _ in enumerate(self.hidden, 1)), "classifier")
        return tuple(zip(names, widths, widths[1:], strict=False))

    def layers(self) -> tuple[Layer, ...]:
        """The convolutions from the picture on: `conv`, `block1.depthwise`, `block1.pointwise`, …

        The classifier that follows them is a (classes, features) matrix, not a layer here.
        """
        channels = self.width(32)
        layers = [Layer("conv", Kind.CONVOLUTION, 3, channels, kernel=3, stride=2)]
        middle = () if self.body is Body.SHALLOW else _MIDDLE
        for number, (full_width, stride) in enumerate(_ENTRY + middle + _EXIT, start=1):
            block, width = f"block{number}", self.width(full_width)
            if self.body is Body.STANDARD:
                layers.append(
                    Layer(f"{block}.convolution", Kind.CONVOLUTION, channels, width, 3, stride)
                )
            else:
                layers += [
                    Layer(f"{block}.depthwise", Kind.DEPTHWISE, channels, channels, 3, stride),
                    Layer(f"{block}.pointwise", Kind.POINTWISE, channels, width, 1, 1),
                ]
            channels = width
        return tuple(layers)


def recognise(layers: Sequence[Layer], classes: int) -> Architecture:
    """The architecture with exactly these layers in this order, ignoring names.

    alpha is the shortest decimal that gives their widths. Raises InputError with the first layer
    that differs from MobileNet v1.
    """
    bodies = {len(Architecture(1.0, classes, body).layers()): body for body in Body}
    if len(layers) not in bodies:
        raise InputError(
            "not MobileNet v1, which has 27 convolutions before its classifier", got=len(layers)
        )
    body, features = bodies[len(layers)], layers[-1].out_channels
    if not 1 <= features <= 1024:
        raise InputError(
            "not MobileNet v1, whose classifier sees 1 to 1024 features",
            where=layers[-1].name,
            got=features,
        )
    candidates = [
        Architecture(
            -(-features * 10**digits // 1024) / 10**digits, classes, body, narrowest=narrowest
        )
        for narrowest in (KERAS_SMALLEST_WIDTH, SMALLEST_WIDTH)
        for digits in range(6, 0, -1)
    ][::-1]
    for architecture in candidates:
        if not _differences(layers, architecture):
            return architecture
    given, expected = _differences(layers, candidates[5])[0]
    raise InputError(
        f"not MobileNet v1, which has a {_shape_of(expected)} here",
        where=given.name,
        got=_shape_of(given),
    )


def _differences(layers: Sequence[Layer], architecture: Architecture) -> list[tuple[Layer, Layer]]:
    pairs = zip(layers, architecture.layers(), strict=True)
    return [pair for pair in pairs if replace(pair[0], name=pair[1].name) != pair[1]]


def _shape_of(layer: Layer) -> str:
    return (
        f"{layer.kernel}x{layer.kernel} {layer.kind.value} of stride {layer.stride}"
        f" from {layer.in_channels} to {layer.out_channels} channels"
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-adds of one picture and parameters, as the paper counts them (see `cost`)."""

    multiply_adds: int
    parameters: int
    pointwise_multiply_adds_share: float
    pointwise_parameters_share: float


def cost(architecture: Architecture, resolution: int) -> Cost:
    """Count one picture of resolution x resolution.

    The convention that reproduces the paper's tables 2 to 7: multiply-adds and parameters of the
    convolutions' kernels and of the classifier's matrix; neither biases nor batch norm; each
    stride-2 layer halves its side rounding up (SAME padding). The shares are those of the
    pointwise convolutions alone, the classifier not being one of them. Only the standard body's
    multiply-adds are published without the classifier's million, which is 0.02 % of them.
    """
    if resolution < 1:
        raise InputError("a resolution must be at least one pixel", got=resolution)
    multiply_adds = parameters = sum(seen * made for _, seen, made in architecture.dense())
    pointwise_multiply_adds = pointwise_parameters = 0
    side = resolution
    for layer in architecture.layers():
        side = -(-side // layer.stride)
        weights = layer.out_channels * (layer.in_channels // layer.groups) * layer.kernel**2
        parameters += weights
        multiply_adds += weights * side**2
        if layer.kind is Kind.POINTWISE:
            pointwise_parameters += weights
            pointwise_multiply_adds += weights * side**2
    return Cost(
        multiply_adds,
        parameters,
        pointwise_multiply_adds / multiply_adds,
        pointwise_parameters / parameters,
    )


@dataclass(frozen=True, slots=True)
class Published:
    """A row of the paper: millions of multiply-adds and of parameters, to the digits printed."""

    architecture: Architecture
    resolution: int
    multiply_adds_millions: float
    parameters_millions: float


PUBLISHED: tuple[Published, ...] = (
    Published(Architecture(1.0, 1000), 224, 569, 4.2),
    Published(Architecture(0.75, 1000), 224, 325, 2.6),
    Published(Architecture(0.5, 1000), 224, 149, 1.3),
    Published(Architecture(0.25, 1000), 224, 41, 0.5),
    Published(Architecture(1.0, 1000), 192, 418, 4.2),
    Published(Architecture(1.0, 1000), 160, 290, 4.2),
    Published(Architecture(1.0, 1000), 128, 186, 4.2),
    Published(Architecture(1.0, 1000, Body.STANDARD), 224, 4866, 29.3),
    Published(Architecture(1.0, 1000, Body.SHALLOW), 224, 307, 2.9),
)

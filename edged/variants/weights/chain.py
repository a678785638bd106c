"""Converts the steps of another framework's network, in order, to MobileNet v1 weights.

The readers (tflite.py, keras.py) pass each step of their file to a chain, which folds batch norm
and preprocessing into weights and refuses what MobileNet v1 does not have. Both readers therefore
accept the same networks.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError
from edged.variants.mobilenet import Architecture, Kind, Layer, recognise
from edged.variants.weights.onnx_builder import (
    Activation,
    ImportedWeights,
    InputRange,
    Offset,
    composed,
)

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

TEACH = "train MobileNet v1 on your pictures instead: models/README.md says how"
_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in grey (ITU-R BT.601), as in TensorFlow and OpenCV."""
_LARGEST_INPUT = 16.0
"""Largest value expected after a network's own preprocessing."""


class _Stage(Enum):
    INPUT = 0
    BODY = 1
    POOLED = 2
    FINISHED = 3


class Chain:
    """Takes steps in order; each method raises InputError for an unsupported step.

    path: the file, for messages. where: the step's name in the file. resolution: the picture side
    in pixels that the file states, or None.
    """

    def __init__(self, path: Path, resolution: int | None) -> None:
        self.path = path
        self.resolution = self._side = resolution
        self._layers: list[Layer] = []
        self._dense: list[tuple[str, Wide, Wide]] = []
        self._parameters: list[tuple[Wide, Wide]] = []
        self._activation: Activation | None = None
        self._hidden: Activation | None = None
        self._stage = _Stage.INPUT
        self._input: tuple[Wide, Wide] = (np.ones(1), np.zeros(1))
        self._pending: tuple[Wide, Wide] | None = None
        self._flat = ""
        self._open = False  # the activation of the last layer has not come yet
        self._padded = self._even_sizes = False
        self._sigmoid: bool | None = None
        self._notes: list[str] = []

    def refuse(
        self, where: str, what: str, got: object = None, fix: str | None = None
    ) -> InputError:
        """what: a clause whose subject is the network, beginning with a verb."""
        where = f"{self.path}, {where}"
        return InputError(f"not MobileNet v1: it {what}", where=where, got=got, fix=fix)

    def note(self, sentence: str) -> None:
        self._notes.append(sentence)

    def resized(self, side: int) -> None:
        """The file's first step resizes pictures to this side."""
        self.resolution = self._side = side

    def arithmetic(
        self, where: str, operation: str, number: NDArray[np.float64], *, first: bool
    ) -> None:
        """operation: `mul`, `add`, `sub` or `div`. first: the number is the second operand."""
        if operation == "mul":
            self.affine(where, number, 0.0)
        elif operation == "add":
            self.affine(where, 1.0, number)
        elif operation == "sub":
            self.affine(where, *((1.0, -number) if first else (-1.0, number)))
        elif first and number.all():
            self.affine(where, 1 / number, 0.0)
        else:
            raise self.refuse(where, "divides by the picture or by zero")

    def affine(self, where: str, gain: object, shift: object) -> None:
        """value * gain + shift (batch norm, preprocessing); scalars or one number per channel."""
        scale, offset = (np.asarray(each, np.float64).reshape(-1) for each in (gain, shift))
        if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            raise self.refuse(where, "scales or shifts by values that are not finite")
        if self._stage is _Stage.FINISHED:
            raise self.refuse(where, "has layers after its softmax or sigmoid")
        if self._stage is _Stage.INPUT:
            self._input = _after(self._input, scale, offset)
        elif self._open:
            dense = self._stage is _Stage.POOLED
            weight, bias = self._dense[-1][1:] if dense else self._parameters[-1]
            self._check_channels(where, len(bias), scale, offset)
            scale, offset = (np.broadcast_to(each, bias.shape) for each in (scale, offset))
            weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
            bias = bias * scale + offset
            if dense:
                self._dense[-1] = (self._dense[-1][0], weight, bias)
            else:
                self._parameters[-1] = (weight, bias)
        else:
            pending = self._pending or (np.ones(1), np.zeros(1))
            self._pending = _after(pending, scale, offset)

    def padding(self, where: str, sides: object) -> None:
        """Rows above and below, columns left and right."""
        if sides != [[0, 1], [0, 1]] or self._padded or self._stage is _Stage.POOLED:
            raise self.refuse(where, "does not pad by one row below and one column right", sides)
        self._padded = True

    def convolution(
        self,
        where: str,
        kind: Kind,
        weight: Array,
        bias: Array | None,
        stride: tuple[int, int],
        dilation: tuple[int, int],
        *,
        same: bool,
    ) -> None:
        """weight: (output, input / groups, rows, columns). same: pads as TensorFlow's SAME."""
        channels, depth, rows, columns = weight.shape
        if rows != columns or stride[0] != stride[1]:
            raise self.refuse(where, "treats height and width differently")
        if dilation != (1, 1):
            raise self.refuse(where, "uses a dilated convolution")
        if self._stage is _Stage.POOLED and rows == 1 and kind is not Kind.DEPTHWISE:
            if self._padded:
                raise self.refuse(where, "has padding after the global average")
            self.dense(where, weight[:, :, 0, 0], bias)
            return
        self._close()
        if self._stage not in (_Stage.INPUT, _Stage.BODY):
            raise self.refuse(where, "has a convolution after the global average")
        if self._pending is not None:
            raise self.refuse(where, "scales or shifts values before a convolution")
        if self._padded:
            same, self._even_sizes = not same and rows == 3 and stride[0] == 2, True
            self._padded = False
        if not same and rows > 1:
            raise self.refuse(where, "does not pad as TensorFlow's SAME does")
        if self._stage is _Stage.INPUT:
            weight = self._coloured(where, weight)
            depth = weight.shape[1]
        if kind is Kind.DEPTHWISE:
            depth = channels
        elif rows == 1:
            kind = Kind.POINTWISE
        self._layers.append(Layer(where, kind, depth, channels, rows, stride[0]))
        wide = np.zeros(channels) if bias is None else bias.astype(np.float64)
        self._parameters.append((weight.astype(np.float64), wide))
        self._side = None if self._side is None else -(-self._side // stride[0])
        self._stage, self._open = _Stage.BODY, True

    def dense(self, where: str, weight: Array, bias: Array | None) -> None:
        """weight: (outputs, inputs)."""
        if self._stage is _Stage.BODY and self._layers:
            side = "" if self._side is None else f" {self._side}x{self._side}"
            raise self.refuse(
                where,
                f"has a dense layer on the{side} map without a global average before it",
                self._flat or None,
                fix="put GlobalAveragePooling2D before the dense layers and train them again; "
                f"or {TEACH}",
            )
        if self._stage is not _Stage.POOLED:
            raise self.refuse(where, "has a dense layer before a convolution or after the scores")
        matrix = weight.astype(np.float64)
        added = np.zeros(len(matrix)) if bias is None else bias.astype(np.float64)
        inputs = self._layers[-1].out_channels if not self._dense else len(self._dense[-1][2])
        if matrix.shape[1] != inputs:
            raise self.refuse(where, f"has a dense layer without {inputs} inputs", matrix.shape)
        if self._pending is not None:
            gain, shift = self._pending
            self._check_channels(where, inputs, gain, shift)
            added = added + matrix @ np.broadcast_to(shift, inputs)
            matrix = matrix * gain
            self._pending = None
        if self._open and self._dense:  # no activation in between: multiply the matrices
            _, before, bias_before = self._dense.pop()
            matrix, added = matrix @ before, matrix @ bias_before + added
        self._dense.append((where, matrix, added))
        self._open = True

    def function(self, where: str, name: str) -> None:
        """An activation: relu, relu6, linear, softmax or sigmoid."""
        if name == "linear":
            return
        if name in ("softmax", "sigmoid"):
            if not self._dense or not self._open or self._stage is not _Stage.POOLED:
                raise self.refuse(where, f"has {name} that does not follow a dense layer")
            if self._pending is not None:
                raise self.refuse(where, "scales or shifts its scores")
            self._sigmoid, self._stage, self._open = name == "sigmoid", _Stage.FINISHED, False
            return
        if name not in ("relu", "relu6"):
            raise self.refuse(
                where,
                "uses an activation other than ReLU, ReLU6 and a final softmax or sigmoid",
                name,
                fix=TEACH,
            )
        found = Activation(name)
        if not self._open:
            raise self.refuse(where, f"has {name} that does not follow a layer")
        dense = bool(self._dense)
        known = self._hidden if dense else self._activation
        if known not in (None, found):
            raise self.refuse(where, "mixes ReLU and ReLU6")
        if dense:
            self._hidden = found
        else:
            self._activation = found
        self._open = False

    def average(self, where: str) -> None:
        """The global average."""
        if self._stage is _Stage.POOLED and not self._dense:
            return  # the map is 1x1: no effect
        if self._stage is not _Stage.BODY or self._padded:
            raise self.refuse(where, "has an average that does not follow the convolutions")
        if self._flat:
            raise self.refuse(self._flat, "has a reshape before the global average")
        self._close()
        self._stage, self._side = _Stage.POOLED, 1

    def window(self, where: str, window: tuple[int, int]) -> None:
        """An average over a window, which must be the whole map."""
        side = self._side
        if window != (side, side):
            self._recognised(1)  # reports an unexpected stride first
            whole = "map, whose size is unknown" if side is None else f"{(side, side)} map"
            raise self.refuse(where, f"does not average the whole {whole}", window)
        self.average(where)

    def flatten(self, where: str) -> None:
        if self._stage is _Stage.INPUT:
            raise self.refuse(where, "reshapes its input")
        self._flat = self._flat or where

    def finish(
        self, source: str, stated: tuple[float, float] | None, usual: InputRange
    ) -> ImportedWeights:
        """stated: scale and offset from a pixel to the file's input. usual: the range assumed where
        the file states none and does not preprocess its input."""
        if self._stage is _Stage.BODY or not self._dense:
            raise InputError(
                "the network ends before its classifier",
                where=self.path,
                fix="name the file with the classifier second, or one without no_top in its name",
            )
        dense = [(matrix, bias) for _, matrix, bias in self._dense]
        if self._pending is not None or (self._stage is _Stage.POOLED and not self._open):
            raise self.refuse(
                self._dense[-1][0], "does not end in a dense layer, softmax or sigmoid"
            )
        if self._sigmoid is None:
            self._sigmoid = len(dense[-1][1]) == 1
            self._notes.append(
                "its last layer has no activation: "
                f"{'sigmoid' if self._sigmoid else 'softmax'} is assumed"
            )
        if len(dense[-1][1]) == 1:
            # softmax(0, x) is (1 - sigmoid(x), sigmoid(x)).
            matrix, bias = dense[-1]
            dense[-1] = (np.vstack([0 * matrix, matrix]), np.append(0.0, bias))
            if not self._sigmoid:
                raise self.refuse(
                    self._dense[-1][0],
                    "has a softmax over a single class: its score is 1 for every picture",
                    fix="train it with sigmoid, or with softmax over two classes",
                )
            self._sigmoid = False
            self._notes.append(
                "its single score is that of the second label; the first label gets 1 minus it"
            )
        elif self._sigmoid:
            self._notes.append("class scores are independent (sigmoid) and need not add up to 1")
        architecture = self._recognised(len(dense[-1][1]))
        hidden = tuple(len(bias) for _, bias in dense[:-1])
        architecture = replace(architecture, hidden=hidden)
        gain, inner = self._normalisation()
        first = self._parameters[0][0]
        self._parameters[0] = (first * gain.reshape(1, -1, 1, 1), self._parameters[0][1])
        weights: dict[str, Array] = {}
        names = [*(layer.name for layer in architecture.layers())]
        names += [name for name, _, _ in architecture.dense()]
        with np.errstate(over="ignore", invalid="ignore"):  # check_weights refuses what results
            for name, (weight, bias) in zip(names, [*self._parameters, *dense], strict=True):
                weights[f"{name}.weight"] = np.ascontiguousarray(weight, np.float32)
                weights[f"{name}.bias"] = bias.astype(np.float32)
        assumed = None
        if stated is None:
            assumed = usual
            if inner != (1.0, 0.0):
                large = 255 * abs(inner[0]) > _LARGEST_INPUT
                assumed = InputRange.UNIT if large else InputRange.PIXELS
            stated = assumed.scale, assumed.offset
        scale, offset = composed(inner, *stated)
        return ImportedWeights(
            architecture,
            weights,
            scale,
            offset,
            self._activation or Activation.RELU6,
            self.resolution,
            source,
            hidden_activation=self._hidden or Activation.RELU,
            independent=self._sigmoid,
            inner=inner,
            assumed=assumed,
            even_sizes=self._even_sizes,
            notes=tuple(self._notes),
        )

    def _recognised(self, classes: int) -> Architecture:
        try:
            return recognise(self._layers, classes=classes)
        except InputError as error:
            where = f"{self.path}, {error.where}" if error.where else self.path
            raise InputError(error.what, where=where, got=error.got, fix=TEACH) from None

    def _close(self) -> None:
        if self._open:
            raise self.refuse(
                self._layers[-1].name, "has a convolution that is not followed by ReLU6 or ReLU"
            )

    def _check_channels(self, where: str, channels: int, *values: Wide) -> None:
        for each in values:
            if len(each) not in (1, channels):
                raise self.refuse(where, f"does not scale or shift {channels} channels", len(each))

    def _coloured(self, where: str, weight: Array) -> Array:
        """The first kernel for RGB pictures; a kernel for grey is applied to their luma."""
        depth = weight.shape[1]
        if depth == 1:
            self._notes.append("the network takes grey pictures and converts colours itself")
            weight = weight * _LUMA.reshape(1, 3, 1, 1)
        elif depth != 3:
            raise self.refuse(where, "takes neither RGB nor grey pictures", f"{depth} channels")
        self._check_channels(where, depth, *self._input)
        return weight

    def _normalisation(self) -> tuple[Wide, tuple[float, Offset]]:
        """A gain for each channel of the first kernel, and the common gain and shift."""
        gain, shift = (np.broadcast_to(each, 3) for each in self._input)
        if not gain.all():
            raise InputError("the preprocessing multiplies a colour by 0", where=self.path)
        relative = gain / gain[0]
        red, green, blue = (float(each) for each in shift / relative)
        same = np.allclose((green, blue), red, rtol=1e-6, atol=1e-9)
        return relative, (float(gain[0]), red if same else (red, green, blue))


def _after(first: tuple[Wide, Wide], gain: Wide, shift: Wide) -> tuple[Wide, Wide]:
    """Two affine steps combined."""
    if not {len(each) for each in (*first, gain, shift)} <= {
        1,
        max(map(len, (*first, gain, shift))),
    }:
        raise InputError("consecutive scale and shift steps have different numbers of channels")
    return first[0] * gain, first[1] * gain + shift

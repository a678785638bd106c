"""The steps of another framework's network, in their order, become MobileNet v1's weights.

The readers (tflite.py, keras.py) tell a chain what their file does to the picture, step by step;
the chain folds what can be folded, refuses what MobileNet v1 does not have, and knows what came
out. Batch norm, preprocessing and the mean over the picture are all steps here, so that both
readers take the same networks.
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
"""What red, green and blue add to grey (ITU-R BT.601), as TensorFlow and OpenCV have it."""
_LARGEST_INPUT = 16.0
"""No network is trained on larger values after its own preprocessing."""


class _Stage(Enum):
    """How far along the network the chain is."""

    INPUT = 0
    BODY = 1
    POOLED = 2
    FINISHED = 3


class Chain:
    """Takes steps in their order; each method raises InputError for one that has no place there.

    path: the file, for messages. where: what the file calls a step.
    resolution: the side in pixels that the file was made for, None where it does not say.
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
        self._open = False  # a convolution or dense layer whose activation is still to come
        self._padded = self._even_sizes = False
        self._sigmoid: bool | None = None
        self._notes: list[str] = []

    def refuse(
        self, where: str, what: str, got: object = None, fix: str | None = None
    ) -> InputError:
        """what: of a step, said of the network, beginning with a verb."""
        where = f"{self.path}, {where}"
        return InputError(f"not MobileNet v1: it {what}", where=where, got=got, fix=fix)

    def note(self, sentence: str) -> None:
        self._notes.append(sentence)

    def resized(self, side: int) -> None:
        """The file's own first step makes pictures of this side of any."""
        self.resolution = self._side = side

    def arithmetic(
        self, where: str, operation: str, number: NDArray[np.float64], *, first: bool
    ) -> None:
        """operation: `mul`, `add`, `sub` or `div`. first: of value and number the value."""
        if operation == "mul":
            self.affine(where, number, 0.0)
        elif operation == "add":
            self.affine(where, 1.0, number)
        elif operation == "sub":
            self.affine(where, *((1.0, -number) if first else (-1.0, number)))
        elif first and number.all():
            self.affine(where, 1 / number, 0.0)
        else:
            raise self.refuse(where, "divides by the picture or by 0")

    def affine(self, where: str, gain: object, shift: object) -> None:
        """value * gain + shift, one number each or one a channel: batch norm, preprocessing."""
        scale, offset = (np.asarray(each, np.float64).reshape(-1) for each in (gain, shift))
        if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            raise self.refuse(where, "holds numbers that are not finite")
        if self._stage is _Stage.FINISHED:
            raise self.refuse(where, "goes on behind its scores")
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
            raise self.refuse(where, "pads other than one row below and one column right", sides)
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
            raise self.refuse(where, "is dilated")
        if self._stage is _Stage.POOLED and rows == 1 and kind is not Kind.DEPTHWISE:
            if self._padded:
                raise self.refuse(where, "pads behind the average over the picture")
            self.dense(where, weight[:, :, 0, 0], bias)
            return
        self._close()
        if self._stage not in (_Stage.INPUT, _Stage.BODY):
            raise self.refuse(where, "has a convolution behind the average over the picture")
        if self._pending is not None:
            raise self.refuse(where, "scales or shifts values between its layers")
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
                f"reads each place of the{side} map on its own, "
                "without an average over the picture before",
                self._flat or None,
                fix="put GlobalAveragePooling2D before the dense layers and train them again; "
                f"or {TEACH}",
            )
        if self._stage is not _Stage.POOLED:
            raise self.refuse(where, "has no place there")
        matrix = weight.astype(np.float64)
        added = np.zeros(len(matrix)) if bias is None else bias.astype(np.float64)
        inputs = self._layers[-1].out_channels if not self._dense else len(self._dense[-1][2])
        if matrix.shape[1] != inputs:
            raise self.refuse(where, f"does not read the {inputs} values before it", matrix.shape)
        if self._pending is not None:
            gain, shift = self._pending
            self._check_channels(where, inputs, gain, shift)
            added = added + matrix @ np.broadcast_to(shift, inputs)
            matrix = matrix * gain
            self._pending = None
        if self._open and self._dense:  # nothing in between: two matrices are one
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
                raise self.refuse(where, f"has {name} where no scores come from")
            if self._pending is not None:
                raise self.refuse(where, "scales its scores")
            self._sigmoid, self._stage, self._open = name == "sigmoid", _Stage.FINISHED, False
            return
        if name not in ("relu", "relu6"):
            raise self.refuse(
                where,
                "has another activation than ReLU6 or ReLU, and softmax or sigmoid at its end",
                name,
                fix=TEACH,
            )
        found = Activation(name)
        if not self._open:
            raise self.refuse(where, f"has {name} where no layer comes before")
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
        """The mean over the whole picture."""
        if self._stage is _Stage.POOLED and not self._dense:
            return  # of a single place: it changes nothing
        if self._stage is not _Stage.BODY or self._padded:
            raise self.refuse(where, "averages where MobileNet v1 does not")
        if self._flat:
            raise self.refuse(self._flat, "has no place there")
        self._close()
        self._stage, self._side = _Stage.POOLED, 1

    def window(self, where: str, window: tuple[int, int]) -> None:
        """The mean over a window of this size, which has to be the whole map."""
        side = self._side
        if window != (side, side):
            self._recognised(1)  # a layer that strides otherwise is the better reason
            seen = "a map of unknown size" if side is None else f"the whole {(side, side)} map"
            raise self.refuse(where, f"does not average {seen}", window)
        self.average(where)

    def flatten(self, where: str) -> None:
        """A reshape: the same values in another shape."""
        if self._stage is _Stage.INPUT:
            raise self.refuse(where, "has no place there")
        self._flat = self._flat or where

    def finish(
        self, source: str, stated: tuple[float, float] | None, usual: InputRange
    ) -> ImportedWeights:
        """stated: scale and offset that turn a pixel into the file's input. usual: the range of a
        file that states none and does nothing to its input itself."""
        if self._stage is _Stage.BODY or not self._dense:
            raise InputError(
                "ends before the classifier",
                where=self.path,
                fix="name the file that holds the classifier second, or take one with its top: "
                "its name lacks no_top",
            )
        dense = [(matrix, bias) for _, matrix, bias in self._dense]
        if self._pending is not None or (self._stage is _Stage.POOLED and not self._open):
            raise self.refuse(self._dense[-1][0], "ends in an activation that gives no scores")
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
                "its single score is that of the second label; the first gets what is left to 1"
            )
        elif self._sigmoid:
            self._notes.append(
                "each class has a score of its own (sigmoid): they need not add up to 1"
            )
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
                self._layers[-1].name,
                "has a convolution here that is not followed by ReLU6 or ReLU",
            )

    def _check_channels(self, where: str, channels: int, *values: Wide) -> None:
        for each in values:
            if len(each) not in (1, channels):
                raise self.refuse(where, f"does not fit the {channels} channels there", len(each))

    def _coloured(self, where: str, weight: Array) -> Array:
        """The first kernel for pictures in colour: what sees grey sees their luma."""
        depth = weight.shape[1]
        if depth == 1:
            self._notes.append("it sees grey pictures: colours become grey inside the network")
            weight = weight * _LUMA.reshape(1, 3, 1, 1)
        elif depth != 3:
            raise self.refuse(where, "sees neither colour nor grey pictures", f"{depth} channels")
        self._check_channels(where, depth, *self._input)
        return weight

    def _normalisation(self) -> tuple[Wide, tuple[float, Offset]]:
        """A gain for each channel of the first kernel, and what else is done to all channels."""
        gain, shift = (np.broadcast_to(each, 3) for each in self._input)
        if not gain.all():
            raise InputError("its own preprocessing leaves nothing of a colour", where=self.path)
        relative = gain / gain[0]
        red, green, blue = (float(each) for each in shift / relative)
        same = np.allclose((green, blue), red, rtol=1e-6, atol=1e-9)
        return relative, (float(gain[0]), red if same else (red, green, blue))


def _after(first: tuple[Wide, Wide], gain: Wide, shift: Wide) -> tuple[Wide, Wide]:
    """One affine step behind another is one."""
    if not {len(each) for each in (*first, gain, shift)} <= {
        1,
        max(map(len, (*first, gain, shift))),
    }:
        raise InputError("scales and shifts other numbers of channels one after another")
    return first[0] * gain, first[1] * gain + shift

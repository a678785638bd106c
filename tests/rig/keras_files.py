"""Small Keras files of known weights, for the tests of their reader."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edged.variants.mobilenet import Architecture, Kind
from tests.rig.random_weights import random_weights
from tests.rig.weights import Array, lively_classifier

# -------------------------------------------------------------------------------------- Keras


@dataclass(frozen=True)
class Unfolded:
    """A convolution before its batch norm was folded in."""

    kernel: Array
    gamma: Array
    beta: Array
    mean: Array
    variance: Array


def keras_file(
    path: Path,
    architecture: Architecture,
    seed: int = 0,
    *,
    layout: str = "weights",
    classifier: str | None = "conv_preds",
    epsilon: float = 1e-3,
    before: Sequence[KerasLayer] = (),
    head: Sequence[KerasLayer] | None = None,
    grey: bool = False,
    changed: Callable[[dict[str, Any]], None] = lambda model: None,
) -> dict[str, NDArray[np.float32]]:
    """Write a file in one of Keras's layouts; returns the weights that a reader must find.

    layout: `weights`, `model`, `nested` (MobileNet inside a model of one's own) or `archive`
    (the same as `.keras`). classifier: `conv_preds` is a convolution as in keras.applications; any
    other name is a dense layer. before: layers before the first convolution. head: in place of all
    that follows the last convolution. grey: the first convolution sees one channel. changed: may
    change the model's description.
    """
    generator = np.random.default_rng(seed)
    folded: dict[str, NDArray[np.float32]] = {}
    arrays: dict[str, dict[str, Array]] = {}
    described: list[dict[str, Any]] = [
        _described("InputLayer", "input_1", batch_input_shape=[None, 96, 96, 1 if grey else 3]),
        *(layer.described for layer in before),
    ]
    arrays |= {layer.name: dict(layer.arrays) for layer in before if layer.arrays}
    started = random_weights(architecture, seed)
    for layer in architecture.layers():
        block, _, part = layer.name.removeprefix("block").partition(".")
        name = f"conv_{part[0]}w_{block}" if part else "conv1"
        channels, depthwise = layer.out_channels, layer.kind is Kind.DEPTHWISE
        weight = started[f"{layer.name}.weight"]
        gamma, beta, mean = generator.normal(1, 0.2, (3, channels)) * [[1], [0.1], [0.1]]
        variance = generator.uniform(0.5, 2, channels)
        gain = gamma / np.sqrt(variance + epsilon)
        folded[f"{layer.name}.weight"] = (weight * gain[:, None, None, None]).astype(np.float32)
        folded[f"{layer.name}.bias"] = (beta - mean * gain).astype(np.float32)
        if grey and name == "conv1":
            weight = weight.sum(axis=1, keepdims=True)
            folded[f"{layer.name}.weight"] = (weight * gain[:, None, None, None]).astype(np.float32)
        kernel = weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        arrays[name] = {"depthwise_kernel" if depthwise else "kernel": kernel}
        arrays[f"{name}_bn"] = {
            "gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance,
        }  # fmt: skip
        if layer.stride == 2 and part:
            described.append(
                _described("ZeroPadding2D", f"conv_pad_{block}", padding=[[0, 1], [0, 1]])
            )
        described += [
            _described(
                "DepthwiseConv2D" if depthwise else "Conv2D",
                name,
                kernel_size=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                padding="valid" if layer.stride == 2 and part else "same",
                dilation_rate=[1, 1],
                activation="linear",
            ),
            _described("BatchNormalization", f"{name}_bn", epsilon=epsilon),
            _described("ReLU", f"{name}_relu", max_value=6.0, negative_slope=0.0, threshold=0.0),
        ]
    if head is not None:
        classifier = None
        described += [layer.described for layer in head]
        arrays |= {layer.name: dict(layer.arrays) for layer in head if layer.arrays}
    else:
        described.append(_described("GlobalAveragePooling2D", "global_average_pooling2d"))
    if classifier is not None:
        folded |= lively_classifier(architecture, folded, seed)
        matrix, bias = folded["classifier.weight"], folded["classifier.bias"]
        convolution = classifier == "conv_preds"
        kernel = matrix.T[np.newaxis, np.newaxis] if convolution else matrix.T
        arrays[classifier] = {"kernel": kernel, "bias": bias}
        ones = {"kernel_size": [1, 1], "strides": [1, 1], "dilation_rate": [1, 1]}
        described.append(
            _described("Conv2D", classifier, **ones, padding="same", activation="linear")
            if convolution
            else _described("Dense", classifier, activation="softmax")
        )
    model = {"class_name": "Functional", "config": {"name": "mobilenet", "layers": described}}
    if layout == "nested":
        outer = [described.pop(), model] if classifier else [model]
        model = {"class_name": "Sequential", "config": {"name": "own", "layers": outer[::-1]}}
    if layout == "archive":
        of_body = len(described) - (len(head) if head is not None else 1)
        inner = {"class_name": "Functional", "config": {"name": "mobilenet"}}
        inner["config"]["layers"] = described[:of_body]  # type: ignore[index]
        outer = [inner, *described[of_body:]]
        model = {"class_name": "Sequential", "config": {"name": "own", "layers": outer}}
        changed(model)
        _write_archive(path, model, arrays)
        return folded
    changed(model)
    with h5py.File(path, "w") as file:
        root = file if layout == "weights" else file.create_group("model_weights")
        for name, parts in arrays.items():
            outer_name = "mobilenet" if layout == "nested" and name != classifier else name
            for part, values in parts.items():
                root[f"{outer_name}/{name}/{part}:0"] = values.astype(np.float32)
        if layout != "weights":
            file.attrs["model_config"] = json.dumps(model)
            file["optimizer_weights/iteration:0"] = np.float32(3)
    return folded


@dataclass(frozen=True)
class KerasLayer:
    kind: str
    name: str
    config: Mapping[str, object] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)

    @property
    def described(self) -> dict[str, Any]:
        return _described(self.kind, self.name, **self.config)


def dense_layer(name: str, kernel: Array, bias: Array, activation: str) -> KerasLayer:
    arrays = {"kernel": kernel, "bias": bias}
    return KerasLayer("Dense", name, {"activation": activation}, arrays)


_SNAKE = {
    "BatchNormalization": "batch_normalization",
    "Conv2D": "conv2d",
    "Dense": "dense",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Functional": "functional",
    "Normalization": "normalization",
}
_ORDER = ("kernel", "depthwise_kernel", "gamma", "beta", "moving_mean", "moving_variance")
_ORDER += ("mean", "variance", "bias")


def _write_archive(
    path: Path, model: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Array]]
) -> None:
    """As Keras 3 writes it: arrays are numbered, layers are counted by their class."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:

        def write(layers: Sequence[Mapping[str, Any]], way: str) -> None:
            seen: dict[str, int] = {}
            for layer in layers:
                name = _SNAKE.get(layer["class_name"], "other")
                number = seen[name] = seen.get(name, -1) + 1
                at = f"{way}layers/{name}_{number}" if number else f"{way}layers/{name}"
                if "layers" in layer["config"]:
                    write(layer["config"]["layers"], f"{at}/")
                parts = arrays.get(layer["config"]["name"], {})
                for place, part in enumerate(sorted(parts, key=_ORDER.index)):
                    file[f"{at}/vars/{place}"] = parts[part].astype(np.float32)

        write(model["config"]["layers"], "")
        file["optimizer/vars/0"] = np.float32(3)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", content.getvalue())


def _described(kind: str, name: str, **config: object) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}

"""Keras `.h5` files of MobileNet v1 become our weights.

Reads the layouts of `save_weights` and of whole models, also with MobileNet nested in a model of
one's own, by the layer names of keras.applications. Only numbers and the JSON description are
read: nothing is unpickled, imported or run, and Keras is not needed. Knows nothing of labels,
families or ONNX.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError, MissingPackageError
from edged.variants.mobilenet import Architecture, Kind, Layer, recognise
from edged.variants.network import (
    USUAL_OFFSET,
    USUAL_SCALE,
    Activation,
    ImportedWeights,
)

FILE_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of every HDF5 file that Keras writes."""

BATCH_NORM_EPSILON = 1e-3
"""Keras's default, and what MobileNet was trained with; a whole model states its own."""

_MOST_DATASETS = 1000
_LARGEST_DATASET = 16_000_000  # numbers; a full 3x3 convolution of 1024 channels has 9.4 million
_DEPTHWISE = re.compile(r"conv_dw_\d+")
_WITHOUT_WEIGHTS = {
    "Dropout", "Flatten", "GlobalAveragePooling2D", "InputLayer", "Reshape", "Softmax",
}  # fmt: skip

_Arrays = Mapping[str, Mapping[str, NDArray[np.float32]]]
"""By layer, then by what the layer calls them: `kernel`, `bias`, `gamma`, …"""


@dataclass
class _Stated:
    """What a whole model's description says; a file of weights alone leaves the defaults."""

    resolution: int | None = None
    scale: float = USUAL_SCALE
    offset: float = USUAL_OFFSET
    activations: set[Activation] = field(default_factory=set)
    epsilons: dict[str, float] = field(default_factory=dict)
    strides: dict[str, int] = field(default_factory=dict)
    padded: bool = False


def read_keras(path: Path) -> ImportedWeights:
    """Raises InputError for a file that is empty, truncated, foreign or not MobileNet v1, and
    MissingPackageError without the h5py package."""
    arrays, description = _read(path)
    stated = _stated(path, description)
    names = _convolutions(path, arrays)
    classifier = _classifier(path, arrays, names)
    layers = [_layer(path, name, arrays[name], stated) for name in names]
    try:
        architecture = recognise(layers, classes=classifier["kernel"].shape[-1])
    except InputError as error:
        where = f"{path}, layer {error.where}" if error.where else path
        raise InputError(error.what, where=where, got=error.got) from None
    weights = {
        "classifier.weight": classifier["kernel"].T.reshape(architecture.classes, -1),
        "classifier.bias": classifier["bias"],
    }
    for layer, name in zip(architecture.layers(), names, strict=True):
        epsilon = stated.epsilons.get(f"{name}_bn", BATCH_NORM_EPSILON)
        weight, bias = _folded(path, name, arrays, epsilon)
        depthwise = layer.kind is Kind.DEPTHWISE
        weights[f"{layer.name}.weight"] = weight.transpose(
            (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
        )
        weights[f"{layer.name}.bias"] = bias
    if len(stated.activations) > 1:
        raise InputError("mixes ReLU and ReLU6", where=path)
    return ImportedWeights(
        architecture,
        weights,
        stated.scale,
        stated.offset,
        next(iter(stated.activations), Activation.RELU6),
        stated.resolution,
        f"{path.name} (Keras)",
    )


def _convolutions(path: Path, arrays: _Arrays) -> list[str]:
    """The names of the convolutions in the network's order, as far as the file goes."""
    names = ["conv1"]
    for number in range(1, 1 + sum(_DEPTHWISE.fullmatch(name) is not None for name in arrays)):
        names += [f"conv_dw_{number}", f"conv_pw_{number}"]
    for name in names:
        if name not in arrays:
            raise InputError(
                f"not MobileNet v1 as Keras has it: there is no layer {name}",
                where=path,
                got=", ".join(sorted(arrays)[:3]) or "no layers",
                fix="write the whole model with model.save('NAME.h5')",
            )
    return names


def _classifier(path: Path, arrays: _Arrays, names: list[str]) -> Mapping[str, NDArray[np.float32]]:
    known = {*names, *(f"{name}_bn" for name in names)}
    others = sorted(name for name in arrays if name not in known)
    if not others:
        raise InputError(
            "holds no classifier", where=path, fix="take the file whose name lacks no_top"
        )
    classifier = arrays[others[0]]
    kernel, bias = classifier.get("kernel"), classifier.get("bias")
    if (
        len(others) > 1
        or kernel is None
        or kernel.size != np.prod(kernel.shape[-2:], dtype=np.int64)
        or kernel.ndim < 2
        or bias is None
        or bias.shape != kernel.shape[-1:]
    ):
        raise InputError(
            "not MobileNet v1: beside its convolutions there is not just one dense classifier",
            where=path,
            got="layers " + ", ".join(others[:3]),
        )
    return {"kernel": kernel.reshape(kernel.shape[-2:]), "bias": bias}


def _layer(
    path: Path, name: str, arrays: Mapping[str, NDArray[np.float32]], stated: _Stated
) -> Layer:
    kernel = _kernel(path, name, arrays)
    rows, columns, in_channels, out_channels = kernel.shape
    if rows != columns:
        raise InputError(
            "a kernel that is not square", where=f"{path}, layer {name}", got=kernel.shape
        )
    kind = Kind.POINTWISE if "_pw_" in name else Kind.CONVOLUTION
    if "_dw_" in name:
        kind = Kind.DEPTHWISE
        out_channels = in_channels * out_channels
    stride = stated.strides.get(name, _USUAL_STRIDES.get(name, 1))
    return Layer(name, kind, in_channels, out_channels, rows, stride)


def _usual_strides() -> Iterator[tuple[str, int]]:
    for layer in Architecture(1.0, 1).layers():
        block, _, part = layer.name.removeprefix("block").partition(".")
        yield (f"conv_{part[0]}w_{block}" if part else "conv1"), layer.stride


_USUAL_STRIDES = dict(_usual_strides())


def _kernel(
    path: Path, name: str, arrays: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    kernel = arrays.get("depthwise_kernel", arrays.get("kernel"))
    if kernel is None or kernel.ndim != 4:
        raise InputError(
            "lacks a kernel of four dimensions",
            where=f"{path}, layer {name}",
            got=", ".join(sorted(arrays)),
        )
    return kernel


def _folded(
    path: Path, name: str, arrays: _Arrays, epsilon: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of a convolution with the batch norm behind it folded in.

    y = gamma (w x + b - mean) / sqrt(variance + epsilon) + beta is a convolution again.
    """
    kernel = _kernel(path, name, arrays[name]).astype(np.float64)
    norm = arrays.get(f"{name}_bn", {})
    channels = kernel.shape[2] if "_dw_" in name else kernel.shape[3]
    for part in ("gamma", "beta", "moving_mean", "moving_variance"):
        if part not in norm or norm[part].shape != (channels,):
            raise InputError(
                f"lacks a {part} of {channels} channels",
                where=f"{path}, layer {name}_bn",
                got=norm[part].shape if part in norm else None,
            )
    variance = np.maximum(norm["moving_variance"].astype(np.float64), 0)
    gain = norm["gamma"] / np.sqrt(variance + epsilon)
    bias = arrays[name].get("bias", np.zeros(channels, np.float32))
    shift = norm["beta"] + (bias - norm["moving_mean"]) * gain
    gains = gain[:, np.newaxis] if "_dw_" in name else gain
    with np.errstate(over="ignore"):  # check_weights refuses what results
        return (kernel * gains).astype(np.float32), shift.astype(np.float32)


# ------------------------------------------------------------------------- a whole model's words


def _stated(path: Path, description: str | None) -> _Stated:
    """Raises InputError for a layer that MobileNet v1 does not have."""
    stated = _Stated()
    if description is None:
        return stated
    try:
        for kind, config in _described(json.loads(description)):
            _take(stated, path, kind, config)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError("its description of the model is damaged", where=path) from None
    return stated


def _described(model: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Class and configuration of each layer, those of nested models in their place."""
    config = model["config"]
    layers = config if isinstance(config, list) else config.get("layers")
    if layers is None:
        yield model["class_name"], config
        return
    for layer in layers:
        yield from _described(layer)


def _take(stated: _Stated, path: Path, kind: str, config: Mapping[str, Any]) -> None:
    name = config.get("name", kind)
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    if shape is not None and len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3:
        stated.resolution = shape[1]
    if kind in ("Conv2D", "DepthwiseConv2D"):
        _take_convolution(stated, path, name, config)
    if kind == "BatchNormalization":
        stated.epsilons[name] = float(config["epsilon"])
    elif kind == "ReLU":
        if config.get("negative_slope") or config.get("threshold"):
            raise InputError("is no plain ReLU", where=f"{path}, layer {name}")
        _take_activation(stated, path, name, {6.0: "relu6", None: "relu"}.get(config["max_value"]))
    elif kind == "ZeroPadding2D":
        # Before a convolution of stride 2 and "valid", at even sizes, this is what SAME does.
        if [list(sides) for sides in config["padding"]] != [[0, 1], [0, 1]]:
            raise InputError(
                "pads other than one row below and one column right",
                where=f"{path}, layer {name}",
                got=config["padding"],
            )
        stated.padded = True
    elif kind == "Rescaling":
        stated.scale, stated.offset = float(config["scale"]), float(config["offset"])
    elif kind in ("Activation", "Conv2D", "DepthwiseConv2D", "Dense"):
        given = config["activation"]
        _take_activation(
            stated, path, name, given.get("config") if isinstance(given, dict) else given
        )
    elif kind not in _WITHOUT_WEIGHTS:
        raise InputError(
            "not MobileNet v1: it has no layer of that kind",
            where=f"{path}, layer {name}",
            got=kind,
        )


def _take_convolution(stated: _Stated, path: Path, name: str, config: Mapping[str, Any]) -> None:
    rows, columns = config["strides"]
    pads = config["padding"]
    like_same = pads == "same" or (stated.padded and rows == 2)
    if list(config["kernel_size"]) == [1, 1]:
        like_same = True
    if rows != columns or not like_same or list(config["dilation_rate"]) != [1, 1]:
        raise InputError(
            "not MobileNet v1: it strides, pads or dilates otherwise",
            where=f"{path}, layer {name}",
        )
    stated.strides[name], stated.padded = rows, False


def _take_activation(stated: _Stated, path: Path, name: str, activation: object) -> None:
    if activation in ("relu", "relu6"):
        stated.activations.add(Activation(activation))
    elif activation not in ("linear", "softmax"):
        raise InputError(
            "not MobileNet v1: it has ReLU6 between its layers and softmax behind them",
            where=f"{path}, layer {name}",
            got=activation,
        )


# -------------------------------------------------------------------------------------- the file


def _read(path: Path) -> tuple[_Arrays, str | None]:
    """All floating-point arrays of the model, and its description where the file has one."""
    try:
        import h5py
    except ImportError:
        raise MissingPackageError(
            "reading a Keras file needs the h5py package", "pip install 'edged[models]'"
        ) from None
    try:
        with path.open("rb") as file:
            start = file.read(len(FILE_SIGNATURE))
    except OSError as error:
        raise InputError("cannot be read", where=path, got=error.strerror) from None
    if not start:
        raise InputError("is empty", where=path, fix="fetch the file again")
    if start != FILE_SIGNATURE:
        raise InputError("is no Keras .h5 file", where=path, got=f"it begins {start!r}")
    try:
        with h5py.File(path, "r") as file:
            return _contents(h5py, file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        raise InputError(
            "is a truncated or damaged Keras file",
            where=path,
            got=f"{path.stat().st_size} bytes",
            fix="fetch the file again",
        ) from None


def _contents(h5py: Any, file: Any) -> tuple[_Arrays, str | None]:
    """A dataset's name is its own (`kernel:0`), its layer's is that of the group it lies in."""
    arrays: dict[str, dict[str, NDArray[np.float32]]] = {}
    datasets: list[Any] = []
    root = file.get("model_weights", file)
    root.visititems(
        lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None
    )
    if len(datasets) > _MOST_DATASETS:
        raise ValueError("impossible number of datasets")
    for dataset in datasets:
        if dataset.dtype.kind != "f":
            continue
        if dataset.size > _LARGEST_DATASET:
            raise ValueError("impossible size")
        layer, name = dataset.name.split("/")[-2:]
        arrays.setdefault(layer, {})[name.partition(":")[0]] = dataset[()].astype(np.float32)
    description = file.attrs.get("model_config")
    return arrays, description.decode() if isinstance(description, bytes) else description

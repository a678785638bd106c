"""Reads MobileNet v1 from Keras files: `.h5`, and `.keras` archives.

Follows a model's description layer by layer, including nested models, and names the layer in a
refusal. Reads a file that contains only weights by the layer names of keras.applications.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edged.errors import InputError
from edged.variants.mobilenet import Architecture, Kind
from edged.variants.weights.chain import TEACH, Chain
from edged.variants.weights.keras_file import Array, Arrays, Stored, read_stored
from edged.variants.weights.keras_layers import Step, check_kin, steps
from edged.variants.weights.onnx_builder import ImportedWeights, InputRange

BATCH_NORM_EPSILON = 1e-3
"""Keras's default, and what MobileNet was trained with; a whole model states its own."""

_DEPTHWISE = re.compile(r"conv_dw_\d+")
_WITHOUT_EFFECT = {
    "ActivityRegularization", "AlphaDropout", "AugMix", "CutMix", "Dropout", "GaussianDropout",
    "GaussianNoise", "Identity", "InputLayer", "MixUp", "RandAugment", "RandomBrightness",
    "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomElasticTransform",
    "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue",
    "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation",
    "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom",
    "SpatialDropout2D",
}  # fmt: skip
"""Layers without effect at inference."""
_ARITHMETIC = {
    **dict.fromkeys(("truediv", "TrueDivide", "divide", "Divide"), "div"),
    **dict.fromkeys(("multiply", "Multiply"), "mul"),
    **dict.fromkeys(("add", "Add"), "add"),
    **dict.fromkeys(("subtract", "Subtract"), "sub"),
}
_SMALLEST_DEVIATION = 1e-7  # lower bound in Keras's Normalization


def read_keras(path: Path) -> ImportedWeights:
    """Raises InputError for a file that is empty, truncated, foreign or not MobileNet v1, and
    MissingPackageError without the h5py package."""
    stored, description = read_stored(path)
    chain = Chain(path, None)
    if description is None:
        _take_weights(chain, stored)
    else:
        _take_model(chain, stored, description)
    return chain.finish(f"{path.name} (Keras)", None, InputRange.SYMMETRIC)


# ------------------------------------------------------------------------------ weights alone


def _take_weights(chain: Chain, stored: Stored) -> None:
    arrays: dict[str, Arrays] = {layer: each for (_, layer), each in stored.by_layer.items()}
    names = ["conv1"]
    for number in range(1, 1 + sum(_DEPTHWISE.fullmatch(name) is not None for name in arrays)):
        names += [f"conv_dw_{number}", f"conv_pw_{number}"]
    for name in names:
        if name not in arrays:
            raise InputError(
                f"contains only weights, without layer {name} of Keras's MobileNet v1",
                where=chain.path,
                got=", ".join(sorted(arrays)[:3]) or "no layers",
                fix="write the whole model with model.save('NAME.keras')",
            )
        depthwise = "_dw_" in name
        step = Step("DepthwiseConv2D" if depthwise else "Conv2D", name, {}, name, "")
        _take_kernel(chain, step, arrays[name], (_USUAL_STRIDES.get(name, 1),) * 2, same=True)
        _take_batch_norm(chain, f"{name}_bn", arrays.get(f"{name}_bn", {}), BATCH_NORM_EPSILON)
        chain.function(f"layer {name}", "relu6")
    chain.average("the average over the picture")
    known = {*names, *(f"{name}_bn" for name in names)}
    others = sorted(name for name in arrays if name not in known)
    if len(others) > 1:
        raise InputError(
            "contains only weights, with more than one layer after the convolutions",
            where=chain.path,
            got="layers " + ", ".join(others[:3]),
            fix="write the whole model with model.save('NAME.keras')",
        )
    for name in others:
        kernel = arrays[name].get("kernel", np.zeros(0))
        _take_dense(chain, name, arrays[name], convolution=kernel.ndim == 4)
        chain.function(f"layer {name}", "softmax")


def _usual_strides() -> Iterator[tuple[str, int]]:
    for layer in Architecture(1.0, 1).layers():
        block, _, part = layer.name.removeprefix("block").partition(".")
        yield (f"conv_{part[0]}w_{block}" if part else "conv1"), layer.stride


_USUAL_STRIDES = dict(_usual_strides())


# ------------------------------------------------------------------------------ a whole model


def _take_model(chain: Chain, stored: Stored, description: str) -> None:
    """Raises InputError for a layer that MobileNet v1 does not have."""
    try:
        model = json.loads(description)
        check_kin(chain.path, model)
        for step in steps(chain, model):
            _take(chain, stored, step)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InputError("the model description is damaged", where=chain.path) from None


def _take(chain: Chain, stored: Stored, step: Step) -> None:
    kind, config, where = step.kind, step.config, f"layer {step.name}"
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    if shape is not None and len(shape) == 4:
        _take_shape(chain, where, shape)
    if config.get("data_format") == "channels_first":
        raise chain.refuse(
            where,
            "takes pictures with channels first (NCHW)",
            fix="build it with data_format='channels_last' and load the weights into that",
        )
    if kind in _WITHOUT_EFFECT:
        return
    if "Quantized" in str(config.get("dtype")):
        raise chain.refuse(
            where,
            "was quantised by Keras, which edged does not support",
            fix="save it before model.quantize(); edged models quantize converts it to INT8",
        )
    if kind in ("Conv2D", "DepthwiseConv2D"):
        arrays = _arrays(stored, step, ("depthwise_kernel" if "Dep" in kind else "kernel", "bias"))
        if config.get("groups", 1) != 1:
            raise chain.refuse(where, "has a grouped convolution", config["groups"])
        rows, columns = config["strides"]
        dilation = tuple(config["dilation_rate"])
        same = config["padding"] == "same"
        _take_kernel(chain, step, arrays, (rows, columns), same=same, dilation=dilation)
        chain.function(where, _function(config["activation"]))
    elif kind == "Dense":
        _take_dense(chain, step.name, _arrays(stored, step, ("kernel", "bias")))
        chain.function(where, _function(config["activation"]))
    elif kind == "BatchNormalization":
        names = [*(["gamma"] if config.get("scale", True) else [])]
        names += [*(["beta"] if config.get("center", True) else []), "moving_mean"]
        arrays = _arrays(stored, step, (*names, "moving_variance"))
        _take_batch_norm(chain, step.name, arrays, float(config["epsilon"]), tuple(names))
    elif kind in ("ReLU", "Activation", "Softmax"):
        chain.function(where, _activation(chain, where, kind, config))
    elif kind == "ZeroPadding2D":
        chain.padding(where, [list(sides) for sides in config["padding"]])
    elif kind == "GlobalAveragePooling2D":
        chain.average(where)
    elif kind == "AveragePooling2D":
        rows, columns = config["pool_size"]
        chain.window(where, (rows, columns))
    elif kind in ("Reshape", "Flatten"):
        chain.flatten(where)
    elif kind == "Rescaling":
        chain.affine(where, config["scale"], config["offset"])
    elif kind == "Normalization":
        _take_normalization(chain, where, config, _arrays(stored, step, ("mean", "variance")))
    elif kind in ("RandomCrop", "Resizing"):  # RandomCrop resizes at inference
        if config["height"] == config["width"]:
            chain.resized(config["height"])
    elif kind == "Lambda":
        raise chain.refuse(
            where,
            "has a Lambda layer, whose Python code edged does not run",
            fix="replace it with a Rescaling layer or other standard layers",
        )
    else:
        _take_operation(chain, where, step)


def _take_shape(chain: Chain, where: str, shape: list[Any]) -> None:
    if shape[3] not in (1, 3, None) and shape[1] in (1, 3):
        raise chain.refuse(
            where,
            "takes pictures with channels first (NCHW)",
            shape,
            fix="build it with data_format='channels_last' and load the weights into that",
        )
    if shape[1] is not None and shape[1] == shape[2]:
        chain.resized(shape[1])


def _take_operation(chain: Chain, where: str, step: Step) -> None:
    """Arithmetic with constants, as mobilenet.preprocess_input does inside a model."""
    name = step.kind
    if name == "TFOpLambda":
        name = str(step.config.get("function", "")).rpartition(".")[2]
    if name in ("Cast", "cast"):
        return
    numbers = [each for each in step.operands if isinstance(each, (int, float, list))]
    if name not in _ARITHMETIC or len(numbers) != 1 or None not in step.operands:
        raise chain.refuse(where, "uses an unsupported layer", step.kind, TEACH)
    number = np.asarray(numbers[0], np.float64)
    chain.arithmetic(where, _ARITHMETIC[name], number, first=step.operands.index(None) == 0)


def _take_normalization(
    chain: Chain, where: str, config: Mapping[str, Any], arrays: Arrays
) -> None:
    mean, variance = (
        np.asarray(arrays[name] if config.get(name) is None else config[name], np.float64)
        for name in ("mean", "variance")
    )
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0)), _SMALLEST_DEVIATION)
    if config.get("invert"):
        chain.affine(where, deviation, mean)
    else:
        chain.affine(where, 1 / deviation, -mean / deviation)


def _arrays(stored: Stored, step: Step, names: tuple[str, ...]) -> Arrays:
    """A layer's arrays. names: of the arrays, in numerical order."""
    if not stored.by_way:
        return stored.by_layer.get((step.outer, step.name), {})
    numbered = stored.by_way.get(step.way, {})
    return {name: numbered[number] for number, name in enumerate(names) if number in numbered}


def _take_kernel(
    chain: Chain,
    step: Step,
    arrays: Arrays,
    stride: tuple[int, int],
    *,
    same: bool,
    dilation: tuple[int, ...] = (1, 1),
) -> None:
    where, depthwise = f"layer {step.name}", step.kind == "DepthwiseConv2D"
    kernel = arrays.get("depthwise_kernel", arrays.get("kernel"))
    if kernel is None or kernel.ndim != 4:
        raise chain.refuse(where, "has no four-dimensional kernel", ", ".join(sorted(arrays)))
    if depthwise and kernel.shape[3] != 1:
        raise chain.refuse(where, "has a depth multiplier other than 1", kernel.shape)
    chain.convolution(
        where,
        Kind.DEPTHWISE if depthwise else Kind.CONVOLUTION,
        kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)),
        _bias(chain, where, arrays, kernel.shape[2 if depthwise else 3]),
        stride,
        (dilation[0], dilation[1]),
        same=same,
    )


def _take_dense(chain: Chain, name: str, arrays: Arrays, *, convolution: bool = False) -> None:
    where, kernel = f"layer {name}", arrays.get("kernel")
    if convolution and kernel is not None and kernel.shape[:2] == (1, 1):
        kernel = kernel[0, 0]
    if kernel is None or kernel.ndim != 2:
        raise chain.refuse(
            where, "has no two-dimensional kernel", None if kernel is None else kernel.shape
        )
    chain.dense(where, kernel.T, _bias(chain, where, arrays, kernel.shape[1]))


def _bias(chain: Chain, where: str, arrays: Arrays, channels: int) -> Array | None:
    bias = arrays.get("bias")
    if bias is not None and bias.shape != (channels,):
        raise chain.refuse(where, f"has a bias whose length is not {channels}", bias.shape)
    return bias


def _take_batch_norm(
    chain: Chain,
    name: str,
    arrays: Arrays,
    epsilon: float,
    needed: tuple[str, ...] = ("gamma", "beta", "moving_mean"),
) -> None:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    for part in (*needed, "moving_variance"):
        if part not in arrays or arrays[part].ndim != 1:
            raise chain.refuse(f"layer {name}", f"has no one-dimensional {part}")
    wide = {part: values.astype(np.float64) for part, values in arrays.items()}
    deviation = np.sqrt(np.maximum(wide["moving_variance"], 0) + epsilon)
    gain = wide.get("gamma", np.ones(1)) / deviation
    chain.affine(f"layer {name}", gain, wide.get("beta", 0.0) - wide["moving_mean"] * gain)


def _activation(chain: Chain, where: str, kind: str, config: Mapping[str, Any]) -> str:
    if kind == "Activation":
        return _function(config["activation"])
    if kind == "Softmax":
        return "softmax"
    if config.get("negative_slope") or config.get("threshold"):
        raise chain.refuse(where, "has a ReLU with a negative slope or threshold")
    limit = config.get("max_value")
    return {6.0: "relu6", None: "relu"}.get(limit, f"relu up to {limit}")


def _function(given: Any) -> str:
    if isinstance(given, dict):
        given = given.get("config", given.get("class_name"))
        given = given.get("name") if isinstance(given, dict) else given
    return "linear" if given is None else str(given)

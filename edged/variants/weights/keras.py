"""Keras files of MobileNet v1 become our weights: `.h5`, and `.keras` archives.

A whole model's description is followed layer by layer, through models inside models, so that a
file is either read rightly or refused with the layer that does not belong; a file of weights alone
is read by the layer names of keras.applications. Only numbers and the JSON description are read:
nothing is unpickled, imported or run, and Keras is not needed. Knows nothing of labels, families
or ONNX.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import read_file
from edged.errors import InputError, MissingPackageError, cannot_read
from edged.printable import printable
from edged.variants.mobilenet import Architecture, Kind
from edged.variants.weights.chain import TEACH, Chain
from edged.variants.weights.onnx_builder import ImportedWeights, InputRange

FILE_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of every HDF5 file that Keras writes."""
DESCRIPTION, WEIGHTS = "config.json", "model.weights.h5"
"""What every `.keras` archive holds."""

BATCH_NORM_EPSILON = 1e-3
"""Keras's default, and what MobileNet was trained with; a whole model states its own."""

_MOST_DATASETS = 1000
_MOST_NUMBERS = 48_000_000  # in all; MobileNet v1 at alpha 1 has 4.2 million
_MOST_BYTES = 256 << 20  # of a file, or of a member of an archive
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
"""Layers that only training knows: at inference they hand on what they get."""
_DIVIDE, _MULTIPLY = {"truediv", "TrueDivide", "divide", "Divide"}, {"multiply", "Multiply"}
_ADD, _SUBTRACT = {"add", "Add"}, {"subtract", "Subtract"}
_ARITHMETIC = _DIVIDE | _MULTIPLY | _ADD | _SUBTRACT
_BFLOAT16 = np.dtype("V2")  # what h5py makes of it
_SMALLEST_DEVIATION = 1e-7  # what Keras's Normalization divides by at least

_Array = NDArray[np.float32]
_Arrays = Mapping[str, _Array]
"""What a layer calls its arrays: `kernel`, `bias`, `gamma`, …"""


@dataclass(frozen=True)
class _Stored:
    """The arrays of a file. An .h5 file names them by layer, and by the outermost layer that it
    lies in; an archive numbers them, by the way through the models: `layers/dense/vars/0`."""

    by_layer: Mapping[tuple[str, str], _Arrays] = field(default_factory=dict)
    by_way: Mapping[str, Mapping[int, _Array]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Step:
    """A layer of the description. outer: the outermost layer that it lies in. way: to its arrays
    in an archive. operands: of an arithmetic operation, in their order, None for the value."""

    kind: str
    name: str
    config: Mapping[str, Any]
    outer: str
    way: str
    operands: tuple[Any, ...] = ()


def is_archive(path: Path) -> bool:
    """Whether it is a `.keras` archive, as far as its table of contents tells."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {DESCRIPTION, WEIGHTS} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def read_keras(path: Path) -> ImportedWeights:
    """Raises InputError for a file that is empty, truncated, foreign or not MobileNet v1, and
    MissingPackageError without the h5py package."""
    stored, description = _read(path)
    chain = Chain(path, None)
    if description is None:
        _take_weights(chain, stored)
    else:
        _take_model(chain, stored, description)
    return chain.finish(f"{path.name} (Keras)", None, InputRange.SYMMETRIC)


# ------------------------------------------------------------------------------ weights alone


def _take_weights(chain: Chain, stored: _Stored) -> None:
    arrays: dict[str, _Arrays] = {layer: each for (_, layer), each in stored.by_layer.items()}
    names = ["conv1"]
    for number in range(1, 1 + sum(_DEPTHWISE.fullmatch(name) is not None for name in arrays)):
        names += [f"conv_dw_{number}", f"conv_pw_{number}"]
    for name in names:
        if name not in arrays:
            raise InputError(
                f"holds weights alone, and no layer {name} as Keras's MobileNet v1 has",
                where=chain.path,
                got=", ".join(sorted(arrays)[:3]) or "no layers",
                fix="write the whole model with model.save('NAME.keras')",
            )
        depthwise = "_dw_" in name
        step = _Step("DepthwiseConv2D" if depthwise else "Conv2D", name, {}, name, "")
        _take_kernel(chain, step, arrays[name], (_USUAL_STRIDES.get(name, 1),) * 2, same=True)
        _take_batch_norm(chain, f"{name}_bn", arrays.get(f"{name}_bn", {}), BATCH_NORM_EPSILON)
        chain.function(f"layer {name}", "relu6")
    chain.average("the average over the picture")
    known = {*names, *(f"{name}_bn" for name in names)}
    others = sorted(name for name in arrays if name not in known)
    if len(others) > 1:
        raise InputError(
            "holds weights alone, and more than one layer behind its convolutions",
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


def _take_model(chain: Chain, stored: _Stored, description: str) -> None:
    """Raises InputError for a layer that MobileNet v1 does not have."""
    try:
        model = json.loads(description)
        _check_kin(chain.path, list(_all_layers(model)))
        for step in _steps(chain, model):
            _take(chain, stored, step)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InputError("its description of the model is damaged", where=chain.path) from None


def _all_layers(model: Any) -> Iterator[tuple[str, str]]:
    """Class and name of every layer and model."""
    yield (
        model["class_name"],
        str(model["config"].get("name", "")) if isinstance(model["config"], dict) else "",
    )
    for layer in _layers_of(model) or ():
        yield from _all_layers(layer)


_KIN = (
    ("mobilenetv2", "MobileNet v2"), ("mobilenetv3", "MobileNet v3"),
    ("efficientnet", "EfficientNet"), ("resnet", "ResNet"), ("vgg", "VGG"),
    ("inception", "Inception"), ("densenet", "DenseNet"), ("nasnet", "NASNet"),
    ("xception", "Xception"), ("convnext", "ConvNeXt"),
)  # fmt: skip


def _check_kin(path: Path, layers: list[tuple[str, str]]) -> None:
    """Name what people take for MobileNet v1 by its model's name, or by its structure."""
    kinds = {kind for kind, _ in layers}
    for kind, name in layers:
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        found = next((known for start, known in _KIN if plain.startswith(start)), None)
        if found is not None and kind in ("Functional", "Model", "Sequential"):
            raise _other(path, found, name)
    if {"Add", "DepthwiseConv2D"} <= kinds and any(
        kind == "Add" and name.endswith("_add") for kind, name in layers
    ):
        if "Multiply" in kinds:  # squeeze and excitation
            raise _other(path, "MobileNet v3 or EfficientNet", "its blocks weigh their channels")
        raise _other(path, "MobileNet v2", "its blocks are joined by additions")


def _other(path: Path, what: str, got: str) -> InputError:
    return InputError(f"this is {what}; edged runs MobileNet v1", where=path, got=got, fix=TEACH)


def _layers_of(model: Any) -> list[Any] | None:
    config = model["config"]
    layers = config if isinstance(config, list) else config.get("layers")
    return layers if isinstance(layers, list) else None


def _steps(chain: Chain, model: Any, outer: str = "", way: str = "") -> Iterator[_Step]:
    """The layers from the picture to the scores, those of nested models in their place."""
    layers = _layers_of(model)
    if layers is None:
        kind = printable(str(model["class_name"]), 80)
        raise InputError(
            f"{kind} is a Python class of its author's: the file does not say what it does",
            where=chain.path,
            fix="build it with keras.Sequential or keras.Model(inputs, outputs) of the same layers",
        )
    places = _places(layers)
    for layer, operands in _in_order(chain, model, layers):
        config = layer["config"]
        name = str(layer.get("name") or (config.get("name") if isinstance(config, dict) else ""))
        at = f"{way}layers/{places[id(layer)]}"
        if _layers_of(layer) is not None:
            yield from _steps(chain, layer, outer or name, f"{at}/")
        else:
            yield _Step(layer["class_name"], name, config, outer or name, at, operands)


def _places(layers: list[Any]) -> dict[int, str]:
    """What an archive calls each layer: its class in snake case, numbered from the second on."""
    seen: Counter[str] = Counter()
    places = {}
    for layer in layers:
        name = re.sub(r"\W+", "", layer["class_name"])
        name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
        name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
        places[id(layer)] = f"{name}_{seen[name]}" if seen[name] else name
        seen[name] += 1
    return places


def _in_order(chain: Chain, model: Any, layers: list[Any]) -> list[tuple[Any, tuple[Any, ...]]]:
    """Layers with their operands: as listed, or where they state what they read, by that."""
    if "output_layers" not in model["config"]:
        return [(layer, ()) for layer in layers]
    by_name = {layer.get("name") or layer["config"]["name"]: layer for layer in layers}
    outputs = model["config"]["output_layers"]
    if isinstance(outputs, dict):  # by names of its author's
        outputs = list(outputs.values())
    outputs = [outputs] if outputs and isinstance(outputs[0], str) else outputs
    if len(outputs) != 1:
        raise InputError(
            "has several outputs: a detector or another network that does more than classify",
            where=chain.path,
            got=f"{len(outputs)} outputs",
            fix=f"edged classifies pictures; {TEACH}",
        )
    ordered: list[tuple[Any, tuple[Any, ...]]] = []
    name = outputs[0][0]
    while True:
        layer = by_name[name]
        nodes = layer.get("inbound_nodes") or []
        if len(ordered) > len(layers) or len(nodes) > 1:
            raise chain.refuse(f"layer {name}", "is used more than once")
        if not nodes:
            return [*ordered, (layer, ())][::-1]
        sources, operands = _node(nodes[0])
        if len(sources) != 1:
            raise chain.refuse(
                f"layer {name}", "joins several branches", layer["class_name"], TEACH
            )
        ordered.append((layer, operands))
        name = sources[0]


def _node(node: Any) -> tuple[list[str], tuple[Any, ...]]:
    """The layers that a call reads, and its operands, None for what a layer gave."""
    if isinstance(node, dict):  # Keras 3
        sources: list[str] = []
        operands = tuple(
            _operand(each, sources)
            for each in (*node["args"], *(node.get("kwargs") or {}).values())
        )
        return sources, operands
    if node and isinstance(node[0], str):  # Keras 2, an operation: one source, and what it takes
        taken = node[3] if len(node) > 3 else {}
        return [node[0]], (None, *(each for name, each in taken.items() if name in ("x", "y")))
    return [each[0] for each in node], ()


def _operand(value: Any, sources: list[str]) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        sources.append(value["config"]["keras_history"][0])
        return None
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        return value["config"].get("value")
    if isinstance(value, list):
        return [_operand(each, sources) for each in value]
    return value


def _take(chain: Chain, stored: _Stored, step: _Step) -> None:
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
            "was quantised by Keras, whose integers are not read",
            fix="save it before model.quantize(); edged models quantize makes INT8 of it",
        )
    if kind in ("Conv2D", "DepthwiseConv2D"):
        arrays = _arrays(stored, step, ("depthwise_kernel" if "Dep" in kind else "kernel", "bias"))
        if config.get("groups", 1) != 1:
            raise chain.refuse(where, "has groups", config["groups"])
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
    elif kind in ("RandomCrop", "Resizing"):  # at inference the first is the second
        if config["height"] == config["width"]:
            chain.resized(config["height"])
    elif kind == "Lambda":
        raise chain.refuse(
            where,
            "has a Lambda layer: Python code, which is not run",
            fix="put a Rescaling layer in its place, or the layers that it stands for",
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


def _take_operation(chain: Chain, where: str, step: _Step) -> None:
    """Arithmetic with numbers, as mobilenet.preprocess_input does it inside a model."""
    name = step.kind
    if name == "TFOpLambda":
        name = str(step.config.get("function", "")).rpartition(".")[2]
    if name in ("Cast", "cast"):
        return
    numbers = [each for each in step.operands if isinstance(each, (int, float, list))]
    if name not in _ARITHMETIC or len(numbers) != 1 or None not in step.operands:
        raise chain.refuse(where, "has no layer of that kind", step.kind, TEACH)
    number = np.asarray(numbers[0], np.float64)
    first = step.operands.index(None) == 0
    if name in _MULTIPLY:
        chain.affine(where, number, 0.0)
    elif name in _ADD:
        chain.affine(where, 1.0, number)
    elif name in _SUBTRACT:
        chain.affine(where, *((1.0, -number) if first else (-1.0, number)))
    elif first and number.all():
        chain.affine(where, 1 / number, 0.0)
    else:
        raise chain.refuse(where, "divides by the picture or by 0")


def _take_normalization(
    chain: Chain, where: str, config: Mapping[str, Any], arrays: _Arrays
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


def _arrays(stored: _Stored, step: _Step, names: tuple[str, ...]) -> _Arrays:
    """What the file holds for a layer; names: of its arrays, in the order of their numbers."""
    if not stored.by_way:
        return stored.by_layer.get((step.outer, step.name), {})
    numbered = stored.by_way.get(step.way, {})
    return {name: numbered[number] for number, name in enumerate(names) if number in numbered}


def _take_kernel(
    chain: Chain,
    step: _Step,
    arrays: _Arrays,
    stride: tuple[int, int],
    *,
    same: bool,
    dilation: tuple[int, ...] = (1, 1),
) -> None:
    where, depthwise = f"layer {step.name}", step.kind == "DepthwiseConv2D"
    kernel = arrays.get("depthwise_kernel", arrays.get("kernel"))
    if kernel is None or kernel.ndim != 4:
        raise chain.refuse(where, "lacks a kernel of four dimensions", ", ".join(sorted(arrays)))
    if depthwise and kernel.shape[3] != 1:
        raise chain.refuse(where, "multiplies its channels", kernel.shape)
    chain.convolution(
        where,
        Kind.DEPTHWISE if depthwise else Kind.CONVOLUTION,
        kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)),
        _bias(chain, where, arrays, kernel.shape[2 if depthwise else 3]),
        stride,
        (dilation[0], dilation[1]),
        same=same,
    )


def _take_dense(chain: Chain, name: str, arrays: _Arrays, *, convolution: bool = False) -> None:
    where, kernel = f"layer {name}", arrays.get("kernel")
    if convolution and kernel is not None and kernel.shape[:2] == (1, 1):
        kernel = kernel[0, 0]
    if kernel is None or kernel.ndim != 2:
        raise chain.refuse(where, "is no dense layer", None if kernel is None else kernel.shape)
    chain.dense(where, kernel.T, _bias(chain, where, arrays, kernel.shape[1]))


def _bias(chain: Chain, where: str, arrays: _Arrays, channels: int) -> _Array | None:
    bias = arrays.get("bias")
    if bias is not None and bias.shape != (channels,):
        raise chain.refuse(where, f"lacks a bias of {channels} channels", bias.shape)
    return bias


def _take_batch_norm(
    chain: Chain,
    name: str,
    arrays: _Arrays,
    epsilon: float,
    needed: tuple[str, ...] = ("gamma", "beta", "moving_mean"),
) -> None:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    for part in (*needed, "moving_variance"):
        if part not in arrays or arrays[part].ndim != 1:
            raise chain.refuse(f"layer {name}", f"lacks a {part}")
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
        raise chain.refuse(where, "is no plain ReLU")
    limit = config.get("max_value")
    return {6.0: "relu6", None: "relu"}.get(limit, f"relu up to {limit}")


def _function(given: Any) -> str:
    if isinstance(given, dict):
        given = given.get("config", given.get("class_name"))
        given = given.get("name") if isinstance(given, dict) else given
    return "linear" if given is None else str(given)


# -------------------------------------------------------------------------------------- the file


def _read(path: Path) -> tuple[_Stored, str | None]:
    """All floating-point arrays of the model, and its description where the file has one."""
    try:
        import h5py
    except ImportError:
        raise MissingPackageError(
            "reading a Keras file needs the h5py package", "pip install 'edged[models]'"
        ) from None
    try:
        start = read_file(path, len(FILE_SIGNATURE))
    except OSError as error:
        raise cannot_read(path, error) from None
    if not start:
        raise InputError("is empty", where=path, fix="fetch the file again")
    archive = start.startswith(b"PK")
    if start != FILE_SIGNATURE and not archive:
        raise InputError("is no Keras file", where=path, got=f"it begins {start!r}")
    try:
        if archive:
            return _archive(h5py, path)
        with h5py.File(path, "r") as file:
            return _contents(h5py, path, file)
    except (
        OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile,
        NotImplementedError,
    ):  # fmt: skip
        raise InputError(
            "is a truncated or damaged Keras file",
            where=path,
            got=f"{path.stat().st_size} bytes",
            fix="fetch the file again",
        ) from None


def _archive(h5py: Any, path: Path) -> tuple[_Stored, str]:
    with zipfile.ZipFile(path) as archive:
        members = {}
        for name in (DESCRIPTION, WEIGHTS):
            if archive.getinfo(name).file_size > _MOST_BYTES:
                raise _too_much(path)
            members[name] = archive.read(name)
    by_way: dict[str, dict[int, _Array]] = {}
    with h5py.File(io.BytesIO(members[WEIGHTS]), "r") as file:
        root = file.get("layers", file)  # beside it lies what only training needs
        for dataset in _datasets(h5py, path, root):
            way, _, number = dataset.name.removeprefix("/").rpartition("/vars/")
            if number.isdecimal():
                by_way.setdefault(way, {})[int(number)] = _numbers(dataset)
    return _Stored(by_way=by_way), members[DESCRIPTION].decode()


def _contents(h5py: Any, path: Path, file: Any) -> tuple[_Stored, str | None]:
    """A dataset's name is its own (`kernel:0`), its layer's is that of the group it lies in."""
    arrays: dict[tuple[str, str], dict[str, _Array]] = {}
    inside = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
    root = file["model_weights"] if inside else file
    for dataset in _datasets(h5py, path, root):
        parts = dataset.name.removeprefix(root.name).strip("/").split("/")
        if not inside and "vars" in parts:
            raise InputError(
                "holds weights alone, without the names of their layers",
                where=path,
                fix="write the whole model with model.save('NAME.keras')",
            )
        layer = arrays.setdefault((parts[0], parts[-2]), {})
        name = parts[-1].partition(":")[0]
        if name in layer:
            raise InputError("two layers of one name", where=f"{path}, layer {parts[-2]}")
        layer[name] = _numbers(dataset)
    description = file.attrs.get("model_config")
    text = description.decode() if isinstance(description, bytes) else description
    return _Stored(by_layer=arrays), text


def _datasets(h5py: Any, path: Path, root: Any) -> list[Any]:
    """Of floating-point numbers; all that the file holds itself, and no more than a model can.

    The bound is on what is asked for in all: unwritten datasets cost a file nothing.
    """
    datasets: list[Any] = []
    count = numbers = 0

    def take(_: str, item: Any) -> None:
        nonlocal count, numbers
        if not isinstance(item, h5py.Dataset):
            return
        count += 1
        if item.dtype.kind != "f" and item.dtype != _BFLOAT16:
            return
        numbers += item.size
        if count > _MOST_DATASETS or numbers > _MOST_NUMBERS:
            raise _too_much(path)
        if item.external or item.is_virtual:
            raise InputError(
                "keeps its numbers in other files, which are not read",
                where=f"{path}, {item.name}",
                fix="write the whole model with model.save('NAME.keras')",
            )
        datasets.append(item)

    root.visititems(take)
    return datasets


def _numbers(dataset: Any) -> _Array:
    values = np.asarray(dataset[()])
    if values.dtype == _BFLOAT16:  # the upper half of a float32
        upper = np.frombuffer(values.tobytes(), "<u2").astype(np.uint32) << 16
        return upper.view(np.float32).reshape(values.shape)
    return values.astype(np.float32)


def _too_much(path: Path) -> InputError:
    return InputError(
        "asks for more memory than any MobileNet v1 needs",
        where=path,
        got=f"{path.stat().st_size} bytes that stand for more than {_MOST_NUMBERS} numbers",
        fix="write the model without its optimizer: model.save('NAME.keras')",
    )

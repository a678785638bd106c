"""Reads a Keras model's description: its layers in execution order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.errors import InputError
from edged.printable import printable
from edged.variants.weights.chain import TEACH, Chain


@dataclass(frozen=True)
class Step:
    """A layer of the description. outer: its outermost layer. way: the path to its arrays in an
    archive. operands: of an arithmetic operation, in order, None for the value."""

    kind: str
    name: str
    config: Mapping[str, Any]
    outer: str
    way: str
    operands: tuple[Any, ...] = ()


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


def check_kin(path: Path, model: Any) -> None:
    """Raise InputError for another known architecture, by its name or structure."""
    layers = list(_all_layers(model))
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
            raise _other(path, "MobileNet v3 or EfficientNet", "squeeze-and-excitation blocks")
        raise _other(path, "MobileNet v2", "residual additions")


def _other(path: Path, what: str, got: str) -> InputError:
    return InputError(f"this is {what}; edged runs MobileNet v1", where=path, got=got, fix=TEACH)


def _layers_of(model: Any) -> list[Any] | None:
    config = model["config"]
    layers = config if isinstance(config, list) else config.get("layers")
    return layers if isinstance(layers, list) else None


def steps(chain: Chain, model: Any, outer: str = "", way: str = "") -> Iterator[Step]:
    """The layers from the picture to the scores, nested models expanded."""
    layers = _layers_of(model)
    if layers is None:
        kind = printable(str(model["class_name"]), 80)
        raise InputError(
            f"{kind} is a custom Python class, whose layers the file does not describe",
            where=chain.path,
            fix="build it of these layers with keras.Sequential or keras.Model(inputs, outputs)",
        )
    places = _places(layers)
    for layer, operands in _in_order(chain, model, layers):
        config = layer["config"]
        name = str(layer.get("name") or (config.get("name") if isinstance(config, dict) else ""))
        at = f"{way}layers/{places[id(layer)]}"
        if _layers_of(layer) is not None:
            yield from steps(chain, layer, outer or name, f"{at}/")
        else:
            yield Step(layer["class_name"], name, config, outer or name, at, operands)


def _places(layers: list[Any]) -> dict[int, str]:
    """Each layer's name in an archive: its class in snake case, numbered from the second on."""
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
    """Layers with their operands: in the order of their inputs if stated, otherwise as listed."""
    if "output_layers" not in model["config"]:
        return [(layer, ()) for layer in layers]
    by_name = {layer.get("name") or layer["config"]["name"]: layer for layer in layers}
    outputs = model["config"]["output_layers"]
    if isinstance(outputs, dict):  # by user-defined names
        outputs = list(outputs.values())
    outputs = [outputs] if outputs and isinstance(outputs[0], str) else outputs
    if len(outputs) != 1:
        raise InputError(
            "has several outputs, so it is not a classifier",
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
            raise chain.refuse(f"layer {name}", "uses a layer more than once")
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
    """The input layers of a call, and its operands, None for a layer's output."""
    if isinstance(node, dict):  # Keras 3
        sources: list[str] = []
        operands = tuple(
            _operand(each, sources)
            for each in (*node["args"], *(node.get("kwargs") or {}).values())
        )
        return sources, operands
    if node and isinstance(node[0], str):  # Keras 2, an operation: source and operands
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

"""A small family of real networks, made in a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from edged.backends.onnxruntime import OrtBackend
from edged.variants.family import (
    Accuracy,
    Family,
    InputContract,
    Network,
    load_family,
    write_family,
)
from edged.variants.golden import with_golden
from edged.variants.mobilenet import Architecture
from edged.variants.variant import Variant
from edged.variants.weights.importing import import_weights as _import_weights
from edged.variants.weights.onnx_builder import build_network
from tests.rig.weights import lively_weights

LABELS = ("ant", "bee", "cat", "dog", "élan", "fox")
ALPHAS = (0.03, 0.25)
RESOLUTIONS = (64, 96)

import_weights = partial(_import_weights, backend=OrtBackend())


@cache
def model(alpha: float, classes: int = len(LABELS), seed: int = 0) -> bytes:
    architecture = Architecture(alpha, classes)
    weights = lively_weights(architecture, seed)
    return build_network(architecture, weights, scale=1 / 127.5, offset=-1.0)


@cache
def _drawn() -> tuple[Family, dict[str, bytes], bytes]:
    models = {f"mobilenet_v1_{alpha}.onnx": model(alpha) for alpha in ALPHAS}
    networks = tuple(
        Network.of(Path(name), models[name], alpha, RESOLUTIONS)
        for name, alpha in zip(models, ALPHAS, strict=True)
    )
    folders = {"n01": "ant"}
    bare = Family("animals", Path(), LABELS, InputContract(), networks, photo_folders=folders)
    family, golden = with_golden(bare, models, OrtBackend())
    return family, models, golden


def make_family(directory: Path) -> Family:
    """Two networks of two resolutions and six labels, with its golden picture, on disk."""
    family, models, golden = _drawn()
    return write_family(replace(family, directory=directory), models, golden)


def sibling(family: Family, directory: Path, top1: Mapping[Variant, float] | None = None) -> Family:
    """Another family on disk, with the same network files and other labels. top1: as measured, of
    all variants; without it, what the family has."""
    networks = family.networks
    if top1 is not None:
        networks = tuple(
            replace(
                network,
                accuracy={
                    each.resolution: Accuracy(top1[each], None, 100, "its own photos")
                    for each in network.variants()
                },
            )
            for network in networks
        )
    labels = tuple(f"other {label}" for label in family.labels)
    other = replace(family, name=directory.name, directory=directory, labels=labels)
    return write_family(replace(other, networks=networks, photo_folders={}), {})


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------------------------- writing


def with_other_network(family: Family, seed: int = 7) -> tuple[Family, dict[str, bytes], bytes]:
    """The same family, trained anew: other weights under the same file name, another label."""
    path = family.networks[0].path
    models = {path.name: model(ALPHAS[0], seed=seed)}
    network = Network.of(path, models[path.name], ALPHAS[0], RESOLUTIONS)
    changed = replace(
        family, networks=(network, *family.networks[1:]), labels=(*LABELS[:-1], "gnu")
    )
    changed, golden = with_golden(changed, models, OrtBackend())
    return changed, models, golden


def edit(family: Family, old: str, new: str, count: int = 1) -> None:
    """Change the manifest as a person would."""
    path = family.directory / "family.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def reload(directory: Path) -> Family:
    return load_family(str(directory), Path())

"""Weights of another framework become a network of a family: `edged models import`.

Knows which files belong together, which class is no class, and what may join a family. How a file
is read is tflite.py and keras.py, how a network is built network.py, how a family is written
family.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edged.backends.ort import OrtBackend
from edged.errors import InputError
from edged.variants import keras, tflite_file
from edged.variants.family import Family, Fit, InputContract, Network, load_family, write_family
from edged.variants.golden import with_golden
from edged.variants.keras import read_keras
from edged.variants.manifest import MANIFEST, SMALLEST_RESOLUTION
from edged.variants.mobilenet import Architecture, Body
from edged.variants.network import ImportedWeights, build_network, check_weights
from edged.variants.tflite import read_tflite
from edged.variants.variant import Precision, Variant

BACKGROUND = "background"
"""What TF-Slim calls its class 0, which no picture shows."""
_IMAGENET_CLASSES = 1000
LARGEST_RESOLUTION = 512
"""More than twice what MobileNet v1 was published for."""

_FOREIGN = {
    b"\x1f\x8b": ("a gzip archive", "unpack it and name the .tflite file inside"),
    b"PK\x03\x04": ("a zip archive", "write a Keras model with model.save('NAME.h5')"),
    b"\x08": ("what may be an ONNX network", "name the weights that it was made from"),
}


def import_weights(
    weights: Path,
    head: Path | None,
    *,
    alpha: float,
    resolutions: Sequence[int],
    labels: Path,
    into: Path,
    scale: float | None = None,
    offset: float | None = None,
    fit: Fit | None = None,
) -> Network:
    """Add a network to the family in the folder `into`, which is begun where there is none.

    It serves just these resolutions, and takes those of them that another network of the same
    alpha served before. head: the second of two chained TensorFlow Lite files. scale, offset: the
    network sees pixel * scale + offset; by default what the file states, else -1 … 1. fit: by
    default the family's. Raises InputError for anything wrong with the files or their fit to each
    other; the family is then as it was.
    """
    for resolution in resolutions:
        if not SMALLEST_RESOLUTION <= resolution <= LARGEST_RESOLUTION:
            raise InputError(
                f"a resolution is from {SMALLEST_RESOLUTION} to {LARGEST_RESOLUTION}",
                got=resolution,
            )
    family = begin_family(into, fit)
    imported = read_weights(weights, head)
    _check_alpha(imported, Architecture(alpha, classes=1), weights)
    if scale is not None and offset is not None:
        imported = replace(imported, scale=scale, offset=offset)
    made = convert(imported, weights, alpha, resolutions, read_labels(labels), labels)
    return add_networks(family, [made]).network(Variant(alpha, min(resolutions)))


@dataclass(frozen=True, slots=True)
class Converted:
    """A network that is in no family yet. model: the content of its file. labels: without the
    background class."""

    network: Network
    model: bytes
    labels: tuple[str, ...]


def convert(
    imported: ImportedWeights,
    weights: Path,
    alpha: float,
    resolutions: Sequence[int],
    labels: tuple[str, ...],
    labels_path: Path,
) -> Converted:
    """Raises InputError where labels and weights do not fit; the paths are for its message."""
    classes, imported = _without_background(imported, labels, labels_path, weights)
    model = build_network(
        imported.architecture,
        imported.weights,
        scale=imported.scale,
        offset=imported.offset,
        activation=imported.activation,
    )
    sides = sorted(set(resolutions))
    name = Variant(alpha, sides[0]).name + "".join(f"_{side}" for side in sides[1:]) + ".onnx"
    return Converted(Network.of(Path(name), model, alpha, sides), model, classes)


def add_networks(family: Family, made: Sequence[Converted]) -> Family:
    """Write the family with these networks in it, all or none, and return it."""
    networks: Sequence[Network] = family.networks
    for each in made:
        check_labels(family, each.labels)
        family = replace(family, labels=each.labels)
        path = family.directory / each.network.path.name
        networks = (*_beside(each.network, networks), replace(each.network, path=path))
    family = replace(family, networks=tuple(networks))
    models = {each.network.path.name: each.model for each in made}
    family, golden = with_golden(family, models, OrtBackend())
    return write_family(family, models, golden)


def check_labels(family: Family, labels: Sequence[str]) -> None:
    """Raise InputError when the family has others."""
    if family.labels and family.labels != labels:
        raise InputError(
            "the family in this folder has other labels",
            where=family.directory,
            got=_first_difference(family.labels, labels),
            fix="import into another folder",
        )


def begin_family(into: Path, fit: Fit | None) -> Family:
    """The family in the folder, or a new one without labels and networks."""
    if (into / MANIFEST).exists():
        family = load_family(str(into.absolute()), Path())
        if fit not in (None, family.input.fit):
            raise InputError(
                f"the family in this folder fits pictures by {family.input.fit.value}",
                where=into,
                got=fit.value if fit else None,
                fix="import into another folder, or leave the fit to the family",
            )
        return family
    if into.exists() and not into.is_dir():
        raise InputError("a family is a folder", where=into, got="a file")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", into.resolve().name).lstrip(".-") or "family"
    return Family(name, into, (), InputContract(fit=fit or Fit.CROP), ())


def read_weights(weights: Path, head: Path | None = None) -> ImportedWeights:
    """Choose the reader by what the file begins with; its name says nothing."""
    try:
        with weights.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise InputError("cannot be read", where=weights, got=error.strerror) from None
    if start == keras.FILE_SIGNATURE:
        if head is not None:
            raise InputError("a Keras file is whole; nothing belongs behind it", where=head)
        imported = read_keras(weights)
    elif start[4:] == tflite_file.FILE_IDENTIFIER:
        imported = read_tflite(weights, head)
    else:
        foreign = (facts for magic, facts in _FOREIGN.items() if start.startswith(magic))
        got, fix = next(foreign, (f"it begins {start!r}" if start else "an empty file", None))
        raise InputError(
            "neither a TensorFlow Lite file nor a Keras .h5 file", where=weights, got=got, fix=fix
        )
    _check_numbers(imported, weights)
    return imported


def _check_numbers(imported: ImportedWeights, weights: Path) -> None:
    """Refuse what no training leaves behind: a file of the right length with nothing in it."""
    try:
        check_weights(imported.architecture, imported.weights)
    except InputError as error:
        raise InputError(error.what, where=f"{weights}, {error.where}", got=error.got) from None
    for name, values in imported.weights.items():
        if name.endswith(".weight") and values.size > 1 and np.ptp(values) == 0:
            raise InputError(
                "damaged: all weights of a layer are the same number",
                where=f"{weights}, {name}",
                got=float(values.flat[0]),
                fix="fetch the file again",
            )


def _check_alpha(imported: ImportedWeights, stated: Architecture, weights: Path) -> None:
    found = imported.architecture
    if found.body is not Body.SEPARABLE:
        raise InputError(
            "a family is made of separable bodies", where=weights, got=f"a {found.body.value} body"
        )
    if found.layers() != stated.layers():
        raise InputError(
            f"these weights are of alpha {found.alpha}",
            where=weights,
            got=f"--alpha {stated.alpha}",
            fix=f"say --alpha {found.alpha} or name another file",
        )


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line, by class index."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise InputError("cannot be read", where=path, got=error.strerror) from None
    except UnicodeDecodeError as error:
        raise InputError("the labels are not UTF-8 text", where=path, got=str(error)) from None
    labels = tuple(line.strip() for line in lines)
    if not labels:
        raise InputError("there are no labels", where=path, fix="write one label a line")
    if "" in labels:
        raise InputError("an empty label", where=f"{path}:{labels.index('') + 1}")
    return labels


def _without_background(
    imported: ImportedWeights, labels: tuple[str, ...], labels_path: Path, weights: Path
) -> tuple[tuple[str, ...], ImportedWeights]:
    """Labels and weights that match, TF-Slim's background class dropped from whichever has it.

    One label file so serves TF-Slim's networks of 1001 classes and Keras's of 1000.
    """
    found = imported.architecture.classes
    background = labels[0].lower() == BACKGROUND
    classes = labels[1:] if background else labels
    if found == len(classes):
        return classes, imported
    # A label file without the class is taken for ImageNet's alone: elsewhere, one class more
    # than labels is likelier a mistake.
    has_background = background or len(classes) == _IMAGENET_CLASSES
    if not has_background or found != len(classes) + 1 or not classes:
        raise InputError(
            f"the network has {found} classes",
            where=weights,
            got=f"{len(labels)} labels in {labels_path}",
            fix="name the label file that belongs to the network",
        )
    kept = dict(imported.weights)
    for name in ("classifier.weight", "classifier.bias"):
        kept[name] = kept[name][1:]
    architecture = replace(imported.architecture, classes=len(classes))
    return classes, replace(imported, architecture=architecture, weights=kept)


def _beside(network: Network, present: Sequence[Network]) -> list[Network]:
    """The present networks without the variants that the new one takes over."""
    taken = set(network.variants())
    # An INT8 twin was made of the float network that goes.
    taken |= {replace(variant, precision=Precision.INT8) for variant in taken}
    kept = []
    for other in present:
        left = [variant.resolution for variant in other.variants() if variant not in taken]
        if left:
            kept.append(replace(other, resolutions=tuple(left)))
    return kept


def _first_difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    if len(ours) != len(theirs):
        return f"{len(theirs)} labels, not {len(ours)}"
    index = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
    return f"label {index} is {theirs[index]!r}, not {ours[index]!r}"

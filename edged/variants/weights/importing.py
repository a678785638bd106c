"""Adds weights of another framework to a family: `edged models import`.

tflite.py and keras.py read the files, onnx_builder.py builds the network, family.py writes the
family.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edged.atomic_file import read_file
from edged.errors import InputError, cannot_read, not_utf8
from edged.variants.family import Family, Fit, InputContract, Network, load_family, write_family
from edged.variants.golden import with_golden
from edged.variants.manifest import MANIFEST, SMALLEST_RESOLUTION
from edged.variants.mobilenet import Architecture, Body
from edged.variants.runtime import Backend
from edged.variants.variant import Precision, Variant
from edged.variants.weights import keras_file, tflite_file
from edged.variants.weights.foreign import SNIFFED_BYTES, foreign_file, foreign_folder
from edged.variants.weights.keras import read_keras
from edged.variants.weights.onnx_builder import (
    ImportedWeights,
    InputRange,
    build_network,
    check_weights,
)
from edged.variants.weights.range_check import range_warning, with_fitting_range
from edged.variants.weights.tflite import read_tflite

BACKGROUND = "background"
"""TF-Slim's name of its unused class 0."""
_IMAGENET_CLASSES = 1000
_MOST_LABEL_BYTES = 1 << 20
_STRIDE = 32
"""Pixels of the picture per cell of the last feature map."""
_NUMBERED = re.compile(r"(\d{1,6})\s*[:,;.\t ]\s*(\S.*)")
LARGEST_RESOLUTION = 512
"""More than twice the largest published resolution of MobileNet v1."""


def import_weights(
    weights: Path,
    head: Path | None,
    *,
    labels: Path,
    into: Path,
    backend: Backend,
    alpha: float | None = None,
    resolutions: Sequence[int] = (),
    input_range: InputRange | None = None,
    fit: Fit | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Network:
    """Add a network to the family in the folder `into`, creating the family if there is none.

    The network serves these resolutions, by default the file's own, and replaces another network of
    the same alpha at them. head: the second of two chained TensorFlow Lite files. alpha: must equal
    the file's. input_range: by default as the file states. fit: by default the family's. note:
    called with a sentence for each assumption or omission. Raises InputError for invalid files or
    files that do not match each other; the family is then unchanged.
    """
    for resolution in resolutions:
        if not SMALLEST_RESOLUTION <= resolution <= LARGEST_RESOLUTION:
            raise InputError(
                f"a resolution must be from {SMALLEST_RESOLUTION} to {LARGEST_RESOLUTION}",
                got=resolution,
            )
    family = begin_family(into, fit)
    imported = read_weights(weights, head)
    _check_alpha(imported, alpha, weights)
    imported = (
        with_fitting_range(imported) if input_range is None else imported.with_range(input_range)
    )
    sides = _resolutions(imported, resolutions, weights)
    for sentence in (*imported.notes, *_assumptions(imported, sides)):
        note(sentence)
    found = imported.architecture
    made = convert(imported, weights, found.alpha, sides, read_labels(labels, note), labels, note)
    warning = range_warning(imported)
    if warning is not None:
        note(warning)
    return add_networks(family, [made], backend).network(Variant(found.alpha, min(sides)))


def _resolutions(
    imported: ImportedWeights, wanted: Sequence[int], weights: Path
) -> tuple[int, ...]:
    sides = tuple(sorted(set(wanted)))
    if not sides:
        if imported.resolution is None:
            raise InputError(
                "the file does not state its resolution",
                where=weights,
                fix="use --resolution 224",
            )
        sides = (imported.resolution,)
    odd = [side for side in sides if side % _STRIDE]
    if odd and imported.even_sizes:
        near = max(SMALLEST_RESOLUTION, round(odd[0] / _STRIDE) * _STRIDE)
        raise InputError(
            f"edged supports this network's padding only at multiples of {_STRIDE} pixels",
            where=weights,
            got=f"{odd[0]} pixels",
            fix=f"use --resolution {near}",
        )
    return sides


def _assumptions(imported: ImportedWeights, sides: Sequence[int]) -> Iterator[str]:
    assumed = imported.assumed
    if assumed is not None:
        own = ", which its own layers scale" if imported.inner != (1.0, 0.0) else ""
        others = " or ".join(
            f"--input-range {each.value} for {each.words}"
            for each in InputRange
            if each is not assumed
        )
        yield (
            f"the file states no input range; assuming {assumed.words}{own}. If that is wrong, use "
            f"{others} (edged models evaluate shows which is right)"
        )
    if imported.resolution is not None and set(sides) != {imported.resolution}:
        yield (
            f"the model was made for {imported.resolution} pixels; at "
            f"{', '.join(map(str, sides))} its accuracy differs"
        )


@dataclass(frozen=True, slots=True)
class Converted:
    """A network not yet in a family. model: the content of its file. labels: without the
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
    note: Callable[[str], None] = lambda sentence: None,
) -> Converted:
    """Raises InputError where labels and weights do not match; the paths are for its message."""
    classes, imported = _without_background(imported, labels, labels_path, weights, note)
    model = build_network(
        imported.architecture,
        imported.weights,
        scale=imported.scale,
        offset=imported.offset,
        activation=imported.activation,
        hidden_activation=imported.hidden_activation,
        independent=imported.independent,
    )
    sides = sorted(set(resolutions))
    name = Variant(alpha, sides[0]).name + "".join(f"_{side}" for side in sides[1:]) + ".onnx"
    return Converted(Network.of(Path(name), model, alpha, sides), model, classes)


def add_networks(family: Family, made: Sequence[Converted], backend: Backend) -> Family:
    """Write the family with all of these networks, and return it."""
    networks: Sequence[Network] = family.networks
    for each in made:
        check_labels(family, each.labels)
        family = replace(family, labels=each.labels)
        path = family.directory / each.network.path.name
        networks = (*_beside(each.network, networks), replace(each.network, path=path))
    family = replace(family, networks=tuple(networks))
    models = {each.network.path.name: each.model for each in made}
    family, golden = with_golden(family, models, backend)
    return write_family(family, models, golden)


def check_labels(family: Family, labels: Sequence[str]) -> None:
    """Raise InputError if the family has other labels."""
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
        family.check_own()
        if fit not in (None, family.input.fit):
            raise InputError(
                f"the family in this folder uses fit {family.input.fit.value}",
                where=into,
                got=fit.value if fit else None,
                fix="import into another folder, or leave out the fit",
            )
        return family
    if into.exists() and not into.is_dir():
        raise InputError("a family must be a folder", where=into, got="a file")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", into.resolve().name).lstrip(".-") or "family"
    return Family(name, into, (), InputContract(fit=fit or Fit.CROP), ())


def read_weights(weights: Path, head: Path | None = None) -> ImportedWeights:
    """Choose the reader by the file's content, not its name."""
    if weights.is_dir():
        raise foreign_folder(weights)
    try:
        start = read_file(weights, SNIFFED_BYTES)
    except OSError as error:
        raise cannot_read(weights, error) from None
    if start.startswith(keras_file.FILE_SIGNATURE) or keras_file.is_archive(weights):
        if head is not None:
            raise InputError("a Keras file takes no second file", where=head)
        imported = read_keras(weights)
    elif start[4:8] == tflite_file.FILE_IDENTIFIER:
        imported = read_tflite(weights, head)
    else:
        raise foreign_file(weights, start)
    _check_numbers(imported, weights)
    return imported


def _check_numbers(imported: ImportedWeights, weights: Path) -> None:
    """Refuse weights that no training produces, such as a file filled with zeros."""
    try:
        check_weights(imported.architecture, imported.weights)
    except InputError as error:
        raise InputError(error.what, where=f"{weights}, {error.where}", got=error.got) from None
    for name, values in imported.weights.items():
        if name.endswith(".weight") and values.size > 1 and np.ptp(values) == 0:
            raise InputError(
                "damaged: all weights of a layer are equal",
                where=f"{weights}, {name}",
                got=float(values.flat[0]),
                fix="download the file again",
            )


def _check_alpha(imported: ImportedWeights, stated: float | None, weights: Path) -> None:
    found = imported.architecture
    if found.body is not Body.SEPARABLE:
        raise InputError(
            "a family requires networks with a separable body",
            where=weights,
            got=f"a {found.body.value} body",
        )
    if stated is None:
        return
    if Architecture(stated, 1, narrowest=found.narrowest).layers() != found.layers():
        raise InputError(
            f"these weights have alpha {found.alpha}",
            where=weights,
            got=f"--alpha {stated}",
            fix="leave out --alpha, or name another file",
        )


def read_labels(path: Path, note: Callable[[str], None] = lambda sentence: None) -> tuple[str, ...]:
    """One label per line, by class index. If every line begins with a number (`0 daisy`), the
    numbers give the order and are removed."""
    try:
        lines = read_file(path, _MOST_LABEL_BYTES).decode("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise cannot_read(path, error) from None
    except UnicodeDecodeError as error:
        raise not_utf8("the labels are not UTF-8 text", path, error) from None
    labels = tuple(line.strip() for line in lines)
    if not labels:
        raise InputError("no labels", where=path, fix="write one label per line")
    if "" in labels:
        raise InputError("an empty label", where=f"{path}:{labels.index('') + 1}")
    numbered = [match for line in labels if (match := _NUMBERED.fullmatch(line))]
    numbers = [int(match[1]) for match in numbered]
    count = len(labels)
    for first in (0, 1):
        if sorted(numbers) == list(range(first, first + count)):
            note(f"removed the numbers, from {first}, in front of the labels")
            by_number = {number: match[2] for number, match in zip(numbers, numbered, strict=True)}
            return tuple(by_number[number] for number in sorted(numbers))
    return labels


def _without_background(
    imported: ImportedWeights,
    labels: tuple[str, ...],
    labels_path: Path,
    weights: Path,
    note: Callable[[str], None],
) -> tuple[tuple[str, ...], ImportedWeights]:
    """Matching labels and weights, without TF-Slim's background class.

    One label file thus serves networks of TF-Slim (1001 classes) and Keras (1000). With other
    counts, `background` is an ordinary class.
    """
    found = imported.architecture.classes
    with_background = _IMAGENET_CLASSES + 1
    classes = labels
    if len(labels) == with_background and labels[0].lower() == BACKGROUND:
        classes = labels[1:]
    if len(classes) == _IMAGENET_CLASSES and found in (_IMAGENET_CLASSES, with_background):
        if found == with_background:
            note("dropped class 0 of 1001, ImageNet's background")
            kept = dict(imported.weights)
            for name in ("classifier.weight", "classifier.bias"):
                kept[name] = kept[name][1:]
            architecture = replace(imported.architecture, classes=len(classes))
            imported = replace(imported, architecture=architecture, weights=kept)
        return classes, imported
    if found != len(labels):
        raise InputError(
            f"the network has {found} classes",
            where=weights,
            got=f"{len(labels)} labels in {labels_path}",
            fix="name the label file that belongs to the network",
        )
    return labels, imported


def _beside(network: Network, present: Sequence[Network]) -> list[Network]:
    """The present networks without the variants that the new one replaces."""
    taken = set(network.variants())
    # The INT8 counterpart of the replaced float network is removed as well.
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

"""Taught families: classes that heads tell apart on the features of another family's networks.

The folder holds the manifest, format 2, with labels and heads (heads.py). Networks, golden picture
and golden scores are those of the backbone, which the manifest names by folder or shipped name and
each head by its network's sha256. So a check of the networks proves the backbone, not the heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.document.document import Document, read_document
from edged.errors import EdgedError, InputError, InputErrors
from edged.variants.family import SHIPPED, Family, Fit, InputContract, load_family
from edged.variants.folder import file_entry, free_name, label_lines, read_labels, replace_family
from edged.variants.heads import Head, HeadMatrix, head_bytes
from edged.variants.manifest import FILE, FILE_NAME, MANIFEST, SHA256, SHARE, TAUGHT, sealed
from edged.variants.network import MEND, Accuracy, Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edged.variants.runtime import Runner

_TEACH = "teach it again"
_INPUT = InputContract(Fit.SQUASH, crop_fraction=1.0)
"""A head sees the whole region that was drawn."""

_RESOLUTION = {
    "type": "object",
    "additionalProperties": False,
    "dependentRequired": {
        "top1": ["source"], "source": ["top1"], "low": ["top1", "high"], "high": ["low"],
    },
    "properties": {
        "top1": SHARE,
        "photos": {"type": "integer", "minimum": 1},
        "source": {"type": "string", "minLength": 1},
        "low": SHARE,
        "high": SHARE,
    },
}  # fmt: skip
_HEAD = {
    "type": "object",
    "required": ["file", "sha256", "network", "resolutions"],
    "additionalProperties": False,
    "properties": {
        "file": FILE_NAME,
        "sha256": SHA256,
        "network": SHA256,
        "resolutions": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[0-9]{2,4}$"},
            "additionalProperties": _RESOLUTION,
        },
    },
}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["format", "name", "architecture", "backbone", "labels", "none", "heads"],
    "additionalProperties": False,
    "properties": {
        "format": {"const": TAUGHT},
        "name": FILE_NAME,
        "architecture": {"const": "mobilenet_v1"},
        "backbone": {"type": "string", "minLength": 1},
        "labels": FILE,
        "input": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"fit": {"enum": [each.value for each in Fit]}},
        },
        "none": {"type": "boolean"},
        "heads": {"type": "array", "minItems": 1, "items": _HEAD},
        "checksum": SHA256,
    },
}


def untaught(name: str, backbone: Family, labels: Sequence[str]) -> Family:
    """A family without heads, not taught or not deployed yet: its networks run, and give features
    only."""
    networks = [replace(network, accuracy={}) for network in backbone.networks]
    return _on(backbone, name, backbone.directory, labels, networks)


def to_teach(family: Family) -> str | None:
    """What to do before the family gives results; None if nothing."""
    if family.backbone is None or family.heads:
        return None
    return f"no version of {family.name} is deployed yet: edged teach {family.name}"


def read_taught(directory: Path, shipped_in: Sequence[Path] = SHIPPED) -> Family:
    """The taught family in the folder, and its backbone.

    A backbone that is not a shipped name is a folder, absolute or relative to this one. Raises
    InputError, or InputErrors with all errors of the manifest.
    """
    document = read_document(directory / MANIFEST, SCHEMA)
    data = document.data
    backbone = _backbone(document, directory, shipped_in)
    labels = read_labels(directory / data["labels"]["file"], data["labels"]["sha256"])
    networks, heads, errors = _read_heads(document, directory, backbone)
    if errors:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)
    taught = _on(backbone, data["name"], directory, labels, networks)
    fit = Fit(data.get("input", {}).get("fit", _INPUT.fit))
    return replace(taught, input=replace(_INPUT, fit=fit), heads=heads, none=data["none"])


def _on(
    backbone: Family,
    name: str,
    directory: Path,
    labels: Sequence[str],
    networks: Sequence[Network],
) -> Family:
    """A family without heads."""
    return Family(
        name,
        directory,
        tuple(labels),
        _INPUT,
        tuple(networks),
        golden=backbone.golden,
        golden_sha256=backbone.golden_sha256,
        backbone=backbone,
    )


def _backbone(document: Document, directory: Path, shipped_in: Sequence[Path]) -> Family:
    reference = document.data["backbone"]
    try:
        return load_family(reference, directory, shipped_in, taught=False)
    except InputErrors:  # located in the backbone's manifest
        raise
    except InputError as error:
        what = f"the backbone cannot be read: {error}"
        raise document.error(what, "backbone", got=reference, fix=_TEACH) from None


def _read_heads(
    document: Document, directory: Path, backbone: Family
) -> tuple[list[Network], dict[str, Head], list[InputError]]:
    """The backbone's networks that have a head, at its resolutions, and the heads."""
    networks: list[Network] = []
    heads: dict[str, Head] = {}
    errors: list[InputError] = []
    known = {network.sha256: network for network in backbone.networks}
    for index, entry in enumerate(document.data["heads"]):
        at, path, sha256 = ("heads", index), directory / entry["file"], entry["network"]
        cells = {int(side): cell for side, cell in entry["resolutions"].items()}
        network = known.get(sha256)
        if not path.is_file():
            errors.append(document.error("no such file", *at, "file", got=path.name, fix=MEND))
        if network is None:
            what = f"the backbone {backbone.name} in {backbone.directory} has no such network"
            errors.append(document.error(what, *at, "network", got=sha256, fix=_TEACH))
            continue
        if sha256 in heads:
            what = f"{heads[sha256].path.name} is already the head of this network"
            errors.append(document.error(what, *at, "network", got=sha256))
        for side in sorted(cells.keys() - set(network.resolutions)):
            what = f"{network.path} does not serve this resolution"
            errors.append(document.error(what, *at, "resolutions", side, fix=_TEACH))
        accuracy = {
            side: Accuracy(
                *(cell["top1"], None, cell.get("photos"), cell["source"]),
                *(cell.get("low"), cell.get("high")),
            )
            for side, cell in cells.items()
            if "top1" in cell
        }
        heads[sha256] = Head(path, entry["sha256"], sha256, accuracy)
        networks.append(replace(network, resolutions=tuple(sorted(cells)), accuracy=accuracy))
    return networks, heads, errors


def head_matrices(family: Family) -> dict[str, HeadMatrix] | None:
    """The heads of a taught family by their networks' sha256, read; empty if it is not taught yet,
    None for any other family. Raises InputError for one that does not match its family."""
    if family.backbone is None:
        return None
    return {network: _matrix(family, head) for network, head in family.heads.items()}


def _matrix(family: Family, head: Head) -> HeadMatrix:
    matrix = head.read()
    if matrix.rows != len(family.labels) + family.none:
        none = " and none" if family.none else ""
        raise InputError(
            f"the head does not match the family's {len(family.labels)} labels{none}",
            where=head.path,
            got=f"{matrix.rows} rows",
            fix=_TEACH,
        )
    return matrix


def check_head(runner: Runner, family: Family, network: Network) -> None:
    """Raise InputError if the network gives no features, or not those that its head takes, or if
    the head does not match the labels."""
    import numpy as np

    side = network.resolutions[0]
    channels = runner.features(np.zeros((1, side, side, 3), np.uint8)).size
    head = family.heads.get(network.sha256)
    if head is not None and (taken := _matrix(family, head).channels) != channels:
        raise InputError(
            f"the head takes {taken} features",
            where=head.path,
            got=f"{channels} of {network.path}",
            fix=_TEACH,
        )


def write_taught(
    directory: Path,
    name: str,
    backbone: Family,
    labels: Sequence[str],
    heads: Mapping[str, NDArray[np.float32]],
    accuracy: Mapping[str, Mapping[int, Accuracy]],
    none: bool,
) -> Family:
    """Write a taught family into the folder, whole, and return it as written.

    heads: float32 (rows, channels + 1) as of HeadMatrix.of, by the sha256 of their networks, each
    for all of its network's resolutions. accuracy: of those that could be judged. Raises ValueError
    for heads that do not match backbone and labels, EdgedError if they cannot be written, and then
    leaves what was there.
    """
    networks = {network.sha256: network for network in backbone.networks}
    if unknown := heads.keys() - networks.keys():
        raise ValueError(f"no networks of {backbone.name}: {sorted(unknown)}")
    files: dict[str, bytes] = {}
    entries = []
    try:
        directory.mkdir(parents=True, exist_ok=True)

        def add(wanted: str, content: bytes) -> dict[str, str]:
            name = free_name(directory, wanted, content)
            files[name] = content
            return file_entry(name, files)

        for sha256, matrix in heads.items():
            if len(matrix) != len(labels) + none:
                raise ValueError(f"{len(matrix)} rows for {len(labels)} labels, none: {none}")
            network, measured = networks[sha256], accuracy.get(sha256, {})
            cells = {side: _cell(measured.get(side)) for side in network.resolutions}
            file = add(f"head_{network.path.stem}.npy", head_bytes(matrix))
            entries.append({**file, "network": sha256, "resolutions": cells})
        manifest = {
            "format": TAUGHT,
            "name": name,
            "architecture": "mobilenet_v1",
            "backbone": _reference(backbone),
            "labels": add("labels.txt", label_lines(labels)),
            "input": {"fit": _INPUT.fit.value},
            "none": none,
            "heads": entries,
        }
        replace_family(directory, files, sealed(manifest).encode())
    except OSError as error:
        what = "cannot write the taught family; what was there is unchanged"
        raise EdgedError(what, where=directory, got=error.strerror) from error
    return read_taught(directory)


def _cell(accuracy: Accuracy | None) -> dict[str, Any]:
    if accuracy is None:
        return {}
    shares = {"top1": accuracy.top1, "low": accuracy.low, "high": accuracy.high}
    rounded = {key: round(value, 4) for key, value in shares.items() if value is not None}
    photos = {} if accuracy.photos is None else {"photos": accuracy.photos}
    return {**rounded, **photos, "source": accuracy.source}


def _reference(backbone: Family) -> str:
    """How the manifest names it: a shipped one by its name, so that an upgrade may move it."""
    if backbone.is_shipped:
        return backbone.directory.name
    return str(backbone.directory.absolute())

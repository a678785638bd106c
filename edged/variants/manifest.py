"""The manifest `family.yaml`: its schema, and reading and writing its networks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from edged.document.document import Document
from edged.errors import InputError
from edged.variants.network import MEND, Accuracy, Network
from edged.variants.variant import Precision, Variant

MANIFEST = "family.yaml"
TAUGHT = 2
"""The format of a taught family's manifest (taught.py); that of all others is 1."""
SMALLEST_RESOLUTION = 32
"""The stride of the whole network."""

_HEADER = "# Written by `edged models`; `edged models verify` checks it and the files it names.\n"

SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
# One component, so that no name leads out of the folder.
FILE_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
FILE = {
    "type": "object",
    "required": ["file", "sha256"],
    "additionalProperties": False,
    "properties": {"file": FILE_NAME, "sha256": SHA256},
}
_RESOLUTION = {
    "type": "object",
    "required": ["golden"],
    "additionalProperties": False,
    "dependentRequired": {"top1": ["source"], "top5": ["top1"], "source": ["top1"]},
    "properties": {
        "top1": SHARE,
        "top5": SHARE,
        "photos": {"type": "integer", "minimum": 1},
        "source": {"type": "string", "minLength": 1},
        "golden": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "array",
                "prefixItems": [{"type": "integer", "minimum": 0}, SHARE],
                "minItems": 2,
                "maxItems": 2,
            },
        },
        "tolerance": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
    },
}
_NETWORK = {
    "type": "object",
    "required": ["file", "sha256", "alpha", "resolutions"],
    "additionalProperties": False,
    "properties": {
        "file": FILE_NAME,
        "sha256": SHA256,
        "bytes": {"type": "integer", "minimum": 1},
        "alpha": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "precision": {"enum": [precision.value for precision in Precision]},
        "calibration": {
            "type": "object",
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
        },
        "resolutions": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": _RESOLUTION,
        },
    },
}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["format", "name", "architecture", "labels", "golden", "networks"],
    "additionalProperties": False,
    "properties": {
        "format": {"const": 1},
        "name": FILE_NAME,
        "architecture": {"const": "mobilenet_v1"},
        "labels": FILE,
        "golden": FILE,
        "input": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "fit": {"enum": ["crop", "squash"]},
                "crop_fraction": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            },
        },
        "photo_folders": {"type": "object", "additionalProperties": {"type": "string"}},
        "networks": {"type": "array", "minItems": 1, "items": _NETWORK},
        "checksum": SHA256,
    },
}


def read_networks(
    document: Document, directory: Path, classes: int
) -> tuple[tuple[Network, ...], list[InputError]]:
    """The networks of a manifest that fits SCHEMA, and the errors that a schema cannot find."""
    networks: list[Network] = []
    errors: list[InputError] = []
    offered: dict[Variant, str] = {}
    for index, entry in enumerate(document.data["networks"]):
        at = ("networks", index)
        if not (directory / entry["file"]).is_file():
            errors.append(document.error("no such file", *at, "file", got=entry["file"], fix=MEND))
        cells, wrong = _cells(document, index, classes)
        errors += wrong
        network = _network(directory, entry, cells)
        networks.append(network)
        for variant in network.variants():
            if variant in offered:
                what = f"{offered[variant]} already has this variant"
                errors.append(document.error(what, *at, got=variant.name))
            offered[variant] = network.path.name
    return tuple(networks), errors


def _cells(
    document: Document, index: int, classes: int
) -> tuple[dict[int, Mapping[str, Any]], list[InputError]]:
    cells: dict[int, Mapping[str, Any]] = {}
    errors = []
    for side, cell in document.data["networks"][index]["resolutions"].items():
        at = ("networks", index, "resolutions", side)
        if not re.fullmatch(r"\d{2,4}", str(side)) or int(side) < SMALLEST_RESOLUTION:
            what = f"a resolution must be a number of pixels, at least {SMALLEST_RESOLUTION}"
            errors.append(document.error(what, *at, got=repr(side)))
            continue
        cells[int(side)] = cell
        unknown = [number for number, _ in cell["golden"] if number >= classes]
        if unknown:
            what = f"no such class: there are {classes} labels"
            errors.append(document.error(what, *at, "golden", got=unknown[0]))
    return cells, errors


def _network(
    directory: Path, entry: Mapping[str, Any], cells: Mapping[int, Mapping[str, Any]]
) -> Network:
    return Network(
        path=directory / entry["file"],
        sha256=entry["sha256"],
        alpha=float(entry["alpha"]),
        precision=Precision(entry.get("precision", Precision.FLOAT)),
        resolutions=tuple(sorted(cells)),
        accuracy={
            side: Accuracy(cell["top1"], cell.get("top5"), cell.get("photos"), cell["source"])
            for side, cell in cells.items()
            if "top1" in cell
        },
        golden={
            side: tuple((int(number), float(score)) for number, score in cell["golden"])
            for side, cell in cells.items()
        },
        tolerance={side: cell["tolerance"] for side, cell in cells.items() if "tolerance" in cell},
        size=entry.get("bytes"),
        calibration={name: float(high) for name, high in entry.get("calibration", {}).items()},
    )


def manifest_text(head: Mapping[str, Any], networks: Iterable[Network]) -> str:
    """`head` is everything before the networks."""
    return sealed({**head, "networks": [_network_entry(network) for network in networks]})


def sealed(data: Mapping[str, Any]) -> str:
    """A manifest whose last line is the checksum of those above."""
    body = _HEADER + yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"{body}checksum: {hashlib.sha256(body.encode()).hexdigest()}\n"


def checksum_problem(directory: Path) -> InputError | None:
    """The error if the manifest was changed after writing; handwritten ones have no checksum.

    Loading does not check this: an edited manifest is valid.
    """
    path = directory / MANIFEST
    content = path.read_bytes()
    body, found, checksum = content.rpartition(b"checksum: ")
    by_hand = not found and not content.startswith(_HEADER.encode())
    if by_hand or checksum == hashlib.sha256(body).hexdigest().encode() + b"\n":
        return None
    return InputError(
        "the manifest was changed after it was written",
        where=path,
        fix=f"{MEND}; if the change is intended, remove its first and its last line",
    )


def named_files(directory: Path) -> set[str]:
    """The files that a manifest names; empty if there is no readable one."""
    try:
        data = yaml.safe_load((directory / MANIFEST).read_bytes())
        parts = data["heads"] if data["format"] == TAUGHT else [data["golden"], *data["networks"]]
        entries: Sequence[Any] = [data["labels"], *parts]
        return {name for entry in entries if Path(name := entry["file"]).name == name}
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return set()


def _network_entry(network: Network) -> dict[str, Any]:
    cells: dict[int, dict[str, Any]] = {}
    for side in network.resolutions:
        cell: dict[str, Any] = {}
        if (accuracy := network.accuracy.get(side)) is not None:
            shares = {"top1": accuracy.top1, "top5": accuracy.top5, "photos": accuracy.photos}
            cell |= {key: value for key, value in shares.items() if value is not None}
            cell["source"] = accuracy.source
        cell["golden"] = _Inline([number, score] for number, score in network.golden[side])
        if side in network.tolerance:
            cell["tolerance"] = network.tolerance[side]
        cells[side] = cell
    entry: dict[str, Any] = {
        "file": network.path.name,
        "sha256": network.sha256,
        "bytes": network.size,
        "alpha": network.alpha,
        "precision": network.precision.value,
        "resolutions": cells,
    }
    if network.calibration:
        entry["calibration"] = _InlineMapping(network.calibration)
    return entry


class _Inline(list[Any]):
    """A list that is written on one line."""


class _InlineMapping(dict[str, Any]):
    """A mapping that is written without a line for each key."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Inline,
    lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True),
)
_Dumper.add_representer(
    _InlineMapping,
    lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True),
)

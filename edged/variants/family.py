"""A family on disk: `family.yaml`, the networks it names, their labels and the golden picture.

A family is what its manifest says, and the manifest is the last file written: a power cut leaves
the old family or the new one. Each file is named together with its sha256.
Taught families, whose manifest names another family's networks, are in taught.py, runtimes in
edged/backends, the check of their scores in golden.py, accuracy in evaluate.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.document.document import Document, examine_file
from edged.errors import EdgedError, InputError, InputErrors
from edged.printable import printable
from edged.variants.folder import file_entry, free_name, label_lines, read_labels, replace_family
from edged.variants.heads import Head
from edged.variants.manifest import MANIFEST, SCHEMA, TAUGHT, manifest_text, read_networks
from edged.variants.network import MEND, Accuracy, Network, read_checked
from edged.variants.published import SOURCE, published_top1
from edged.variants.variant import Choice, Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Accuracy",
    "Family",
    "Fit",
    "InputContract",
    "Network",
    "load_family",
    "shipped_families",
    "write_family",
]

_IMAGENET_CLASSES = 1000
_PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = (_PACKAGE / "families", _PACKAGE.parent / "models")
"""Folders of shipped families: inside an installed package, or beside it in a checkout."""
MOST_NAMED = 20


class Fit(str, Enum):
    """How an oblong picture becomes square."""

    CROP = "crop"  # the centre square; the rest is not used
    SQUASH = "squash"  # the whole picture, each side scaled independently


@dataclass(frozen=True, slots=True)
class InputContract:
    """How a picture becomes a network's input, which is always uint8 NHWC RGB.

    crop_fraction: the share of a photo's sides that an evaluation uses (0.875: as in the published
    ImageNet figures). A camera's picture is used whole.
    """

    fit: Fit = Fit.CROP
    crop_fraction: float = 0.875


@dataclass(frozen=True, slots=True)
class Family:
    """golden: the golden picture's file. photo_folders: names of folders of labelled photos that
    are not themselves labels, with the label each stands for (`n01440764: tench`).

    backbone: of a taught family, the one that its networks and golden picture are of; its own
    labels, fit and accuracy belong to `heads`, by the sha256 of their network. none: the heads also
    have a row, the last, for none of the labels. Without heads it only gives features.
    """

    name: str
    directory: Path
    labels: tuple[str, ...]
    input: InputContract
    networks: tuple[Network, ...]
    golden: Path | None = None
    golden_sha256: str = ""
    photo_folders: Mapping[str, str] = field(default_factory=dict, hash=False)
    backbone: Family | None = None
    heads: Mapping[str, Head] = field(default_factory=dict, hash=False)
    none: bool = False

    @property
    def base(self) -> Family:
        """The family whose classes, input and golden scores are those of the networks' files."""
        return self.backbone or self

    def variants(self) -> tuple[Variant, ...]:
        return tuple(sorted(v for network in self.networks for v in network.variants()))

    def network(self, variant: Variant) -> Network:
        """The one that the variant runs; for `_fp16` the float network."""
        for network in self.networks:
            if variant in network.variants() or variant in network.fp16_variants():
                return network
        raise InputError(
            f"the family {self.name} has no such variant",
            where=self.directory,
            got=variant.name,
            fix="it has " + ", ".join(known.name for known in self.variants()),
        )

    def choice(self, variant: Variant, threads: int = 1, runtime: str = "onnxruntime") -> Choice:
        return Choice(variant, threads, runtime, self.network(variant).sha256)

    def accuracy(self, variant: Variant) -> Accuracy | None:
        """Measured, or published if the classes are ImageNet's; None if unknown. Of `_fp16` that
        of the float variant.

        Figures from different photos would rank variants wrongly, so the manifest's figures count
        only if every variant has one from the same source. Published figures are those of networks
        that were trained for one resolution each.
        """
        measured = self.network(variant).accuracy.get(variant.resolution)
        sources = {
            network.accuracy[side].source if side in network.accuracy else None
            for network in self.networks
            for side in network.resolutions
        }
        if measured is not None and len(sources) == 1:
            return measured
        trained_for_one = all(len(network.resolutions) == 1 for network in self.networks)
        if len(self.labels) != _IMAGENET_CLASSES or self.backbone or not trained_for_one:
            return None
        return Accuracy(published_top1(variant), None, None, SOURCE)

    def top1(self, variant: Variant) -> float:
        """Accuracy for ranking. If unknown, that on ImageNet: the ranking is likely the same for
        other classes, though the accuracy is not."""
        known = self.accuracy(variant)
        return published_top1(variant) if known is None else known.top1

    @property
    def classes(self) -> str:
        """Number and names of the classes; of many, the first."""
        named = ", ".join(printable(label, 80) for label in self.labels[:MOST_NAMED])
        more = ", …" if len(self.labels) > MOST_NAMED else ""
        return f"{len(self.labels)} classes: {named}{more}"

    @property
    def is_shipped(self) -> bool:
        return self.directory.parent in SHIPPED and self.backbone is None

    @property
    def states_accuracy(self) -> bool:
        return all(self.accuracy(variant) is not None for variant in self.variants())

    @property
    def fingerprint(self) -> str:
        """Changes with networks, heads, resolutions, labels and fit; in the header of a trace."""
        digest = hashlib.sha256(self.input.fit.value.encode())
        for variant in self.variants():
            digest.update(f"\n{variant.name} {self.network(variant).sha256}".encode())
        digest.update(label_lines(self.labels))
        if self.backbone is not None:
            digest.update(b"none" if self.none else b"")
            for network, head in sorted(self.heads.items()):
                digest.update(f"\n{network} {head.sha256}".encode())
        return digest.hexdigest()

    def golden_picture(self) -> NDArray[np.uint8]:
        """The golden picture, (height, width, 3) RGB; InputError when the file is damaged."""
        from edged.capture.decode.pictures import BrokenPictureError
        from edged.capture.decode.still import decode_picture

        try:
            return decode_picture(self.golden_file(), 0)
        except BrokenPictureError as error:
            what = f"invalid golden picture: {error}"
            raise InputError(what, where=self.golden, fix=MEND) from None

    def check_own(self) -> None:
        """Raise InputError for a taught family, whose networks are not its own to change."""
        if self.backbone is not None:
            raise InputError(
                f"{self.name} is taught, and has no networks of its own",
                where=self.directory,
                fix=f"name its backbone instead: {self.backbone.directory}",
            )

    def golden_file(self) -> bytes:
        if self.golden is None:
            raise InputError("the family has no golden picture", where=self.directory)
        return read_checked(self.golden, self.golden_sha256)


def load_family(
    reference: str,
    relative_to: Path,
    shipped_in: Sequence[Path] = SHIPPED,
    *,
    taught: bool = True,
) -> Family:
    """Read a family's manifest and labels, and those of its backbone; networks are read later.

    reference: a shipped family's name, or a folder, relative to `relative_to`, absolute or with
    `~`. A shipped name wins over a folder of that name (`./name` is the folder). taught: it may be
    a taught family.
    Raises InputError, or InputErrors with all errors of the manifest.
    """
    return _read_family(_find_family(reference, relative_to, shipped_in), shipped_in, taught)


def shipped_families(shipped_in: Sequence[Path] = SHIPPED) -> tuple[str, ...]:
    names = {path.parent.name for root in shipped_in for path in root.glob(f"*/{MANIFEST}")}
    return tuple(sorted(names))


def _find_family(reference: str, relative_to: Path, shipped_in: Sequence[Path]) -> Path:
    if reference in shipped_families(shipped_in):
        return next(
            root / reference for root in shipped_in if (root / reference / MANIFEST).is_file()
        )
    with suppress(RuntimeError):  # ~nobody: no such home
        reference = str(Path(reference).expanduser())
    directory = relative_to / reference
    if directory.name == MANIFEST:
        directory = directory.parent
    try:
        found = (directory / MANIFEST).is_file()
    except OSError as error:  # no permission for a folder above it
        what = f"cannot read the family: {error.strerror}"
        raise InputError(what, where=directory) from None
    if not found:
        shipped = ", ".join(shipped_families(shipped_in)) or "none"
        raise InputError(
            f"not a family: no {MANIFEST}",
            where=directory,
            fix=f"name a folder with one, or a shipped family ({shipped})",
        )
    return directory


def _read_family(
    directory: Path, shipped_in: Sequence[Path] = SHIPPED, taught: bool = True
) -> Family:
    document = examine_file(directory / MANIFEST, SCHEMA)
    if document.data.get("format") == TAUGHT:
        if not taught:
            raise InputError("taught itself, without networks of its own", where=directory)
        from edged.variants.taught import read_taught

        return read_taught(directory, shipped_in)
    document.finish()
    return _described(document, directory)


def _described(document: Document, directory: Path) -> Family:
    """The family of a manifest that fits SCHEMA."""
    data = document.data
    labels: tuple[str, ...] = ()
    errors: list[InputError] = []
    try:
        labels = read_labels(directory / data["labels"]["file"], data["labels"]["sha256"])
    except InputError as error:
        errors.append(error)
    else:
        networks, wrong = read_networks(document, directory, len(labels))
        errors += wrong
    golden = directory / data["golden"]["file"]
    if not golden.is_file():
        errors.append(document.error("no such file", "golden", "file", got=golden.name, fix=MEND))
    folders = {str(folder): label for folder, label in data.get("photo_folders", {}).items()}
    for folder in folders:
        if labels and folders[folder] not in labels:
            errors.append(
                document.error("no such label", "photo_folders", folder, got=folders[folder])
            )
    if errors:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)
    given, default = data.get("input", {}), InputContract()
    return Family(
        name=data["name"],
        directory=directory,
        labels=labels,
        input=InputContract(
            Fit(given.get("fit", default.fit)),
            float(given.get("crop_fraction", default.crop_fraction)),
        ),
        networks=networks,
        golden=golden,
        golden_sha256=data["golden"]["sha256"],
        photo_folders=folders,
    )


def write_family(
    family: Family, models: Mapping[str, bytes], golden: bytes | None = None
) -> Family:
    """Write the family into its directory and return it as written.

    models: content of the new networks, by file name; the other networks are read from their
    paths. golden: the golden picture, a PNG; without it the family keeps its own.
    Files of the present manifest stay until the new manifest is in place: new content under an old
    name gets another name. Files that only the old manifest names are deleted last. Raises
    EdgedError, for example if the disk is full, and then leaves the old family intact. InputError
    for a taught family, which has no networks of its own.
    """
    family.check_own()
    directory = family.directory
    files: dict[str, bytes] = {}

    def add(name: str, content: bytes) -> Path:
        name = free_name(directory, name, content)
        if files.setdefault(name, content) != content:
            raise ValueError(f"two files of a family are called {name}")
        return directory / name

    try:
        directory.mkdir(parents=True, exist_ok=True)
        networks = []
        for network in family.networks:
            model = models.get(network.path.name) or network.read()
            if hashlib.sha256(model).hexdigest() != network.sha256:
                raise ValueError(f"{network.path.name} is not what its sha256 was taken of")
            path = add(network.path.name, model)
            networks.append(replace(network, path=path, size=len(model)))
        labels = add("labels.txt", label_lines(family.labels))
        picture = add("golden.png", golden or family.golden_file())
        head: dict[str, Any] = {
            "format": 1,
            "name": family.name,
            "architecture": "mobilenet_v1",
            "labels": file_entry(labels.name, files),
            "golden": file_entry(picture.name, files),
            "input": {"fit": family.input.fit.value, "crop_fraction": family.input.crop_fraction},
        }
        if family.photo_folders:
            head["photo_folders"] = dict(family.photo_folders)
        replace_family(directory, files, manifest_text(head, networks).encode())
    except OSError as error:
        raise EdgedError(
            "cannot write the family; the existing one is unchanged",
            where=directory,
            got=error.strerror,
        ) from error
    return _read_family(directory)

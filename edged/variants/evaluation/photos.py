"""Reads labelled photos from a folder or a tar, one at a time, without unpacking to disk.

A photo's class is that of its folder (a label of the family, or one of its `photo_folders`), or is
given by a CSV with a column `file` or `folder` and a column `label` or `class_index`.
"""

from __future__ import annotations

import csv
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from copy import copy
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.pictures import SUFFIXES, BrokenPictureError
from edged.capture.decode.still import MOST_BYTES, decode_picture
from edged.errors import InputError
from edged.variants.family import Family

_DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)
"""Exceptions from reading a damaged archive."""


class Photo(NamedTuple):
    """picture: uint8 (height, width, 3) RGB, upright. class_index: into the family's labels."""

    name: str
    picture: NDArray[np.uint8]
    class_index: int


class Photos:
    """Decodes at each iteration. Skips broken pictures and records them in `broken`.

    notes: lines on differences between the CSV and the photos, and on classes without a photo.
    """

    def __init__(self, path: Path, family: Family, labels: Path | None = None) -> None:
        """Raises InputError for unreadable files, for a class that the family does not have, and
        if there are no photos. Skips photos that the CSV does not list."""
        names = picture_names(path)
        if not names:
            raise InputError(
                "no photos",
                where=path,
                fix="expected a folder or a tar with a folder of pictures for each class",
            )
        self.notes: list[str] = []
        if labels is None:
            self._classes = _classes_by_folder(names, family, path)
        else:
            self._classes, self.notes = _classes_by_table(names, family, path, labels)
        shown = set(self._classes.values())
        absent = [label for index, label in enumerate(family.labels) if index not in shown]
        if absent:
            self.notes.append(
                f"{path}: no photo of {len(absent)} of the {len(family.labels)} classes, "
                f"first {absent[0]}"
            )
        self._path = path
        self.broken: list[InputError] = []

    def part(self, positions: Collection[int]) -> Photos:
        """The photos at these positions."""
        part = copy(self)
        part._classes = {
            name: index
            for position, (name, index) in enumerate(self._classes.items())
            if position in positions
        }
        part.broken = []
        return part

    def __len__(self) -> int:
        return len(self._classes)

    @property
    def largest_class_share(self) -> float:
        """The accuracy of always choosing the most frequent class."""
        return max(Counter(self._classes.values()).values()) / len(self)

    def __iter__(self) -> Iterator[Photo]:
        self.broken = []
        for name, content in _contents(self._path, self._classes):
            picture = self._decoded(name, content)
            if picture is not None:
                yield Photo(name, picture, self._classes[name])

    def _decoded(self, name: str, content: bytes) -> NDArray[np.uint8] | None:
        try:
            return decode(content, f"{self._path}: {name}")
        except InputError as error:
            self.broken.append(error)
            return None


def picture_names(path: Path) -> list[str]:
    """Paths inside the folder or tar, sorted for a folder and in the tar's order for a tar."""
    try:
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.is_file())
            names = sorted(file.relative_to(path).as_posix() for file in files)
        else:
            with tarfile.open(path) as archive:
                names = [member.name for member in archive if member.isreg()]
    except _DAMAGE as error:
        raise _unreadable(path, error) from error
    return [name for name in dict.fromkeys(names) if _is_picture(name)]


def decode(content: bytes, where: str) -> NDArray[np.uint8]:
    """JPEG, PNG, BMP, TIFF or WebP as uint8 RGB, rotated by its EXIF orientation; converts grey,
    CMYK, 16-bit and transparent pictures. Raises InputError for a truncated or too large one."""
    try:
        return decode_picture(content, 0)
    except BrokenPictureError as error:
        got = f"{len(content)} bytes"
        raise InputError(str(error), where=where, got=got, fix="replace the file") from None


def _contents(path: Path, names: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            for name in names:
                with (path / name).open("rb") as file:
                    yield name, file.read(MOST_BYTES + 1)
            return
        seen: set[str] = set()
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name in names and member.isreg() and member.name not in seen:
                    seen.add(member.name)
                    content = archive.extractfile(member)
                    if content is not None:
                        yield member.name, content.read(MOST_BYTES + 1)
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _is_picture(name: str) -> bool:
    file = PurePosixPath(name)
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _unreadable(path: Path, error: Exception) -> InputError:
    got = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, tarfile.TarError):
        got = "not a complete tar archive"
    return InputError("cannot read the photos", where=path, got=got)


def _classes_by_folder(names: list[str], family: Family, path: Path) -> dict[str, int]:
    classes = {}
    for name in names:
        folder = PurePosixPath(name).parent.name
        label = family.photo_folders.get(folder, folder)
        if family.labels.count(label) != 1:
            what = "is not a label" if label not in family.labels else "is the label of two classes"
            raise InputError(
                f"the photo's folder {what} of the family {family.name}",
                where=f"{path}: {name}",
                got=repr(folder),
                fix="name each folder as its label, add it to the family's photo_folders, "
                "or give a CSV with --labels",
            )
        classes[name] = family.labels.index(label)
    return classes


def _classes_by_table(
    names: list[str], family: Family, path: Path, table: Path
) -> tuple[dict[str, int], list[str]]:
    """The class of each photo that the table lists, and notes on differences between both."""
    by_folder, rows = _read_table(table, family)
    classes = {}
    unused = dict(rows)
    for name in names:
        inside = PurePosixPath(name)
        keys = (inside.parent.name,) if by_folder else (name, inside.name)
        for key in keys:
            if key in rows:
                classes[name] = rows[key][0]
                unused.pop(key, None)
                break
    if not classes:
        raise InputError(
            f"lists none of the {len(names)} photos of {path}",
            where=table,
            got=next(iter(rows), "no lines"),
            fix=f"write them as {PurePosixPath(names[0]).parent.name if by_folder else names[0]}",
        )
    notes = []
    if len(classes) < len(names):
        left_out = len(names) - len(classes)
        notes.append(f"{path}: {left_out} of {len(names)} photos are not in {table}: skipped")
    if unused:
        first, (_, line) = next(iter(unused.items()))
        kind = "folders" if by_folder else "photos"
        notes.append(
            f"{table}: {len(unused)} of {len(rows)} lines name {kind} that {path} does not have, "
            f"first line {line}, {first}"
        )
    return classes, notes


def _read_table(table: Path, family: Family) -> tuple[bool, dict[str, tuple[int, int]]]:
    """Whether it lists folders rather than files, and the class and line of each."""
    rows: dict[str, tuple[int, int]] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            key = next((name for name in ("file", "folder") if name in columns), None)
            value = next((name for name in ("class_index", "label") if name in columns), None)
            if key is None or value is None:
                raise InputError(
                    "expected the columns file or folder, and class_index or label",
                    where=f"{table}:1",
                    got=", ".join(columns) or "nothing",
                )
            for row in reader:
                name = (row[key] or "").strip()
                where = f"{table}:{reader.line_num}"
                if name in rows:
                    raise InputError("listed twice", where=where, got=repr(name))
                rows[name] = (_class(row[value], value, family, where), reader.line_num)
    except OSError as error:
        raise InputError("cannot read the labels", where=table, got=error.strerror) from None
    except UnicodeDecodeError:
        raise InputError("the labels are not CSV, which is text", where=table) from None
    except csv.Error as error:
        raise InputError("the labels are not CSV", where=table, got=str(error)) from None
    return key == "folder", rows


def _class(text: str | None, column: str, family: Family, where: str) -> int:
    text = (text or "").strip()
    labels = family.labels
    if column == "label":
        if labels.count(text) != 1:
            raise InputError(
                f"not a unique label of the family {family.name}", where=where, got=repr(text)
            )
        return labels.index(text)
    index = int(text) if text.isdecimal() else -1
    if not 0 <= index < len(labels):
        raise InputError(
            f"not a class of the family {family.name}, which has {len(labels)} labels",
            where=where,
            got=repr(text),
        )
    return index

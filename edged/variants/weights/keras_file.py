"""Reads the arrays of a Keras file and the JSON description of its model.

Does not need Keras, and does not unpickle, import or run anything.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import read_file
from edged.errors import InputError, MissingPackageError, cannot_read

FILE_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of every HDF5 file that Keras writes."""
DESCRIPTION, WEIGHTS = "config.json", "model.weights.h5"
"""Members of every `.keras` archive."""

_MOST_DATASETS = 1000
_MOST_NUMBERS = 48_000_000  # in all; MobileNet v1 at alpha 1 has 4.2 million
_MOST_BYTES = 256 << 20  # of a file, or of a member of an archive
_BFLOAT16 = np.dtype("V2")  # as h5py represents it

Array = NDArray[np.float32]
Arrays = Mapping[str, Array]
"""By name within a layer: `kernel`, `bias`, `gamma`, …"""


@dataclass(frozen=True)
class Stored:
    """The arrays of a file: of an .h5 file by outermost layer and layer, of an archive by path
    through the models and number (`layers/dense/vars/0`)."""

    by_layer: Mapping[tuple[str, str], Arrays] = field(default_factory=dict)
    by_way: Mapping[str, Mapping[int, Array]] = field(default_factory=dict)


def is_archive(path: Path) -> bool:
    """Whether it is a `.keras` archive, by its table of contents."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {DESCRIPTION, WEIGHTS} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def read_stored(path: Path) -> tuple[Stored, str | None]:
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
        raise InputError("is empty", where=path, fix="download the file again")
    archive = start.startswith(b"PK")
    if start != FILE_SIGNATURE and not archive:
        raise InputError("is not a Keras file", where=path, got=f"first bytes {start!r}")
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
            fix="download the file again",
        ) from None


def _archive(h5py: Any, path: Path) -> tuple[Stored, str]:
    with zipfile.ZipFile(path) as archive:
        members = {}
        for name in (DESCRIPTION, WEIGHTS):
            if archive.getinfo(name).file_size > _MOST_BYTES:
                raise _too_much(path)
            members[name] = archive.read(name)
    by_way: dict[str, dict[int, Array]] = {}
    with h5py.File(io.BytesIO(members[WEIGHTS]), "r") as file:
        root = file.get("layers", file)  # the other groups are for training
        for dataset in _datasets(h5py, path, root):
            way, _, number = dataset.name.removeprefix("/").rpartition("/vars/")
            if number.isdecimal():
                by_way.setdefault(way, {})[int(number)] = _numbers(dataset)
    return Stored(by_way=by_way), members[DESCRIPTION].decode()


def _contents(h5py: Any, path: Path, file: Any) -> tuple[Stored, str | None]:
    """A dataset is named for its array (`kernel:0`), its group for the layer."""
    arrays: dict[tuple[str, str], dict[str, Array]] = {}
    inside = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
    root = file["model_weights"] if inside else file
    for dataset in _datasets(h5py, path, root):
        parts = dataset.name.removeprefix(root.name).strip("/").split("/")
        if not inside and "vars" in parts:
            raise InputError(
                "contains only weights, without layer names",
                where=path,
                fix="write the whole model with model.save('NAME.keras')",
            )
        layer = arrays.setdefault((parts[0], parts[-2]), {})
        name = parts[-1].partition(":")[0]
        if name in layer:
            raise InputError("two layers have the same name", where=f"{path}, layer {parts[-2]}")
        layer[name] = _numbers(dataset)
    description = file.attrs.get("model_config")
    text = description.decode() if isinstance(description, bytes) else description
    return Stored(by_layer=arrays), text


def _datasets(h5py: Any, path: Path, root: Any) -> list[Any]:
    """The floating-point datasets stored in the file itself.

    Bounds their total size, since unwritten datasets take no space in the file.
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
                "stores its values in other files, which edged does not read",
                where=f"{path}, {item.name}",
                fix="write the whole model with model.save('NAME.keras')",
            )
        datasets.append(item)

    root.visititems(take)
    return datasets


def _numbers(dataset: Any) -> Array:
    values = np.asarray(dataset[()])
    if values.dtype == _BFLOAT16:  # the upper half of a float32
        upper = np.frombuffer(values.tobytes(), "<u2").astype(np.uint32) << 16
        return upper.view(np.float32).reshape(values.shape)
    return values.astype(np.float32)


def _too_much(path: Path) -> InputError:
    return InputError(
        "requires more memory than any MobileNet v1 needs",
        where=path,
        got=f"{path.stat().st_size} bytes with more than {_MOST_NUMBERS} numbers",
        fix="write the model without its optimizer: model.save('NAME.keras')",
    )

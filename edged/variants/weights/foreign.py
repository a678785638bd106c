"""Errors for files of other formats: what the file is, and what to do."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from edged.errors import InputError
from edged.printable import printable

SNIFFED_BYTES = 256

_KINDS = "neither a TensorFlow Lite file nor a Keras file (.keras, .h5)"
_PYTORCH = (
    "a PyTorch file: pickled Python objects, which edged does not load",
    "edged reads TensorFlow Lite and Keras; train MobileNet v1 with models/recipe instead",
)
_SAVED_MODEL = (
    "a TensorFlow SavedModel, which only TensorFlow reads",
    (
        "save it as a file: tf.keras.models.load_model(FOLDER).save('NAME.keras'), or "
        "tf.lite.TFLiteConverter.from_saved_model(FOLDER).convert()"
    ),
)
_BEGINNINGS = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer instead of the file",
        "run git lfs pull in its repository",
    ),
    (b"\x1f\x8b", "a gzip archive", "unpack it and name the file inside"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and name the file inside"),
    (b"\x80\x02\x8a\x0al\xfc", *_PYTORCH),
    (b"\x08", "possibly an ONNX network", "name the weights it was made from"),
    (b"\x0a", "possibly a frozen TensorFlow graph (.pb)", _SAVED_MODEL[1]),
    (b"<", "a web page", "download the file itself, which the page links to"),
    (b"{", "JSON text", "name the file that holds the weights"),
)
_CONTAINED = (".tflite", ".keras", ".h5")


def foreign_file(path: Path, start: bytes) -> InputError:
    """start: what the file begins with."""
    if not start:
        got, fix = "an empty file", "download the file again"
    elif start.startswith(b"PK"):
        got, fix = _archive(path)
    else:
        known = ((got, fix) for beginning, got, fix in _BEGINNINGS if start.startswith(beginning))
        got, fix = next(known, (f"first bytes {start[:8]!r}", ""))
    return InputError(_KINDS, where=path, got=got, fix=fix or None)


def foreign_folder(path: Path) -> InputError:
    names = {each.name for each in path.iterdir()}
    if "saved_model.pb" in names:
        got, fix = _SAVED_MODEL
    else:
        got, fix = _within("a folder", sorted(names), "name the file itself")
    return InputError(_KINDS, where=path, got=got, fix=fix)


def _archive(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "a zip archive that is truncated or damaged", "download the file again"
    last = {PurePosixPath(name).name for name in names}
    if "data.pkl" in last:
        return _PYTORCH
    if "saved_model.pb" in last:
        return "a zip archive with a TensorFlow SavedModel", _SAVED_MODEL[1]
    return _within("a zip archive", names, "unpack it and name the .tflite, .keras or .h5 inside")


def _within(what: str, names: Iterable[str], otherwise: str) -> tuple[str, str]:
    inside = [name for name in names if name.endswith(_CONTAINED)]
    if not inside:
        return what, otherwise
    shown = ", ".join(printable(name, 80) for name in inside[:3])
    return f"{what} with {shown}", "unpack it, and name that file" if "zip" in what else otherwise

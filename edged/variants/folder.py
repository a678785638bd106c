"""The files of a family's folder: labels are read, and a new manifest replaces the old one whole.

Both formats of families use it: family.py and taught.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from edged.atomic_file import partial_of, sync_folder, write_synced
from edged.errors import InputError, not_utf8
from edged.variants.manifest import MANIFEST, named_files
from edged.variants.network import read_checked


def read_labels(path: Path, sha256: str) -> tuple[str, ...]:
    """One per line. A label may occur twice: ImageNet has two kinds of crane."""
    try:
        lines = read_checked(path, sha256).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise not_utf8("the labels are not UTF-8 text", path, error) from None
    labels = tuple(line.strip() for line in lines)
    if not labels:
        raise InputError("no labels", where=path)
    if "" in labels:
        raise InputError("an empty label", where=f"{path}:{labels.index('') + 1}")
    return labels


def file_entry(name: str, files: Mapping[str, bytes]) -> dict[str, str]:
    return {"file": name, "sha256": hashlib.sha256(files[name]).hexdigest()}


def free_name(directory: Path, name: str, content: bytes) -> str:
    path = directory / name
    if not path.exists() or path.read_bytes() == content:
        return name
    return f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"


def replace_family(directory: Path, files: Mapping[str, bytes], manifest: bytes) -> None:
    """Write all temporary files first, so that a full disk is found before any renaming."""
    old_names = named_files(directory)
    new = {name: data for name, data in files.items() if not (directory / name).exists()}
    partial = {name: partial_of(directory / name) for name in (*new, MANIFEST)}
    try:
        for name, path in partial.items():
            write_synced(path, new.get(name, manifest))
        for name in new:
            partial[name].replace(directory / name)
    except BaseException:
        for path in (*partial.values(), *(directory / name for name in new)):
            path.unlink(missing_ok=True)
        raise
    partial[MANIFEST].replace(directory / MANIFEST)
    sync_folder(directory)
    for name in old_names - files.keys():
        (directory / name).unlink(missing_ok=True)


def label_lines(labels: Iterable[str]) -> bytes:
    return "".join(f"{label}\n" for label in labels).encode()

"""Takes over what another device has learned, out of its export."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from edged.atomic_file import write_synced
from edged.errors import InputError
from edged.teach.store.classifier import Classifier
from edged.teach.store.report import FILE as REPORT
from edged.teach.store.settings import FILE, Settings, read_settings
from edged.teach.store.store import TeachStore
from edged.teach.store.versions import VERSIONS, Versions
from edged.variants.manifest import MANIFEST
from edged.variants.taught import head_matrices

_TAKEN = re.compile(rf"{re.escape(FILE)}|{VERSIONS}/[1-9]\d{{0,8}}/\w[\w.-]{{0,100}}", re.ASCII)
MOST_BYTES = 50_000_000
"""Of settings and versions, some 100 kB each; pictures stay in the archive."""


def take_over(store: TeachStore, name: str, file: IO[bytes], where: Path) -> tuple[int, bool]:
    """The newest version of the archive as a version of this device's classifier, which is created
    if missing: its number, and whether it is new here. where: the archive, for errors.

    Raises InputError, EdgedError.
    """
    with tempfile.TemporaryDirectory(prefix="edged-teach-") as scratch:
        folder = Path(scratch, name)
        _unpack(file, folder, where)
        settings, versions = read_settings(folder), Versions(folder)
        newest = versions.newest()
        report = versions.report(newest)
        head_matrices(versions.family(newest))
        files = {each.name: each.read_bytes() for each in versions.path(newest).iterdir()}
        classifier = _classifier(store, settings)
        own = Versions(classifier.folder)
        for number in own.numbers():
            if (own.path(number) / MANIFEST).read_bytes() == files[MANIFEST]:
                return number, False

        def write(target: Path, number: int) -> None:
            # What it was compared with has a number of the other device.
            here = {**report, "version": number, "comparison": None}
            files[REPORT] = json.dumps(here, ensure_ascii=False).encode()
            for each, content in files.items():
                write_synced(target / each, content)

        return classifier.add_version(write), True


def _unpack(file: IO[bytes], folder: Path, where: Path) -> None:
    """Settings and versions of the classifier that has the folder's name."""
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                top, _, inside = entry.filename.partition("/")
                if top != folder.name or not _TAKEN.fullmatch(inside):
                    continue
                with archive.open(entry) as packed:
                    content = packed.read(left + 1)
                left -= len(content)
                if left < 0:
                    what = f"more than {MOST_BYTES // 10**6} MB of settings and versions"
                    raise InputError(what, where=where)
                path = folder / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError("not a readable zip file", where=where, got=error) from None
    if not (folder / FILE).is_file():
        fix = f"write one with: edged teach {folder.name} export FILE"
        raise InputError(f"not an export of {folder.name}", where=where, fix=fix)


def _classifier(store: TeachStore, settings: Settings) -> Classifier:
    name = settings.name
    if name not in store.names():
        return store.create(
            name,
            settings.view,
            settings.classes,
            backbone=settings.backbone,
            none=settings.none,
            quota_bytes=settings.quota_bytes,
        )
    own = store.open(name)
    if (own.settings.classes, own.settings.none) != (settings.classes, settings.none):
        raise InputError(
            f"this device's {name} has other classes: {', '.join(own.settings.classes)}",
            where=name,
            got=", ".join(settings.classes),
            fix=f"change them, with --classes, or: edged teach {name} forget",
        )
    return own

"""`edged teach NAME label`, `discard`, `export`, `import` and `forget`."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path

from edged.atomic_file import partial_of, sync_folder
from edged.commands.teach.place import Place
from edged.commands.teach.words import counted
from edged.errors import EdgedError, InputError, cannot_read
from edged.teach.store import check_label, check_name


def label(options: argparse.Namespace) -> int:
    with Place(options).classifier() as classifier:
        wanted = check_label(options.label)
        classifier.label(options.moment, wanted)
    print(f"{options.moment} is {wanted}")
    return 0


def discard(options: argparse.Namespace) -> int:
    with Place(options).classifier() as classifier:
        for moment in options.moments:
            classifier.discard(moment)
    print(f"deleted {counted(len(options.moments), 'moment')}")
    return 0


def export(options: argparse.Namespace) -> int:
    path: Path = options.path
    place = Place(options)
    with place.classifier():
        pass  # before a file is created
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError("not a regular file", where=path, fix="name a new file")
    partial = partial_of(path)
    try:
        # The file belongs to whoever called the command; what is read, to the service.
        with partial.open("wb") as file:
            with place.classifier() as classifier:
                classifier.write_archive(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.absolute().parent)
    except OSError as error:
        raise EdgedError("cannot be written", where=path, got=error.strerror) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    print(f"{path}: all of {options.name}")
    return 0


def take_over(options: argparse.Namespace) -> int:
    from edged.teach.store.take_over import take_over  # needs zipfile

    path: Path = options.path
    place = Place(options)
    try:
        # Read as whoever called the command; what is written belongs to the service.
        with path.open("rb") as file, place.as_owner():
            version, is_new = take_over(place.store, check_name(options.name), file, path)
    except OSError as error:
        raise cannot_read(path, error) from None
    come = "from" if is_new else "there already, as in"
    print(f"version {version} of {options.name}: {come} {path}")
    print(f"next: edged teach {options.name} deploy --version {version}")
    return 0


def forget(options: argparse.Namespace) -> int:
    place = Place(options)
    place.check_needed(place.store.without)
    with place.as_owner():
        place.store.forget(options.name)
    print(f"{options.name} is forgotten")
    return 0

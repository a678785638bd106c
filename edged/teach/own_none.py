"""Photos that a person gives for the class `none`, in place of those that come with edged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from edged.errors import InputError
from edged.teach.pictures.importing import import_pictures
from edged.teach.store import picture_id
from edged.teach.store.folder import clear_remains, locked, made, move, put_folder, remove, writing

FOLDER, PHOTOS = ".none", "photos"
"""Beside the classifiers."""
NEW = ".removed-new"
"""A name that counts as a remain of an interrupted writer."""
FEWEST, MOST = 30, 300


def take_none_photos(
    root: Path,
    folder: Path,
    as_writer: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> int:
    """Keep the photos of a folder for all classifiers; returns their number.

    Of more than MOST, that many are spread evenly. Raises InputError for too few, EdgedError.
    """
    found = import_pictures([folder], starting=as_writer).picked
    if len(found) < FEWEST:
        raise InputError(
            f"expected at least {FEWEST} mixed photos of anything",
            where=folder,
            got=len(found),
            fix="about 100 are good",
        )
    step = max(1.0, len(found) / MOST)
    chosen = [found[int(index * step)] for index in range(min(MOST, len(found)))]
    files = {f"{picture_id(each.jpeg)}.jpg": each.jpeg for each in chosen}
    place = root / FOLDER
    with as_writer(), writing(place):
        made(place)
        with locked(place):
            clear_remains(place)
            # A folder cannot replace another one that has files, so it gets another name.
            put_folder(place / NEW, files)
            remove(place / PHOTOS)
            move(place / NEW, place / PHOTOS)
    return len(files)

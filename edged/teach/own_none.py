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
NEW = "new"
"""Photos that are whole, but do not have their name yet."""
FEWEST, MOST = 30, 300


def none_photos(root: Path) -> Path:
    """The folder of the photos; a power cut may have left them without their name."""
    photos, new = root / FOLDER / PHOTOS, root / FOLDER / NEW
    return photos if photos.exists() or not new.exists() else new


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
    with as_writer():
        keep_none_photos(root, files)
    return len(files)


def keep_none_photos(root: Path, files: dict[str, bytes]) -> None:
    """Have these in place of what is there. Raises EdgedError."""
    place = root / FOLDER
    photos, new = place / PHOTOS, place / NEW
    with writing(place):
        made(place)
        with locked(place):
            clear_remains(place)
            if none_photos(root) == new:
                move(new, photos)
            remove(new)
            # A folder cannot replace another one that has files, so it gets another name.
            put_folder(new, files)
            remove(photos)
            move(new, photos)

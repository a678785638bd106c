"""Adds pictures from outside to a classifier: decoded, grouped into moments, stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from edged.teach.moments import Shot, grouped
from edged.teach.pictures.importing import (
    Imported,
    Picked,
    Rejected,
    Upload,
    import_pictures,
    looks_of,
)
from edged.teach.store import Classifier, Moment, new_moment, picture_id


@dataclass(frozen=True, slots=True)
class Added:
    """pictures: number of new ones, in `moments`. known: those that were there already, by their
    names. other: of these, those that have another label. same: how many more are equal to another
    one that was given. rejected: what is no picture."""

    pictures: int
    moments: tuple[str, ...]
    known: tuple[str, ...]
    other: tuple[tuple[str, str], ...]
    same: int
    rejected: tuple[Rejected, ...]


def add_pictures(
    classifier: Classifier,
    label: str,
    items: Iterable[Path | Upload],
    *,
    one_moment: bool = False,
    progress: Callable[[int], None] = lambda pictures: None,
    as_writer: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Added:
    """one_moment: they are all of one; else each is what was taken within 30 s, or looks alike.
    as_writer: entered for whatever reads or writes the classifier's folder; the files themselves
    are read outside of it.

    Raises InputError, EdgedError; what was added before stays.
    """
    with as_writer():
        classifier.check_class(label)
    imported = import_pictures(items, progress, starting=as_writer)
    with as_writer():
        return _stored(classifier, label, imported, one_moment)


def _stored(classifier: Classifier, label: str, imported: Imported, one_moment: bool) -> Added:
    known, other, fresh = [], [], []
    picked: dict[str, Picked] = {}
    for each in imported.picked:
        picked.setdefault(picture_id(each.jpeg), each)
    for picture, each in picked.items():
        moment = classifier.moment_of(picture)
        if moment is None or moment.label is None:
            fresh.append(each)
        else:
            known.append(each.name)
            if moment.label != label:
                other.append((each.name, moment.label))
    now = time.time()
    if one_moment:
        numbers = [0] * len(fresh)
        standing: list[Moment] = []
    else:
        shots, standing = _shots(classifier, label)
        numbers = grouped([Shot(each.look, each.unix) for each in fresh], shots)
    names: dict[int, str] = {}
    added = 0
    for number, each in zip(numbers, fresh, strict=True):
        if number < 0:
            names[number] = standing[-1 - number].id
        elif number not in names:
            names[number] = new_moment(now if each.unix is None else each.unix)
        added += classifier.add(label, names[number], each.jpeg)
    return Added(
        added,
        tuple(dict.fromkeys(names.values())),
        tuple(known),
        tuple(other),
        len(imported.picked) - len(picked),
        tuple(imported.rejected),
    )


def _shots(classifier: Classifier, label: str) -> tuple[list[Shot], list[Moment]]:
    """Of the pictures with this label, each with its moment."""
    moments = [each for each in classifier.moments() if each.label == label]
    pairs = [(moment, picture) for moment in moments for picture in moment.pictures]
    looks = looks_of(classifier.picture(picture) for _, picture in pairs)
    shots = [
        Shot(look, moment.unix, moment.id)
        for look, (moment, _) in zip(looks, pairs, strict=True)
        if look is not None
    ]
    kept = [moment for look, (moment, _) in zip(looks, pairs, strict=True) if look is not None]
    return shots, kept

"""Keeps a classifier within its quota, and a memory card from filling up."""

from __future__ import annotations

import os
from operator import attrgetter, itemgetter
from pathlib import Path

from edged.errors import EdgedError, InputError
from edged.teach.store.folder import entries, remove
from edged.teach.store.settings import Settings
from edged.teach.store.shelf import FEATURES, Shelf, sized

LEAST_FREE_BYTES = 100_000_000
"""Of the disk; with less, nothing is collected by itself."""
_AT_ONCE = 20
"""Deleted features leave this part of the quota free, so that not each picture deletes some."""


def make_room(
    shelf: Shelf, settings: Settings, wanted: int, *, keep: str = "", collected: bool = False
) -> None:
    """For so many bytes; the caller has the folder's lock. keep: a moment that stays. collected: by
    the daemon, of itself.

    Raises InputError, EdgedError on a disk that is nearly full, OSError.
    """
    if collected and (free := _free_bytes(shelf.folder)) < LEAST_FREE_BYTES:
        raise EdgedError(
            "the disk is nearly full; nothing is collected",
            where=shelf.folder,
            got=f"{free >> 20} MB free",
            fix="delete files that are not needed",
        )
    index, quota = shelf.index(), settings.quota_bytes
    over = index.pictures_bytes + index.features_bytes + wanted - quota
    if over <= 0:
        return
    if index.features_bytes:
        over -= _trim_features(shelf, over + quota // _AT_ONCE)
    seen = [each for each in index.moments.values() if each.label is None and each.id != keep]
    for moment in sorted(seen, key=attrgetter("id")):
        if over <= 0:
            break
        over -= index.bytes[moment.id]
        remove(shelf.path(moment))
        index.drop(moment.id)
        shelf.changed()
    if over > 0:
        raise InputError(
            f"the quota of {quota / 1e6:g} MB is used up by labelled pictures",
            where=settings.name,
            fix=f"delete moments (edged teach {settings.name} discard MOMENT), or raise it: "
            f"edged teach {settings.name} --quota {2 * quota / 1e6:g}",
        )


def _trim_features(shelf: Shelf, wanted: int) -> int:
    """Delete the oldest; the number of bytes that were."""
    found: list[tuple[Path, int, int]] = []
    for network in entries(shelf.folder / FEATURES):
        found += sized(Path(network.path))
    freed = 0
    for path, size, _ in sorted(found, key=itemgetter(2)):
        if freed >= wanted:
            break
        path.unlink(missing_ok=True)
        freed += size
    shelf.index().features_bytes = sum(size for _, size, _ in found) - freed
    shelf.changed()
    return freed


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize

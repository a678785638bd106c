"""The pictures of one classifier on disk, and an index of them that is read anew when they change.

pictures/LABEL/MOMENT/PICTURE.jpg
seen/MOMENT/PICTURE.jpg  reason.json        without a label yet
features/NETWORK/PICTURE.npy                a cache
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edged.atomic_file import read_file
from edged.teach.store.folder import LOCK, entries, is_file, is_folder, touch
from edged.teach.store.names import is_label, is_picture_id, moment_unix

PICTURES, SEEN, FEATURES = "pictures", "seen", "features"
SUFFIX, REASON = ".jpg", "reason.json"
LARGEST_REASON_BYTES = 4096

log = logging.getLogger("edged.teach")


@dataclass(frozen=True, slots=True)
class Moment:
    """Pictures taken together: one piece of evidence. label: None while it has none. pictures:
    their ids. reason: why it was kept, of pictures that were seen; may be empty."""

    id: str
    label: str | None
    pictures: tuple[str, ...]
    reason: str
    unix: float


@dataclass(slots=True)
class Index:
    """bytes: of each moment's pictures. at: the moment of each picture."""

    moments: dict[str, Moment] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    features_bytes: int = 0

    def add(self, moment: Moment, size: int) -> None:
        self.moments[moment.id] = moment
        self.bytes[moment.id] = size
        self.at |= dict.fromkeys(moment.pictures, moment.id)

    def drop(self, moment: str) -> None:
        for picture in self.moments.pop(moment).pictures:
            self.at.pop(picture, None)
        self.bytes.pop(moment)

    @property
    def pictures_bytes(self) -> int:
        return sum(self.bytes.values())


class Shelf:
    """Of one folder. Every writer calls `changed` while it holds the folder's lock. told: what was
    logged already."""

    def __init__(self, folder: Path, told: set[str]) -> None:
        self.folder = folder
        self._index: Index | None = None
        self._stamp: tuple[int, ...] = ()
        self._told = told

    def place(self, label: str | None) -> Path:
        """The folder of the moments with this label."""
        return self.folder / SEEN if label is None else self.folder / PICTURES / label

    def path(self, moment: Moment) -> Path:
        return self.place(moment.label) / moment.id

    def index(self) -> Index:
        """As of now; the caller changes it only together with the files."""
        stamp = self._look()
        if self._index is None or stamp != self._stamp:
            self._index, self._stamp = self._read(), stamp
        return self._index

    def changed(self) -> None:
        """The files were changed, and the index with them: other processes read them again."""
        touch(self.folder / LOCK)
        self._stamp = self._look()

    def _look(self) -> tuple[int, ...]:
        """Changes with every writer, and with most changes by hand."""
        pictures = self.folder / PICTURES
        watched = [self.folder / LOCK, pictures, self.folder / SEEN, self.folder / FEATURES]
        watched += [pictures / each.name for each in entries(pictures)]
        return tuple(map(_modified, watched))

    def _read(self) -> Index:
        index = Index()
        for label, entry in self._moments():
            self._add(index, label, entry)
        index.features_bytes = features_bytes(self.folder)
        return index

    def _moments(self) -> Iterator[tuple[str | None, os.DirEntry[str]]]:
        for each in entries(self.folder / PICTURES):
            if is_folder(each) and is_label(each.name):
                yield from ((each.name, moment) for moment in entries(Path(each.path)))
            else:
                self._ignore(each, "not the folder of a class")
        yield from ((None, moment) for moment in entries(self.folder / SEEN))

    def _add(self, index: Index, label: str | None, entry: os.DirEntry[str]) -> None:
        unix = moment_unix(entry.name)
        if unix is None or not is_folder(entry):
            self._ignore(entry, "not the folder of a moment")
            return
        if entry.name in index.moments:
            self._ignore(entry, "this moment has another label already")
            return
        pictures: dict[str, int] = {}
        for file in entries(Path(entry.path)):
            name = file.name.removesuffix(SUFFIX)
            if is_file(file) and file.name.endswith(SUFFIX) and is_picture_id(name):
                pictures[name] = file.stat(follow_symlinks=False).st_size
            elif file.name != REASON:
                self._ignore(file, "not a picture of edged")
        new = tuple(each for each in pictures if each not in index.at)
        if new:
            moment = Moment(entry.name, label, new, _reason(Path(entry.path)), unix)
            index.add(moment, sum(pictures[each] for each in new))

    def _ignore(self, entry: os.DirEntry[str], why: str) -> None:
        if entry.path not in self._told:
            self._told.add(entry.path)
            log.warning("%s: %s; ignored", entry.path, why)


def sized(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """(file, bytes, time of its last change in ns) of the regular files in the folder."""
    for each in entries(folder):
        if is_file(each):
            try:
                found = each.stat(follow_symlinks=False)
            except FileNotFoundError:  # just removed
                continue
            yield Path(each.path), found.st_size, found.st_mtime_ns


def features_bytes(folder: Path) -> int:
    """Of a classifier's folder."""
    networks = [Path(each.path) for each in entries(folder / FEATURES)]
    return sum(size for network in networks for _, size, _ in sized(network))


def reason_json(reason: str) -> bytes:
    return json.dumps({"reason": reason}, ensure_ascii=False).encode() + b"\n"


def _reason(folder: Path) -> str:
    """Empty without a readable file."""
    try:
        values: Mapping[str, object] = json.loads(
            read_file(folder / REASON, LARGEST_REASON_BYTES, links=False)
        )
        return str(values["reason"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""


def _modified(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0

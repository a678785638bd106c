"""Which version of which classifier runs on which view: one small file for all classifiers.

The daemon looks at it several times a second, so it is read again only when it has changed.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edged.atomic_file import read_file
from edged.clock import rfc3339, unix_of
from edged.document.json_line import Line, parse_line
from edged.errors import EdgedError, InputError
from edged.printable import printable
from edged.teach.store.folder import put
from edged.teach.store.names import check_view, is_name

FILE = "deployed.json"
LARGEST_BYTES = 1_000_000
LONGEST_WAY_BACK = 8
"""Classifiers that one after the other were replaced on a view."""

log = logging.getLogger("edged.teach")


@dataclass(frozen=True, slots=True)
class Deployed:
    """before: the version that ran before it, or None. since_unix: of this version. replaced:
    another classifier that ran on the view before this one, as it was deployed then."""

    name: str
    view: str
    version: int
    before: int | None
    since_unix: float
    replaced: Deployed | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "view": self.view,
            "version": self.version,
            "before": self.before,
            "since": rfc3339(round(self.since_unix * 1e9)),
            "replaced": self.replaced and self.replaced.to_json(),
        }

    def way_back(self) -> Iterator[Deployed]:
        """What ran on the view before it, the latest first."""
        own = self
        while True:
            if own.before is not None:
                yield replace(own, version=own.before, before=None)
            if own.replaced is None:
                return
            own = own.replaced
            yield own

    def without(self, name: str) -> Deployed | None:
        """With a way back that does not lead to the classifier; None if it is this one."""
        replaced = self.replaced and self.replaced.without(name)
        return replaced if self.name == name else replace(self, replaced=replaced)


def astray(deployed: Mapping[str, Deployed], views: Collection[str]) -> Iterator[str]:
    """A warning for each whose view the configuration does not have. views: those that it has."""
    for each in deployed.values():
        if each.view not in views:
            yield (
                f"{each.name} is deployed to {each.view}, which the configuration does not have; "
                f"{to_move(each.name, sorted(views))}"
            )


def to_move(name: str, views: Iterable[str]) -> str:
    """How a classifier comes to another view."""
    return (
        f"to move it: edged teach {name} --view {'|'.join(views)}, then edged teach {name} deploy"
    )


class DeployedFile:
    """Thread-safe to read. `write` needs the lock of the folder."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE
        self._known: tuple[tuple[int, ...], Mapping[str, Deployed]] = ((), {})

    def read(self) -> Mapping[str, Deployed]:
        """By classifier. A damaged entry is logged when the file has changed; it counts for
        nothing, and neither does one whose version is gone."""
        try:
            found = self._path.lstat()
        except OSError:
            return {}
        stamp = found.st_mtime_ns, found.st_ino, found.st_size
        known, deployed = self._known
        if stamp != known:
            deployed = self._read()
            self._known = stamp, deployed
        return {name: each for name, each in deployed.items() if self._folder(each).is_dir()}

    def write(self, deployed: Mapping[str, Deployed]) -> None:
        """Raises OSError."""
        values = {name: each.to_json() for name, each in deployed.items()}
        put(self._path, json.dumps(values, indent=2).encode() + b"\n")

    def drop(self, name: str) -> None:
        """Also an entry that is not valid, and where it was replaced. Raises OSError."""
        if self._path.exists():
            self.write(
                {
                    each: replace(own, replaced=own.replaced and own.replaced.without(name))
                    for each, own in self.read().items()
                    if each != name
                }
            )

    def ran_before(self, deployed: Deployed) -> Deployed | None:
        """What the view runs after the way back; None: the model of its configuration. What is gone
        or runs elsewhere now is left out."""
        elsewhere = self.read().keys() - {deployed.name}
        for each in deployed.way_back():
            same = (each.name, each.version) == (deployed.name, deployed.version)
            if not same and each.name not in elsewhere and self._folder(each).is_dir():
                return replace(each, since_unix=time.time())
        return None

    def used(self, name: str) -> set[int]:
        """The versions of a classifier that run, or that a way back leads to."""
        runs = self.read().values()
        found = (each for own in runs for each in (own, *own.way_back()))
        return {each.version for each in found if each.name == name}

    def _read(self) -> Mapping[str, Deployed]:
        try:
            line = parse_line(read_file(self._path, LARGEST_BYTES, links=False), str(self._path), 1)
        except OSError as error:
            log.warning("%s: cannot be read: %s", self._path, error.strerror)
            return {}
        except InputError as error:
            log.warning("%s; nothing counts as deployed until the next edged teach … deploy", error)
            return {}
        found = {}
        for name, values in line.values.items():
            try:
                found[name] = self._entry(name, line.inside(name, values))
            except EdgedError as error:  # noqa: PERF203
                log.warning("%s; ignored", error)
        return found

    def _entry(self, name: str, entry: Line) -> Deployed:
        found = _entry(name, entry)
        if not self._folder(found).is_dir() or self._folder(found).is_symlink():
            raise entry.error(f"there is no version {found.version} of {name}")
        return found

    def _folder(self, of: Deployed) -> Path:
        return self._path.parent / of.name / "versions" / str(of.version)


def _entry(name: str, entry: Line, longest: int = LONGEST_WAY_BACK) -> Deployed:
    """longest: classifiers that its way back may lead to."""
    if not is_name(name):
        raise entry.error("not the name of a classifier", repr(printable(name, 60)))
    version, before = entry.number_at("version", 1), entry.values.get("before")
    return Deployed(
        name,
        check_view(entry.text_at("view")),
        int(version),
        None if before is None else int(entry.check("before", before, 1)),
        _unix_of(entry, "since"),
        _replaced(entry, longest),
    )


def _replaced(entry: Line, longest: int) -> Deployed | None:
    found = entry.values.get("replaced")
    if found is None or not longest:
        return None
    if isinstance(found, list) and len(found) == 2:  # as first written: name and version
        found = {**entry.values, **dict(zip(("name", "version"), found, strict=True))}
        found |= {"before": None, "replaced": None}
    inner = entry.inside("replaced", found)
    return _entry(inner.text_at("name"), inner, longest - 1)


def _unix_of(entry: Line, key: str) -> float:
    text = entry.text_at(key)
    try:
        return unix_of(text)
    except (ValueError, OverflowError):
        raise entry.error(f"`{key}` must be a time", repr(printable(text, 60))) from None

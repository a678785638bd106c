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
from edged.errors import EdgedError, InputError, cannot_read
from edged.printable import printable
from edged.teach.store.folder import put
from edged.teach.store.names import is_name, is_view

FILE = "deployed.json"
LARGEST_BYTES = 1_000_000
LONGEST_WAY_BACK = 8
"""Classifiers that one after the other were replaced on a view."""
_MEND = "restore the file, or write it anew: edged teach NAME deploy"

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
    """Thread-safe to read. What writes needs the lock of the folder."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE
        self._known: tuple[tuple[int, ...], Mapping[str, Deployed], str] = ((), {}, "")

    def read(self) -> Mapping[str, Deployed]:
        """By classifier, also those that are gone. A damaged entry counts for nothing."""
        return self._look()[0]

    @property
    def damage(self) -> str:
        """Why not all that is deployed is known; empty if it is. Logged when the file has
        changed."""
        return self._look()[1]

    def _look(self) -> tuple[Mapping[str, Deployed], str]:
        try:
            found = self._path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return {}, ""
        except OSError as error:
            return {}, str(cannot_read(self._path, error))
        stamp = found.st_ctime_ns, found.st_ino, found.st_size
        known, deployed, damage = self._known
        if stamp != known:
            deployed, damage = self._read()
            self._known = stamp, deployed, damage
            if damage:
                log.warning("%s", damage)
        return deployed, damage

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
            if not same and each.name not in elsewhere and self.folder(each).is_dir():
                return replace(each, since_unix=time.time())
        return None

    def after_back(self, name: str) -> tuple[Deployed | None, Mapping[str, Deployed]]:
        """What runs on the classifier's view after the way back, as `ran_before`, and all that
        would be deployed then. Raises InputError if it is not deployed."""
        known = dict(self.read())
        own = known.pop(name, None)
        if own is None:
            raise InputError("no version of it is deployed", where=name)
        new = self.ran_before(own)
        return new, known if new is None else {**known, new.name: new}

    def used(self, name: str) -> set[int]:
        """The versions of a classifier that run, or that a way back leads to."""
        runs = self.read().values()
        found = (each for own in runs for each in (own, *own.way_back()))
        return {each.version for each in found if each.name == name}

    def _read(self) -> tuple[Mapping[str, Deployed], str]:
        found, errors = {}, []
        try:
            line = parse_line(read_file(self._path, LARGEST_BYTES, links=False), str(self._path), 1)
            for name, values in line.values.items():
                try:
                    found[name] = _entry(name, line.inside(printable(name, 60), values))
                except EdgedError as error:  # noqa: PERF203
                    errors.append(error)
        except OSError as error:
            errors.append(cannot_read(self._path, error))
        except InputError as error:
            errors.append(error)
        return found, f"{errors[0]}; {_MEND}" if errors else ""

    def folder(self, of: Deployed) -> Path:
        """Of the version, which may be gone."""
        return self._path.parent / of.name / "versions" / str(of.version)


def _entry(name: str, entry: Line, longest: int = LONGEST_WAY_BACK) -> Deployed:
    """longest: classifiers that its way back may lead to."""
    if not is_name(name):
        raise entry.error("not the name of a classifier", repr(printable(name, 60)))
    version, before = entry.number_at("version", 1), entry.values.get("before")
    view = entry.text_at("view")
    if not is_view(view):
        raise entry.error("`view` must be a view", repr(printable(view, 80)))
    return Deployed(
        name,
        view,
        int(version),
        None if before is None else int(entry.check("before", before, 1)),
        _unix_of(entry, "since"),
        _replaced(entry, longest),
    )


def _replaced(entry: Line, longest: int) -> Deployed | None:
    found = entry.values.get("replaced")
    if found is None or not longest:
        return None
    inner = entry.inside("replaced", found)
    return _entry(inner.text_at("name"), inner, longest - 1)


def _unix_of(entry: Line, key: str) -> float:
    text = entry.text_at(key)
    try:
        return unix_of(text)
    except (ValueError, OverflowError):
        raise entry.error(f"`{key}` must be a time", repr(printable(text, 60))) from None

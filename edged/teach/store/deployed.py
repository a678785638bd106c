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

log = logging.getLogger("edged.teach")


@dataclass(frozen=True, slots=True)
class Deployed:
    """before: the version that ran before it, or None. since_unix: of this version. replaced: name
    and version of another classifier that ran on the view before this one."""

    name: str
    view: str
    version: int
    before: int | None
    since_unix: float
    replaced: tuple[str, int] | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "view": self.view,
            "version": self.version,
            "before": self.before,
            "since": rfc3339(round(self.since_unix * 1e9)),
            "replaced": self.replaced,
        }


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
            others = {each: own for each, own in self.read().items() if each != name}
            for each, own in others.items():
                if own.replaced is not None and own.replaced[0] == name:
                    others[each] = replace(own, replaced=None)
            self.write(others)

    def ran_before(self, deployed: Deployed) -> Deployed | None:
        """What the view runs after the way back; None: the model of its configuration."""
        now, own, other = time.time(), deployed, deployed.replaced
        if own.before is not None:
            back = replace(own, version=own.before, before=None, since_unix=now)
            if self._folder(back).is_dir():
                return back
        if other is None or other[0] in self.read():  # it runs elsewhere now
            return None
        back = Deployed(other[0], own.view, other[1], None, now)
        return back if self._folder(back).is_dir() else None

    def used(self, name: str) -> set[int]:
        """The versions of a classifier that run, or that a way back leads to."""
        found = set()
        for each in self.read().values():
            if each.name == name:
                found |= {each.version, each.before or each.version}
            if each.replaced is not None and each.replaced[0] == name:
                found.add(each.replaced[1])
        return found

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
        shown = printable(name, 60)
        if not is_name(name):
            raise entry.error("not the name of a classifier", repr(shown))
        version, before = entry.number_at("version", 1), entry.values.get("before")
        before = None if before is None else entry.check("before", before, 1)
        found = Deployed(
            name,
            check_view(entry.text_at("view")),
            int(version),
            None if before is None else int(before),
            _unix_of(entry, "since"),
            _replaced(entry),
        )
        if not self._folder(found).is_dir() or self._folder(found).is_symlink():
            raise entry.error(f"there is no version {found.version} of {shown}")
        return found

    def _folder(self, of: Deployed) -> Path:
        return self._path.parent / of.name / "versions" / str(of.version)


def _replaced(entry: Line) -> tuple[str, int] | None:
    if entry.values.get("replaced") is None:
        return None
    found = entry.list_at("replaced")
    if len(found) != 2 or not isinstance(found[0], str) or not is_name(found[0]):
        raise entry.error("`replaced` must be a name and a version")
    return found[0], int(entry.check("replaced", found[1], 1))


def _unix_of(entry: Line, key: str) -> float:
    text = entry.text_at(key)
    try:
        return unix_of(text)
    except (ValueError, OverflowError):
        raise entry.error(f"`{key}` must be a time", repr(printable(text, 60))) from None

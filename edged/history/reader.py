"""Reads the history while it is written: a connection of its own for each question, with a time
limit. Answers are ready for JSON.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from edged.clock import rfc3339
from edged.errors import EdgedError
from edged.history.minutes import MOST_CLASSES
from edged.history.schema import VIEWS
from edged.view import camera_of, fields, parts

READ_SECONDS = 5.0
_STEPS = 10_000
"""Of SQLite's machine, between two looks at the clock."""
_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What values raise that edged has not written."""
_COLUMNS = "id, view, rule, started, ended, peak, variant, runtime, budget_ms, snapshot, corrected"


_Note = Callable[[str], object]
"""(a damaged row) It is left out."""


class TooSlowError(EdgedError):
    """The time limit has passed."""


class Asked(NamedTuple):
    """since_ns, until_ns: of the start (Unix time), the second one excluded. view: an id, or the
    name of a view of any camera. label: one of the rule's classes. before: an event's id."""

    since_ns: int | None = None
    until_ns: int | None = None
    camera: str | None = None
    view: str | None = None
    event: str | None = None
    label: str | None = None
    limit: int = 50
    before: int | None = None

    def takes(self, view: str) -> bool:
        """Whether events of the view (its id) are asked for."""
        of_camera = self.camera is None or self.camera == camera_of(view)
        return of_camera and (self.view is None or self.view in (view, parts(view)[1]))


class Span(NamedTuple):
    """since_s, until_s: Unix time. step_s: from one answer to the next."""

    view: str
    since_s: int
    until_s: int
    step_s: int


class Reader:
    """For any thread. Raises sqlite3.Error, and TooSlowError. Lists leave damaged rows out."""

    def __init__(self, path: Path, seconds: float = READ_SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self.damaged = ""
        """A row that was left out."""

    def events(self, asked: Asked) -> dict[str, Any]:
        """The newest first: the highest number. next: what to ask `before` for further ones."""
        with self._open() as db:
            if db is None:
                return {"events": [], "next": None}
            numbers = _page(db, asked, self._note)
            more = len(numbers) > asked.limit
            numbers = numbers[: asked.limit]
            found = _told(db, numbers, self._note)
        return {"events": found, "next": numbers[-1] if more else None}

    def event(self, number: int) -> dict[str, Any] | None:
        """Raises EdgedError if its row is damaged."""
        with self._open() as db:
            found = [] if db is None else _told(db, [number], self._note)
        if self.damaged:
            raise EdgedError("the event is damaged", got=self.damaged, fix="delete it")
        return next(iter(found), None)

    def snapshot(self, number: int) -> bytes | None:
        """The JPEG."""
        with self._open() as db:
            command = "SELECT jpeg FROM snapshots WHERE event = ?"
            found = None if db is None else db.execute(command, (number,)).fetchone()
        return None if found is None else bytes(found[0])

    def seen(self, span: Span) -> list[dict[str, Any]]:
        """One for each step with a result or a frame, the oldest first. Steps begin at multiples of
        their length."""
        steps: dict[int, _Step] = {}
        with self._open() as db:
            for started_ms, *row in () if db is None else _minutes(db, span):
                at = started_ms // 1000 // span.step_s * span.step_s
                step = steps.get(at, _Step())
                try:
                    step.add(*row)
                    steps[at] = step
                except _DAMAGE:
                    self._note(f"the minute of {rfc3339(started_ms * 1_000_000)}")
        return [{"at": rfc3339(at * 1_000_000_000), **steps[at].told()} for at in sorted(steps)]

    def views(self) -> list[str]:
        """Ids of all that something was ever kept of."""
        with self._open() as db:
            command = "SELECT name FROM views WHERE typeof(name) = 'text'"
            return [] if db is None else [name for (name,) in db.execute(command)]

    def _note(self, row: str) -> None:
        self.damaged = row

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        """None before anything was written."""
        if not self._path.exists():
            yield None
            return
        address = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        until = time.monotonic() + self._seconds
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=1)) as db:
            db.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            try:
                db.execute("PRAGMA cache_size=-512")
                db.execute("PRAGMA temp_store=MEMORY")
                db.execute("BEGIN")  # one state for all of an answer
                # A writer that was killed may have left a file without tables.
                (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
                yield db if tables else None
            except sqlite3.OperationalError as error:
                if time.monotonic() > until:
                    what = f"this took longer than {self._seconds:g} s"
                    raise TooSlowError(what, fix="ask for a shorter time") from error
                raise


def _page(db: sqlite3.Connection, asked: Asked, note: _Note) -> list[int]:
    """Numbers of events: one more than the limit, if there are more."""
    where, values = ["id < ?"], [2**63 - 1 if asked.before is None else asked.before]
    for condition, value in (("started >= ?", asked.since_ns), ("started < ?", asked.until_ns)):
        if value is not None:
            where.append(condition)
            values.append(value)
    if len(where) > 1:
        # Numbers follow the starts but for steps of the clock: their range keeps the search short.
        command = "SELECT min(id), max(id) FROM events INDEXED BY events_by_time WHERE "
        least, most = db.execute(command + " AND ".join(where[1:]), values[1:]).fetchone()
        if least is None:
            return []
        where += ["id >= ?", "id <= ?"]
        values += [least, most]
    index = "NOT INDEXED"  # in the order of the numbers
    if any(each is not None for each in (asked.camera, asked.view, asked.event, asked.label)):
        index = "INDEXED BY events_by_view"
        where += [
            f"view IN ({_listed(_views(db, asked))})",
            f"rule IN ({_listed(_rules(db, asked, note))})",
        ]
    command = f"SELECT id FROM events {index} WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
    return [number for (number,) in db.execute(command, (*values, asked.limit + 1))]


def _views(db: sqlite3.Connection, asked: Asked) -> Iterator[int]:
    for number, name in db.execute("SELECT id, name FROM views WHERE typeof(name) = 'text'"):
        if asked.takes(name):
            yield number


def _rules(db: sqlite3.Connection, asked: Asked, note: _Note) -> Iterator[int]:
    for number, event, classes in db.execute("SELECT id, event, classes FROM rules"):
        named = asked.event is None or asked.event == event
        try:
            if named and (asked.label is None or asked.label in _names(classes)):
                yield number
        except _DAMAGE:
            note(f"rule {number}")


def _told(db: sqlite3.Connection, numbers: Sequence[int], note: _Note) -> list[dict[str, Any]]:
    views: dict[int, str] = dict(db.execute("SELECT id, name FROM views"))
    rules = {number: rest for number, *rest in db.execute("SELECT id, event, classes FROM rules")}
    command = f"SELECT {_COLUMNS} FROM events WHERE id IN ({_listed(numbers)}) ORDER BY id DESC"
    told: list[dict[str, Any]] = []
    for row in db.execute(command):
        name = f"event {row[0]}"
        try:
            told.append(_event(row, views, rules))
        except _DAMAGE:
            note(name)
    return told


def _event(
    row: Sequence[Any], views: Mapping[int, str], rules: Mapping[int, Sequence[str]]
) -> dict[str, Any]:
    number, view, rule, started, ended, peak, variant, runtime, budget_ms, size, corrected = row
    event, classes = rules[rule]
    told = {
        "id": number,
        **fields(views[view]),
        "event": event,
        "classes": _names(classes),
        "started_at": rfc3339(started),
        "ended_at": None if ended is None else rfc3339(ended),
        "duration_seconds": None if ended is None else round((ended - started) / 1e9, 3),
        "peak": round(peak, 3),
        "variant": variant,
        "runtime": runtime,
        "budget_ms": budget_ms,
        "snapshot": size > 0,
        "corrected": corrected,
    }
    json.dumps(told, allow_nan=False)  # raises for what JSON cannot say
    return told


def _names(classes: str) -> list[str]:
    names = json.loads(classes)
    if not isinstance(names, list):
        raise TypeError(classes)
    return names


def _minutes(db: sqlite3.Connection, span: Span) -> Iterable[tuple[Any, ...]]:
    return db.execute(
        "SELECT started_view / ?1, results, late, stale, latency / 1000.0, name, "
        "accuracy / 10000.0, best / 10000.0, classes, no_class "
        "FROM minutes LEFT JOIN variants ON variants.id = variant "
        "WHERE started_view >= ?2 * ?1 AND started_view < ?3 * ?1 "
        "AND started_view % ?1 = (SELECT id FROM views WHERE name = ?4)",
        (VIEWS, span.since_s * 1000, span.until_s * 1000, span.view),
    )


def _listed(numbers: Iterable[int]) -> str:
    """For SQL: numbers from the database."""
    return ", ".join(map(str, numbers))


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    weight: int = 0

    def add(self, value: float | None, weight: int) -> None:
        if value is not None:
            self.total += value * weight
            self.weight += weight

    def told(self, digits: int) -> float | None:
        return round(self.total / self.weight, digits) if self.weight else None


@dataclass(slots=True)
class _Step:
    """Minutes added up. A share is one of the results."""

    results: int = 0
    late: int = 0
    stale: int = 0
    latency_ms: _Mean = field(default_factory=_Mean)
    accuracy: _Mean = field(default_factory=_Mean)
    best_accuracy: _Mean = field(default_factory=_Mean)
    variants: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    nothing: int = 0

    def add(
        self,
        results: int,
        late: int,
        stale: int,
        latency_ms: float | None,
        variant: str | None,
        accuracy: float | None,
        best_accuracy: float | None,
        classes: str,
        nothing: int,
    ) -> None:
        counts: dict[str, int] = json.loads(classes)
        if not isinstance(variant, str | None) or sum(counts.values()) > results:
            raise ValueError(classes)
        self.results += results
        self.late += late
        self.stale += stale
        self.latency_ms.add(latency_ms, results)
        self.accuracy.add(accuracy, results)
        self.best_accuracy.add(best_accuracy, results + stale)
        if variant is not None:
            self.variants[variant] += results
        self.classes.update(counts)
        self.nothing += nothing

    def told(self) -> dict[str, Any]:
        named, results = self.classes.most_common(MOST_CLASSES), max(self.results, 1)
        other = self.results - self.nothing - sum(count for _, count in named)
        return {
            "results": self.results,
            "late": self.late,
            "stale": self.stale,
            "latency_ms": self.latency_ms.told(2),
            "shares": {label: round(count / results, 4) for label, count in named},
            "other": round(other / results, 4),
            "nothing": round(self.nothing / results, 4),
            "variant": max(self.variants, key=self.variants.__getitem__, default=None),
            "accuracy": self.accuracy.told(4),
            "best_accuracy": self.best_accuracy.told(4),
        }

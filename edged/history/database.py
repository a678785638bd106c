"""The history's SQLite database as its only writer sees it: file, schema, bounds.

Write-ahead log. An event is on the disk when `write` returns (synchronous=FULL); minutes that the
kernel has not written yet are lost in a power cut, never the database. Pictures are in the
database: one file to back up, and one transaction for an event with its picture. As files they
would take the same space and a third of the writing (tests/benchmarks/history.md); events are few.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from edged.errors import EdgedError
from edged.history import schema
from edged.history.minutes import Minute
from edged.history.options import HistoryConfig
from edged.history.schema import VIEWS
from edged.result import Event, encode

FILE = "history.sqlite3"
SUFFIXES = ("", "-wal", "-shm")
"""Of the files that belong to the database."""
MOST_EVENTS = 1_000_000
RESERVED_BYTES = 4_000_000
"""Of max_bytes, for the write-ahead log."""
TOGETHER, TOGETHER_BYTES = 32, 1_000_000
"""Events in one transaction, and their pictures: they must not make the log long."""
PAGE_BYTES = 2048
"""Of a new file; one that is there keeps its own. A minute changes few pages, so that smaller ones
write less (tests/benchmarks/history.md)."""
CHECKPOINT_BYTES = 1024 * 1024
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_EVENTS_AT_ONCE, _MINUTES_AT_ONCE_MS = 8, HOUR_MS
"""Deleted in one transaction."""


class Recorded(NamedTuple):
    """classes: of the event's rule."""

    event: Event
    classes: tuple[str, ...]


Key = tuple[str, str, int]
"""View, event and start (Unix nanoseconds): what an event's end is recognized by."""


class Database:
    """For one thread, under a lock that keeps other processes from writing. An error changes
    nothing.

    running: keys of the events that go on; others without an end were interrupted by a crash.
    Raises OSError, sqlite3.Error (exactly DatabaseError if the file is damaged), and EdgedError for
    the file of a newer edged.
    """

    def __init__(self, path: Path, running: Collection[Key]) -> None:
        with suppress(FileExistsError):  # closing it would release the locks of this process
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._is_loaded = True
        try:
            self._begin(path)
            self._load()
            self._end_interrupted(running)
            self._inode = path.stat().st_ino
        except BaseException:
            self._db.close()
            raise
        self._pruned = (-1, -1)
        """Hour and days of the last deletion by age."""

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._db.close()

    def is_at(self, path: Path) -> bool:
        """False if somebody has deleted or replaced the file."""
        try:
            return path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Raises sqlite3.DatabaseError for damage; reads the whole file."""
        if missing := self.missing():
            raise sqlite3.DatabaseError(f"{missing} is missing")
        if self._db.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("found while reading")

    def missing(self) -> str:
        """The first table, column or index that somebody has taken away; "" without any."""
        return schema.missing_in(self._db)

    # ------------------------------------------------------------------------------------ writing

    def write(
        self,
        events: Sequence[Recorded],
        minutes: Sequence[Minute],
        config: HistoryConfig,
        now_ms: int,
    ) -> None:
        """Each event and picture is on the disk afterwards. Deletes what has to go."""
        self._delete_old(config.days, now_ms)
        waiting = deque(events)
        while waiting:
            taken: list[Recorded] = []
            size = 0
            while waiting and len(taken) < TOGETHER and size < TOGETHER_BYTES:
                taken.append(waiting.popleft())
                size += _picture_bytes(taken[-1])
            self._make_room(size + len(taken) * 8 * self._page_bytes, config)
            self._delete_surplus(len(taken))
            with self._transaction(durable=True):
                for each in taken:
                    self._put(each)
        if minutes:
            self._make_room((len(minutes) // 8 + 8) * self._page_bytes, config)
            with self._transaction(durable=False):
                rows = [self._row(each) for each in minutes]
                # Two of one millisecond: the clock was set back to exactly that one.
                self._db.executemany(f"INSERT OR REPLACE INTO minutes VALUES ({_marks(10)})", rows)

    def delete(self, event: int) -> bool:
        """For good, even if the event goes on. False if there is no such event."""
        with self._transaction(durable=True):
            self._db.execute(
                "INSERT OR IGNORE INTO deleted SELECT started, view, event FROM events "
                "JOIN rules ON rules.id = rule WHERE events.id = ? AND ended IS NULL",
                (event,),
            )
            return self._delete([event]) == 1

    def correct(self, event: int, label: str) -> bool:
        """Note what it should have been. False if there is no such event."""
        with self._transaction(durable=True):
            command = "UPDATE events SET corrected = ? WHERE id = ?"
            return self._db.execute(command, (label, event)).rowcount == 1

    def fit(self, config: HistoryConfig) -> None:
        """Delete what a smaller max_bytes has no room for, and give the space back."""
        self._make_room(0, config)
        most = (config.max_bytes - RESERVED_BYTES) // self._page_bytes
        while self._number("page_count") > most and self._number("freelist_count"):
            # `execute` would free one page: the statement stops after each.
            self._db.executescript(f"PRAGMA incremental_vacuum({self._checkpoint_pages})")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # -------------------------------------------------------------------------------------- parts

    def _load(self) -> None:
        """What is known of the tables."""
        self._names: dict[str, dict[str, int]] = {
            table: dict(self._db.execute(f"SELECT name, id FROM {table}"))
            for table in ("views", "variants")
        }
        rules = self._db.execute("SELECT event, classes, id FROM rules")
        self._rules: dict[tuple[str, str], int] = {
            (event, classes): number for event, classes, number in rules
        }
        (self._count,) = self._db.execute("SELECT count(*) FROM events").fetchone()
        self._is_loaded = True

    def _begin(self, path: Path) -> None:
        for pragma in (
            f"page_size={PAGE_BYTES}",
            "auto_vacuum=INCREMENTAL",
            "journal_mode=WAL",
            f"journal_size_limit={RESERVED_BYTES // 2}",
            "cache_size=-512",
            "secure_delete=FAST",
            "temp_store=MEMORY",
        ):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._page_bytes = self._number("page_size")
        self._checkpoint_pages = CHECKPOINT_BYTES // self._page_bytes
        self._db.execute(f"PRAGMA wal_autocheckpoint={self._checkpoint_pages}").fetchall()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            with self._transaction(durable=True):
                schema.create(self._db)
        schema.check(self._db, path)

    def _end_interrupted(self, running: Collection[Key]) -> None:
        """At the last minute that was written; the journal's end, if it comes, is closer."""
        open_ones = self._db.execute(
            "SELECT events.id, name, event, started FROM events JOIN views ON views.id = view "
            "JOIN rules ON rules.id = rule WHERE ended IS NULL"
        ).fetchall()
        ended = [number for number, *key in open_ones if tuple(key) not in running]
        if ended:
            with self._transaction(durable=True):
                self._db.executemany(
                    "UPDATE events SET ended = max(started, coalesce((SELECT max(started_view) "
                    "FROM minutes), 0) / ? * 1000000) WHERE id = ?",
                    [(VIEWS, number) for number in ended],
                )

    def _put(self, recorded: Recorded) -> None:
        event, cause = recorded.event, recorded.event.cause
        view = self._number_of("views", event.view)
        key = event.started_unix_ns, view, event.name
        found = self._db.execute(
            "SELECT events.id FROM events INDEXED BY events_by_time "
            "CROSS JOIN rules ON rules.id = rule WHERE started = ? AND view = ? AND event = ?",
            key,
        ).fetchone()
        if found is not None:  # the start is there; or an earlier attempt succeeded after all
            if event.ended_unix_ns is not None:
                command = "UPDATE events SET ended = ?, peak = ? WHERE id = ?"
                self._db.execute(command, (event.ended_unix_ns, event.peak, found[0]))
            return
        command = "SELECT 1 FROM deleted WHERE started = ? AND view = ? AND event = ?"
        if self._db.execute(command, key).fetchone() is not None:
            return
        begins = event.ended_unix_ns is None
        jpeg = event.snapshot
        inserted = self._db.execute(
            "INSERT INTO events (view, rule, started, ended, peak, variant, runtime, budget_ms, "
            f"snapshot) VALUES ({_marks(9)})",
            (
                *(view, self._rule(event.name, recorded.classes)),
                *(event.started_unix_ns, event.ended_unix_ns, event.peak),
                *((cause.variant.name, cause.runtime) if cause and begins else (None, None)),
                cause.budget_ms if cause and begins else None,
                0 if jpeg is None else len(jpeg),
            ),
        )
        self._count += 1
        if jpeg is not None:
            self._db.execute("INSERT INTO snapshots VALUES (?, ?)", (inserted.lastrowid, jpeg))

    def _row(self, minute: Minute) -> tuple[object, ...]:
        return (
            minute.started_ms * VIEWS + self._number_of("views", minute.view),
            *(minute.results, minute.late, minute.stale, _whole(minute.latency_ms, 1000)),
            None if minute.variant is None else self._number_of("variants", minute.variant),
            *(_whole(minute.accuracy, 10_000), _whole(minute.best_accuracy, 10_000)),
            *(encode(minute.classes), minute.nothing),
        )

    def _number_of(self, table: str, name: str) -> int:
        known = self._names[table]
        if name not in known:
            command = f"INSERT INTO {table} (name) VALUES (?)"
            known[name] = self._db.execute(command, (name,)).lastrowid or 0
        return known[name]

    def _rule(self, event: str, classes: Sequence[str]) -> int:
        key = event, encode(classes)
        if key not in self._rules:
            command = "INSERT INTO rules (event, classes) VALUES (?, ?)"
            self._rules[key] = self._db.execute(command, key).lastrowid or 0
        return self._rules[key]

    # ------------------------------------------------------------------------------------- bounds

    def _delete_old(self, days: int, now_ms: int) -> None:
        """Once an hour, so that deleting costs few pages."""
        hour = now_ms // HOUR_MS, days
        if self._pruned == hour:
            return
        since_ms = now_ms - days * DAY_MS + HOUR_MS
        while (oldest := self._oldest("events")) is not None and oldest < since_ms:
            self._delete_oldest_events(f"WHERE started < {since_ms * 1_000_000}")
        while (oldest := self._oldest("minutes")) is not None and oldest < since_ms:
            self._delete_minutes(min(since_ms, oldest + _MINUTES_AT_ONCE_MS))
        with self._transaction(durable=False):
            self._db.execute("DELETE FROM deleted WHERE started < ?", (since_ms * 1_000_000,))
        self._pruned = hour

    def _delete_surplus(self, more: int) -> None:
        while self._count and self._count + more > MOST_EVENTS:
            self._delete_oldest_events()

    def _make_room(self, wanted: int, config: HistoryConfig) -> None:
        """For so many bytes: delete the oldest."""
        most = config.max_bytes - RESERVED_BYTES - wanted
        while (
            self._number("page_count") - self._number("freelist_count")
        ) * self._page_bytes > most:
            event, minute = self._oldest("events"), self._oldest("minutes")
            if event is not None and (minute is None or event <= minute):
                self._delete_oldest_events()
            elif minute is not None:
                self._delete_minutes(minute + _MINUTES_AT_ONCE_MS)
            else:
                return

    def _oldest(self, table: str) -> int | None:
        """Unix time in milliseconds."""
        column, per_ms = {"events": ("started", 1_000_000), "minutes": ("started_view", VIEWS)}[
            table
        ]
        (started,) = self._db.execute(f"SELECT min({column}) FROM {table}").fetchone()
        return None if started is None else int(started) // per_ms

    def _delete_oldest_events(self, where: str = "") -> None:
        command = f"SELECT id FROM events {where} ORDER BY started LIMIT {_EVENTS_AT_ONCE}"
        with self._transaction(durable=False):
            self._delete([number for (number,) in self._db.execute(command)])

    def _delete(self, events: Sequence[int]) -> int:
        marks = _marks(len(events))
        self._db.execute(f"DELETE FROM snapshots WHERE event IN ({marks})", events)
        command = f"DELETE FROM events WHERE id IN ({marks})"
        deleted: int = self._db.execute(command, events).rowcount
        self._count -= deleted
        return int(deleted)

    def _delete_minutes(self, before_ms: int) -> None:
        with self._transaction(durable=False):
            self._db.execute("DELETE FROM minutes WHERE started_view < ?", (before_ms * VIEWS,))

    def _number(self, pragma: str) -> int:
        return int(self._db.execute(f"PRAGMA {pragma}").fetchone()[0])

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[None]:
        """durable: on the disk afterwards."""
        self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if not self._is_loaded:
                self._load()
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._is_loaded = False
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def lock(path: Path) -> int:
    """A descriptor that holds it. Raises OSError, and EdgedError if another process does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise EdgedError(
            "another edged writes the history there", fix="give each its own STATE_DIRECTORY"
        ) from None
    return fd


def move_aside(path: Path) -> Path:
    """Rename a damaged database, in place of an earlier damaged one. Raises OSError."""
    aside = path.with_name(f"{path.name}.damaged")
    for suffix in SUFFIXES:
        old, new = Path(f"{path}{suffix}"), Path(f"{aside}{suffix}")
        if old.exists():
            old.replace(new)
        else:
            new.unlink(missing_ok=True)
    return aside


def size_of(path: Path) -> int:
    """Bytes of the database with its log; 0 without one."""
    total = 0
    for suffix in SUFFIXES:
        with suppress(OSError):
            total += Path(f"{path}{suffix}").stat().st_size
    return total


def _picture_bytes(recorded: Recorded) -> int:
    return len(recorded.event.snapshot or b"")


def _whole(value: float | None, per_unit: int) -> int | None:
    return None if value is None else round(value * per_unit)


def _marks(count: int) -> str:
    return ", ".join("?" * count)

"""The tables of the history's database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from edged.errors import EdgedError

VIEWS = 65_536
"""More than there will ever be."""
_VERSION = 1
_APPLICATION = 0x65646764
_SCHEMA = """
CREATE TABLE views (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE variants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rules (
  id INTEGER PRIMARY KEY, event TEXT NOT NULL, classes TEXT NOT NULL, UNIQUE (event, classes));
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, view INTEGER NOT NULL, rule INTEGER NOT NULL,
  started INTEGER NOT NULL, ended INTEGER, peak REAL NOT NULL,
  variant TEXT, runtime TEXT, budget_ms REAL, snapshot INTEGER NOT NULL, corrected TEXT);
CREATE INDEX events_by_view ON events (view, rule, id, started);
CREATE INDEX events_by_time ON events (started);
CREATE INDEX events_open ON events (ended) WHERE ended IS NULL;
CREATE TABLE snapshots (event INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
CREATE TABLE minutes (
  started_view INTEGER PRIMARY KEY, results INTEGER NOT NULL, late INTEGER NOT NULL,
  stale INTEGER NOT NULL, latency INTEGER, variant INTEGER, accuracy INTEGER, best INTEGER,
  classes TEXT NOT NULL, no_class INTEGER NOT NULL);
"""
_DELETED = """
CREATE TABLE IF NOT EXISTS deleted (
  started INTEGER NOT NULL, view INTEGER NOT NULL, event TEXT NOT NULL,
  PRIMARY KEY (started, view, event)) WITHOUT ROWID
"""
"""Events that went on when somebody deleted them: their ends are not kept either. It came later
than the other tables."""
"""Events: Unix time in nanoseconds; snapshot in bytes, 0 without one. Minutes: latency
in microseconds, accuracies in hundredths of a percent; their key is Unix time in milliseconds times
VIEWS, plus the view's number: rows that are small and come in the order of their key change few
pages."""
_NAMES = """
SELECT name FROM sqlite_master
UNION SELECT m.name || '.' || c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
"""


def create(db: sqlite3.Connection) -> None:
    for command in (*_SCHEMA.split(";"), _DELETED):
        db.execute(command)
    db.execute(f"PRAGMA application_id={_APPLICATION}")
    db.execute(f"PRAGMA user_version={_VERSION}")


def check(db: sqlite3.Connection, path: Path) -> None:
    """Add what came later. Raises sqlite3.DatabaseError unless the tables are those of a history,
    and EdgedError for those of a newer edged."""
    if _number(db, "application_id") != _APPLICATION:
        raise sqlite3.DatabaseError("it is another program's database")
    if (version := _number(db, "user_version")) != _VERSION:
        raise EdgedError(
            "a newer edged wrote this history",
            where=path,
            got=f"version {version}",
            fix="install that edged again, or move the file away",
        )
    db.execute(_DELETED)
    if missing := missing_in(db):
        raise sqlite3.DatabaseError(f"{missing} is missing")


def missing_in(db: sqlite3.Connection) -> str:
    """The first table, column or index that the database lacks; "" if it has all."""
    with closing(sqlite3.connect(":memory:")) as right:
        create(right)
        return min(_names(right) - _names(db), default="")


def _names(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute(_NAMES)}


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])

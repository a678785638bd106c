"""Histories of events and minutes that a test makes up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from edged.history.database import FILE, Database, Recorded
from edged.history.minutes import Minute
from edged.history.options import HistoryConfig
from edged.result import Event
from tests.rig.results import make_result

S = 1_000_000_000
NOW_S = 1_800_000_000
"""A full hour."""
JPEG = b"\xff\xd8 a picture \xff\xd9"


def event_at(
    seconds: float,
    lasts: float | None = 2.0,
    *,
    view: str = "yard/gate",
    name: str = "open",
    snapshot: bytes | None = None,
) -> Event:
    """Begun so many seconds after NOW_S; without `lasts` it goes on."""
    started = round((NOW_S + seconds) * S)
    ended = None if lasts is None else started + round(lasts * S)
    cause = make_result(view=view) if lasts is None else None
    return Event(view, name, started, ended, 0.9, snapshot, cause)


def recorded(event: Event, *classes: str) -> Recorded:
    return Recorded(event, classes or (event.name,))


def minute_at(seconds: float, view: str = "yard/gate", **changed: Any) -> Minute:
    minute = Minute(
        *(view, round((NOW_S + seconds) * 1000), 600, 6, 2, 12.5),
        *("mobilenet_v1_0.5_160", 0.63, 0.71, {"open": 400, "closed": 150}, 30),
    )
    return minute._replace(**changed)


def write(
    folder: Path,
    *events: Recorded,
    minutes: tuple[Minute, ...] = (),
    config: HistoryConfig | None = None,
    now_s: float = NOW_S,
) -> Path:
    """The database, closed."""
    path = folder / FILE
    with closing(Database(path, ())) as database:
        database.write(events, minutes, config or HistoryConfig(), round(now_s * 1000))
    return path


def rows(path: Path, command: str) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(command).fetchall()


def is_sound(path: Path) -> bool:
    return rows(path, "PRAGMA integrity_check") == [("ok",)]

"""What is written: events with their ends and pictures, minutes, and what stays within bounds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.history import database as module
from edged.history.database import FILE, Database, move_aside, size_of
from edged.history.options import FEWEST_BYTES, HistoryConfig
from edged.history.schema import VIEWS
from tests.rig.history import (
    JPEG,
    NOW_S,
    S,
    event_at,
    is_sound,
    minute_at,
    recorded,
    rows,
    write,
)

DAY_S = 86_400


def of_pages(folder: Path, page_bytes: int) -> Path:
    """An empty database with pages of this size."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAGE_BYTES", page_bytes)
        return write(folder)


def test_an_event_is_completed_by_its_end(tmp_path: Path) -> None:
    start = event_at(0, None, snapshot=JPEG)
    path = write(tmp_path, recorded(start, "open", "ajar"))
    (row,) = rows(path, "SELECT ended, peak, variant, runtime, budget_ms, snapshot FROM events")
    assert row[1:] == (0.9, "mobilenet_v1_0.25_128", "onnxruntime", 33.0, len(JPEG))
    assert rows(path, "SELECT jpeg FROM snapshots") == [(JPEG,)]
    end = replace(event_at(0, 7), peak=0.95)
    write(tmp_path, recorded(end))  # of a rule that has other classes since
    told = rows(path, "SELECT id, (ended - started) / 1000000000, peak, variant FROM events")
    assert told == [(1, 7, 0.95, "mobilenet_v1_0.25_128")]


def test_what_was_written_already_is_not_written_twice(tmp_path: Path) -> None:
    """A commit may fail and be on the disk nevertheless."""
    events = [recorded(event_at(0, None, snapshot=JPEG)), recorded(event_at(1))]
    for _ in range(2):
        path = write(tmp_path, *events, minutes=(minute_at(0), minute_at(0, view="door")))
    assert rows(path, "SELECT count(*) FROM events") == [(2,)]
    assert rows(path, "SELECT count(*) FROM minutes") == [(2,)]


def test_an_end_without_its_start_is_an_event(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0)))
    assert rows(path, "SELECT variant, ended - started FROM events") == [(None, 2 * S)]


def test_what_a_crash_interrupted_ends_at_the_last_minute_or_as_the_journal_says(
    tmp_path: Path,
) -> None:
    running, lost, early = event_at(0, None), event_at(1, None, name="closed"), event_at(500, None)
    path = write(tmp_path, *map(recorded, (running, lost, early)), minutes=(minute_at(60),))
    key = running.view, running.name, running.started_unix_ns
    with closing(Database(path, {key})):
        pass
    (first, second, third) = rows(path, "SELECT ended FROM events ORDER BY id")
    assert first == (None,)  # a reload, not a crash
    assert second == ((NOW_S + 60) * S,)
    assert third == (early.started_unix_ns,)  # after the last minute
    write(tmp_path, recorded(event_at(1, 42, name="closed")))
    assert rows(path, "SELECT ended - started FROM events WHERE id = 2") == [(42 * S,)]


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0)), recorded(event_at(1)))
    with closing(Database(path, ())) as database:
        assert database.delete(2)
        assert not database.delete(2)
    write(tmp_path, recorded(event_at(2)))
    assert rows(path, "SELECT id FROM events") == [(1,), (3,)]


def test_an_event_that_is_deleted_while_it_goes_on_stays_deleted(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0, None)), recorded(event_at(1, None, view="door")))
    key = "yard/gate", "open", NOW_S * S
    with closing(Database(path, [key])) as database:
        assert database.delete(1)
    for _ in range(2):  # the end may come more than once
        write(tmp_path, recorded(event_at(0)), recorded(event_at(1, view="door")))
        assert rows(path, "SELECT id, ended IS NULL FROM events") == [(2, 0)]
    assert rows(path, "SELECT count(*) FROM deleted") == [(1,)]
    write(tmp_path, now_s=NOW_S + 40 * DAY_S)
    assert rows(path, "SELECT count(*) FROM deleted") == [(0,)]


def test_a_database_without_the_table_of_deleted_events_gets_it(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0)))
    rows(path, "DROP TABLE deleted")
    write(tmp_path, recorded(event_at(1)))
    assert rows(path, "SELECT count(*) FROM events") == [(2,)]


def test_deleting_takes_the_picture_along(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0, None, snapshot=JPEG)))
    with closing(Database(path, ())) as database:
        assert database.delete(1)
    assert rows(path, "SELECT count(*) FROM snapshots") == [(0,)]


def test_a_correction_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0)))
    with closing(Database(path, ())) as database:
        assert database.correct(1, "closed")
        assert not database.correct(2, "closed")
    assert rows(path, "SELECT corrected FROM events") == [("closed",)]


def test_the_file_is_for_the_group_to_read(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with closing(Database(path, ())):
        for each in tmp_path.iterdir():
            assert each.stat().st_mode & 0o777 == 0o640


def test_a_newer_edged_is_not_written_over(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0)))
    rows(path, "PRAGMA user_version=2")
    with pytest.raises(EdgedError, match="a newer edged wrote this history"):
        Database(path, ())
    assert rows(path, "SELECT count(*) FROM events") == [(1,)]


def test_another_programs_database_counts_as_damaged(tmp_path: Path) -> None:
    rows(tmp_path / FILE, "CREATE TABLE notes (text)")
    with pytest.raises(sqlite3.DatabaseError, match="another program's") as found:
        Database(tmp_path / FILE, ())
    assert type(found.value) is sqlite3.DatabaseError


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("DROP TABLE minutes", "minutes"),
        ("ALTER TABLE events RENAME COLUMN peak TO top", "events.peak"),
        ("DROP INDEX events_by_time", "events_by_time"),
    ],
)
def test_tables_of_another_shape_count_as_damaged(
    tmp_path: Path, command: str, missing: str
) -> None:
    path = write(tmp_path, recorded(event_at(0)))
    rows(path, command)
    with pytest.raises(sqlite3.DatabaseError, match=f"^{missing} is missing$") as found:
        Database(path, ())
    assert type(found.value) is sqlite3.DatabaseError


def test_one_damaged_database_is_kept(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / FILE).write_bytes(content)
        (tmp_path / f"{FILE}-wal").write_bytes(content)
        aside = move_aside(tmp_path / FILE)
    assert aside.read_bytes() == b"two"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"{FILE}.damaged",
        f"{FILE}.damaged-wal",
    ]


def test_writing_an_event_reads_no_others(tmp_path: Path) -> None:
    """SQLite's plans, once there are many; a page more or less would not show in a test's time."""
    statements: list[str] = []
    with closing(Database(tmp_path / FILE, ())) as database:
        events = [recorded(event_at(each)) for each in range(100)]
        database.write(events, [], HistoryConfig(), NOW_S * 1000)
        database._db.set_trace_callback(statements.append)
        events = [recorded(event_at(100, None, snapshot=JPEG)), recorded(event_at(100))]
        database.write(events, [minute_at(0)], HistoryConfig(), (NOW_S + 7200) * 1000)
        database.delete(1)
        database._db.set_trace_callback(None)
        plans = [
            (statement, row[3])
            for statement in statements
            if statement.startswith(("SELECT", "UPDATE", "DELETE"))
            for row in database._db.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert len(plans) > 8
    for statement, plan in plans:
        assert plan.startswith("SEARCH"), (statement, plan)
        assert "events_by_view" not in plan, (statement, plan)


# bounds


def test_the_oldest_go_with_their_days(tmp_path: Path) -> None:
    config = HistoryConfig(days=3)
    minutes = tuple(minute_at(-hour * 3600) for hour in range(24 * 9))
    events = [recorded(event_at(-day * DAY_S, None, snapshot=JPEG)) for day in range(9, 0, -1)]
    path = write(tmp_path, *events, minutes=minutes, now_s=NOW_S - 9 * DAY_S)
    write(tmp_path, config=config)
    least = (NOW_S - 3 * DAY_S) * S
    for started, table, expected in (
        ("started", "events", 2),
        (f"started_view / {VIEWS} * 1000000", "minutes", 3 * 24),
    ):
        ((count, oldest),) = rows(path, f"SELECT count(*), min({started}) FROM {table}")
        assert oldest >= least and count == expected
    assert rows(path, "SELECT count(*) FROM snapshots") == [(2,)]


def test_the_oldest_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EVENTS", 100)
    path = write(tmp_path, *(recorded(event_at(each)) for each in range(250)))
    ((count, oldest),) = rows(path, "SELECT count(*), min(id) FROM events")
    assert 100 - 8 < count <= 100 and oldest == 251 - count


def test_a_file_that_is_there_keeps_the_size_of_its_pages(tmp_path: Path) -> None:
    path = of_pages(tmp_path, 4096)
    write(tmp_path, recorded(event_at(1)), minutes=(minute_at(60),))
    assert rows(path, "PRAGMA page_size") == [(4096,)]
    assert rows(path, "SELECT count(*) FROM minutes") == [(1,)]


@pytest.mark.parametrize("page_bytes", [2048, 4096])
def test_the_oldest_make_room_and_freed_pages_are_used_again(
    tmp_path: Path, page_bytes: int
) -> None:
    config = HistoryConfig(max_bytes=FEWEST_BYTES)
    path, most = of_pages(tmp_path, page_bytes), 0
    with closing(Database(path, ())) as database:
        for number in range(400):
            picture = bytes([number % 251]) * 50_000
            event = recorded(event_at(number * 60, None, snapshot=picture))
            minutes = [minute_at(number * 60)]
            database.write([event], minutes, config, round((NOW_S + number * 60) * 1000))
            most = max(most, size_of(path))
    assert most <= FEWEST_BYTES
    ((count, oldest, newest),) = rows(path, "SELECT count(*), min(id), max(id) FROM events")
    assert newest == 400 and oldest == 401 - count and count > 80
    ((oldest_event, oldest_minute),) = rows(
        path,
        "SELECT (SELECT min(started) FROM events) / 1000000000, "
        f"(SELECT min(started_view) FROM minutes) / {VIEWS} / 1000",
    )
    assert abs(oldest_event - oldest_minute) <= 3600
    assert is_sound(path)


@pytest.mark.parametrize("page_bytes", [2048, 4096])
def test_a_smaller_limit_gives_space_back(tmp_path: Path, page_bytes: int) -> None:
    path = of_pages(tmp_path, page_bytes)
    events = [recorded(event_at(each, None, snapshot=bytes(100_000))) for each in range(200)]
    with closing(Database(path, ())) as database:
        database.write(events, [], HistoryConfig(), NOW_S * 1000)
        assert size_of(path) > 2 * FEWEST_BYTES
        database.fit(HistoryConfig(max_bytes=FEWEST_BYTES))
        assert size_of(path) <= FEWEST_BYTES
    assert rows(path, "SELECT max(id), count(*) > 20 FROM events") == [(200, 1)]
    assert is_sound(path)


def test_thirty_days_of_a_busy_device_stay_within_bounds(tmp_path: Path) -> None:
    """Two views, an event with a picture every quarter of an hour; a clock that is moved on."""
    config, views = HistoryConfig(days=10, max_bytes=18_000_000), ("door", "yard/gate")
    path, largest, picture = tmp_path / FILE, 0, bytes(15_000)
    with closing(Database(path, ())) as database:
        for at in range(0, 30 * DAY_S, 3600):
            starts = [event_at(at + 900 * each, None, snapshot=picture) for each in range(4)]
            ends = [event_at(at + 900 * each) for each in range(4)]
            minutes = [minute_at(at + 60 * each, view) for each in range(60) for view in views]
            events = [*map(recorded, (*starts, *ends))]
            database.write(events, minutes, config, (NOW_S + at + 3600) * 1000)
            largest = max(largest, size_of(path))
    assert largest <= config.max_bytes
    ((event, minute, count),) = rows(
        path,
        "SELECT (SELECT min(started) FROM events) / 1000000000, "
        f"(SELECT min(started_view) FROM minutes) / {VIEWS} / 1000, "
        "(SELECT count(*) FROM snapshots)",
    )
    least = NOW_S + 20 * DAY_S
    assert least <= event and least <= minute
    assert rows(path, "SELECT count(*) FROM events") == [(count,)] and count > 500
    assert is_sound(path)

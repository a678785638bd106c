"""What the history answers: filters, pages, and steps of what was seen."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.history import reader as module
from edged.history.database import FILE, Database
from edged.history.options import HistoryConfig
from edged.history.reader import Asked, Reader, Span, TooSlowError
from tests.rig.history import JPEG, NOW_S, S, event_at, minute_at, recorded, rows, write

VIEWS, NAMES = ("door", "yard/gate", "yard/bin"), ("open", "closed")


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """60 events, one a second, views and rules in turn."""
    events = [
        recorded(
            event_at(each, view=VIEWS[each % 3], name=NAMES[each % 2]),
            *(("open", "ajar") if each % 2 == 0 else ("closed",)),
        )
        for each in range(60)
    ]
    return Reader(write(tmp_path, *events))


def numbers(reader: Reader, **asked: object) -> list[int]:
    found = reader.events(Asked(**{"limit": 500, **asked}))  # type: ignore[arg-type]
    assert found["next"] is None
    return [event["id"] for event in found["events"]]


def test_an_event_as_it_is_told(tmp_path: Path) -> None:
    start = event_at(0.5, None, snapshot=JPEG)
    reader = Reader(write(tmp_path, recorded(start, "open", "ajar")))
    about = {
        "id": 1,
        "camera": "yard",
        "view": "gate",
        "event": "open",
        "classes": ["open", "ajar"],
        "started_at": "2027-01-15T08:00:00.500000Z",
        "ended_at": None,
        "duration_seconds": None,
        "peak": 0.9,
        "variant": "mobilenet_v1_0.25_128",
        "runtime": "onnxruntime",
        "budget_ms": 33.0,
        "snapshot": True,
        "corrected": None,
    }
    assert reader.event(1) == about
    assert reader.snapshot(1) == JPEG
    write(tmp_path, recorded(event_at(0.5, 3.25)))
    ended = {"ended_at": "2027-01-15T08:00:03.750000Z", "duration_seconds": 3.25}
    assert reader.event(1) == {**about, **ended}
    assert reader.event(2) is reader.snapshot(2) is None
    write(tmp_path, recorded(event_at(9, view="door")))
    assert list(reader.event(2) or {})[:3] == ["id", "camera", "event"]


def test_filters(reader: Reader) -> None:
    every = list(range(60, 0, -1))
    assert numbers(reader) == every
    of_view = {view: [n for n in every if (n - 1) % 3 == at] for at, view in enumerate(VIEWS)}
    for view, expected in of_view.items():
        assert numbers(reader, view=view) == expected
    assert numbers(reader, view="gate") == of_view["yard/gate"]
    assert numbers(reader, camera="yard", view="bin") == of_view["yard/bin"]
    assert numbers(reader, camera="door", view="bin") == []
    yard = sorted(of_view["yard/gate"] + of_view["yard/bin"], reverse=True)
    assert numbers(reader, camera="yard") == yard
    even, odd = [n for n in every if n % 2], [n for n in every if not n % 2]
    assert numbers(reader, event="open") == numbers(reader, label="ajar") == even
    assert numbers(reader, label="closed") == odd
    assert numbers(reader, view="door", event="closed") == [n for n in of_view["door"] if n in odd]
    assert numbers(reader, camera="roof") == numbers(reader, label="zebra") == []


def test_times_are_those_of_the_start(reader: Reader) -> None:
    since_ns, until_ns = (NOW_S + 10) * S, (NOW_S + 20) * S
    assert numbers(reader, since_ns=since_ns, until_ns=until_ns) == list(range(20, 10, -1))
    assert numbers(reader, since_ns=(NOW_S + 57) * S) == [60, 59, 58]
    assert numbers(reader, until_ns=(NOW_S + 2) * S) == [2, 1]
    assert numbers(reader, since_ns=(NOW_S + 60) * S) == []
    assert numbers(reader, since_ns=since_ns, until_ns=until_ns, view="door") == [19, 16, 13]


def test_a_clock_that_was_set_back_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, *(recorded(event_at(each)) for each in (0, 1, 2, 100, 101)))
    reader = Reader(write(tmp_path, *(recorded(event_at(each)) for each in (3, 4))))
    assert numbers(reader, until_ns=(NOW_S + 50) * S) == [7, 6, 3, 2, 1]


@pytest.mark.parametrize("asked", [Asked(), Asked(view="door"), Asked(camera="yard", event="open")])
def test_pages_give_each_event_once(reader: Reader, asked: Asked) -> None:
    whole = numbers(reader, **asked._replace(limit=500)._asdict())
    found: list[int] = []
    asked = asked._replace(limit=7)
    while True:
        page = reader.events(asked)
        found += [event["id"] for event in page["events"]]
        if page["next"] is None:
            break
        assert len(page["events"]) == 7
        asked = asked._replace(before=page["next"])
    assert found == whole


@pytest.mark.parametrize(
    "asked",
    [
        Asked(),
        Asked(view="gate"),
        Asked(camera="yard"),
        Asked(event="open"),
        Asked(label="ajar"),
        Asked(since_ns=NOW_S * S),
        Asked(since_ns=NOW_S * S, until_ns=(NOW_S + 9) * S, view="door", before=50),
    ],
)
def test_no_question_reads_the_whole_table(reader: Reader, asked: Asked) -> None:
    """Every step of SQLite's plans is a search, or goes along an index until the page is full."""
    plans: list[str] = []
    with reader._open() as db:
        assert db is not None
        statements: list[str] = []
        db.set_trace_callback(statements.append)
        numbers = module._page(db, asked, [].append)
        module._told(db, numbers, [].append)
        db.set_trace_callback(None)
        for statement in statements:
            plans += [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
    plans = [plan for plan in plans if not plan.startswith(("SCAN views", "SCAN rules"))]
    assert plans
    for plan in plans:
        assert plan.startswith("SEARCH events USING") or plan == "USE TEMP B-TREE FOR ORDER BY"
        assert "INTEGER PRIMARY KEY" in plan or "COVERING INDEX" in plan or plan.startswith("USE")


def test_nothing_yet(tmp_path: Path) -> None:
    reader = Reader(tmp_path / FILE)
    assert reader.events(Asked()) == {"events": [], "next": None}
    assert reader.seen(Span("door", NOW_S, NOW_S + 60, 60)) == []
    assert reader.event(1) is reader.snapshot(1) is None
    (tmp_path / FILE).touch()  # the writer was killed here
    assert reader.events(Asked()) == {"events": [], "next": None}


def test_reading_neither_waits_for_the_writer_nor_holds_it_up(tmp_path: Path) -> None:
    path = write(tmp_path, recorded(event_at(0)))
    reader = Reader(path)
    with closing(Database(path, ())) as database, reader._open() as db:
        assert db is not None
        database.write([recorded(event_at(1))], [], HistoryConfig(), NOW_S * 1000)
        assert reader.events(Asked())["events"][0]["id"] == 2
        assert len(module._told(db, [1, 2], [].append)) == 1  # the state when it began


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    reader = Reader(write(tmp_path, recorded(event_at(0))))
    with reader._open() as db:
        assert db is not None
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM events")


def test_an_answer_that_takes_too_long_ends(tmp_path: Path) -> None:
    minutes = tuple(minute_at(60 * each) for each in range(20_000))
    reader = Reader(write(tmp_path, minutes=minutes), seconds=0.0)
    with pytest.raises(TooSlowError, match="ask for a shorter time"):
        reader.seen(Span("yard/gate", 0, NOW_S * 2, 60))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE rules SET classes = 'not json' WHERE event = 'closed'",
        "UPDATE rules SET classes = '5' WHERE event = 'closed'",
        "UPDATE events SET started = 'x' WHERE id % 2 = 0",
        "UPDATE events SET rule = 99 WHERE id % 2 = 0",
        "UPDATE events SET budget_ms = 9e999 WHERE id % 2 = 0",
        "UPDATE events SET variant = x'ff' WHERE id % 2 = 0",
    ],
)
def test_events_with_damaged_values_are_left_out(tmp_path: Path, damage: str) -> None:
    names = ("open", "closed") * 5
    path = write(tmp_path, *(recorded(event_at(n, name=name)) for n, name in enumerate(names)))
    rows(path, damage)
    reader = Reader(path)
    found = reader.events(Asked(limit=4))
    assert ([event["id"] for event in found["events"]], found["next"]) == ([9, 7], 7)
    assert reader.damaged in ("event 10", "event 8")
    assert numbers(Reader(path), label="open") == [9, 7, 5, 3, 1]
    with pytest.raises(EdgedError, match="the event is damaged \\(got event 2\\)"):
        Reader(path).event(2)


@pytest.mark.parametrize("classes", ["{", "[]", '{"open": "x"}', '{"open": 601}'])
def test_minutes_with_damaged_values_are_left_out(tmp_path: Path, classes: str) -> None:
    path = write(tmp_path, minutes=(minute_at(0), minute_at(60)))
    changed = f"UPDATE minutes SET classes = '{classes}' WHERE started_view ="
    rows(path, f"{changed} (SELECT max(started_view) FROM minutes)")
    reader = Reader(path)
    (step,) = reader.seen(Span("yard/gate", NOW_S, NOW_S + 120, 60))
    assert (step["at"], step["results"]) == ("2027-01-15T08:00:00.000000Z", 600)
    assert reader.damaged == "the minute of 2027-01-15T08:01:00.000000Z"


# what was seen


def test_steps_add_minutes_up(tmp_path: Path) -> None:
    other = minute_at(
        60,
        results=200,
        late=0,
        stale=0,
        latency_ms=20.5,
        variant="large",
        accuracy=0.71,
        classes={"ajar": 200},
        nothing=0,
    )
    empty = minute_at(
        600, results=0, late=0, stale=9, latency_ms=None, variant=None, accuracy=None, classes={}
    )
    elsewhere = minute_at(0, "door")
    path = write(tmp_path, minutes=(minute_at(0), other, empty._replace(nothing=0), elsewhere))
    first, second = Reader(path).seen(Span("yard/gate", NOW_S, NOW_S + 1200, 600))
    assert first == {
        "at": "2027-01-15T08:00:00.000000Z",
        "results": 800,
        "late": 6,
        "stale": 2,
        "latency_ms": 14.5,
        "shares": {"open": 0.5, "ajar": 0.25, "closed": 0.1875},
        "other": 0.025,
        "nothing": 0.0375,
        "variant": "mobilenet_v1_0.5_160",
        "accuracy": 0.65,
        "best_accuracy": 0.71,
    }
    assert (second["results"], second["stale"], second["shares"]) == (0, 9, {})
    assert (second["variant"], second["accuracy"], second["latency_ms"]) == (None, None, None)
    one = Reader(path).seen(Span("yard/gate", NOW_S + 60, NOW_S + 120, 60))
    assert [each["results"] for each in one] == [200]
    assert Reader(path).seen(Span("roof", NOW_S, NOW_S + 600, 60)) == []


def test_a_step_names_few_classes(tmp_path: Path) -> None:
    minutes = [
        minute_at(60 * each, results=10, nothing=0, classes={f"class {each}": 10})
        for each in range(9)
    ]
    path = write(tmp_path, minutes=tuple(minutes))
    (step,) = Reader(path).seen(Span("yard/gate", NOW_S, NOW_S + 600, 600))
    assert len(step["shares"]) == 5 and step["other"] == pytest.approx(4 / 9, abs=1e-4)


def test_many_read_at_once(reader: Reader) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(numbers(reader)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [60] * 8

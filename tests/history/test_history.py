"""The history's thread: what it keeps, what it does when it cannot, and who else may read."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.events.options import EventConfig
from edged.history import history as module
from edged.history.database import FILE, PAGE_BYTES
from edged.history.history import History, OffError
from edged.history.options import HistoryConfig
from edged.history.reader import Asked, Span
from edged.result import Event
from tests.rig.full_disk import no_room
from tests.rig.history import JPEG, NOW_S, S, event_at, is_sound, rows, write
from tests.rig.results import SMALL, make_result
from tests.rig.small_disk import fill, mounted
from tests.rig.waiting import eventually

RULES = [EventConfig("open", ("open", "ajar"), ("yard/gate",), 0.6, 0.4, 1, 3, 0.5)]
NEVER = 1e6
BEGUN_NS = time.monotonic_ns()
Make = Callable[..., History]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[History] = []

    def make(
        folder: Path | None = tmp_path,
        config: HistoryConfig | None = HistoryConfig(),  # noqa: B008
        minute_seconds: float = NEVER,
    ) -> History:
        history = History(folder, unix_ns=unix_ns, minute_seconds=minute_seconds)
        made.append(history)
        history.minutes.follow({"yard/gate": {SMALL.name: 0.5}})
        history.follow(config, RULES)
        eventually(lambda: folder is None or history._fitted or history._failure)
        return history

    yield make
    for history in made:
        history.close(10)
        assert not history._thread.is_alive()


def recent(history: History) -> list[dict[str, object]]:
    return list(history.events(Asked())["events"])


def now(seconds: float, lasts: float | None = None, snapshot: bytes | None = None) -> Event:
    return event_at(seconds, lasts, snapshot=snapshot)


def unix_ns() -> int:
    """A clock at which these events are new."""
    return NOW_S * S + time.monotonic_ns() - BEGUN_NS


def see(history: History, count: int = 3) -> None:
    for _ in range(count):
        history.minutes.observe(make_result(view="yard/gate"), 10.0)


def test_events_are_kept_as_they_come(make: Make) -> None:
    history = make()
    history.publish_event(now(0, snapshot=JPEG))
    eventually(lambda: recent(history))
    (event,) = recent(history)
    assert (event["event"], event["classes"], event["ended_at"]) == ("open", ["open", "ajar"], None)
    assert history.snapshot(1) == JPEG
    history.publish_event(now(0, 5))
    eventually(lambda: recent(history)[0]["duration_seconds"] == 5)
    assert history.dropped == 0


def test_minutes_are_kept_once_a_minute_and_at_the_end(make: Make, tmp_path: Path) -> None:
    history = make(minute_seconds=0.3)
    see(history)
    eventually(lambda: history.seen(Span("yard/gate", NOW_S, NOW_S + 3600, 60)))
    see(history, 5)
    history.close(10)
    counts = [count for (count,) in rows(tmp_path / FILE, "SELECT results FROM minutes")]
    assert sum(counts) == 8


def test_an_event_does_not_write_the_minute_in_progress(make: Make, tmp_path: Path) -> None:
    history = make()
    see(history)
    history.publish_event(now(0))
    eventually(lambda: recent(history))
    assert rows(tmp_path / FILE, "SELECT count(*) FROM minutes") == [(0,)]


def test_a_reload_switches_it_off_and_on_and_loses_nothing(make: Make, tmp_path: Path) -> None:
    history = make()
    see(history)
    history.publish_event(now(0))
    history.follow(None, RULES)
    with pytest.raises(OffError, match="keeps no history; set history in its configuration"):
        history.events(Asked())
    eventually(lambda: history._lock_fd is None)
    assert rows(tmp_path / FILE, "SELECT results FROM minutes") == [(3,)]
    assert not (tmp_path / f"{FILE}-wal").exists()
    see(history, 7)
    history.publish_event(now(1))
    history.follow(HistoryConfig(days=5), RULES)
    eventually(lambda: history._lock_fd is not None)
    history.publish_event(now(2))
    eventually(lambda: len(recent(history)) == 2)
    history.close(10)
    assert rows(tmp_path / FILE, "SELECT results FROM minutes") == [(3,)]
    assert history.size_bytes == 0


def test_without_a_folder_there_is_none(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    history = make(None)
    history.follow(HistoryConfig(), RULES)
    history.publish_event(now(0))
    with pytest.raises(OffError):
        history.events(Asked())
    assert caplog.messages == ["no history: neither STATE_DIRECTORY nor HOME is set"] * 2
    assert (history.size_bytes, history.dropped) == (0, 0)


def test_changes(make: Make) -> None:
    history = make()
    for each in range(2):
        history.publish_event(now(each))
    eventually(lambda: len(recent(history)) == 2)
    assert history.correct(1, "closed") and history.delete(2)
    assert not history.correct(2, "closed") and not history.delete(2)
    (event,) = recent(history)
    assert (event["id"], event["corrected"]) == (1, "closed")


def test_a_second_daemon_reads_and_takes_over(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    first = make()
    first.publish_event(now(0))
    eventually(lambda: recent(first))
    second = make(minute_seconds=0.2)
    second.publish_event(now(1))
    eventually(lambda: caplog.messages)
    assert [event["id"] for event in recent(second)] == [1]
    with pytest.raises(EdgedError, match="another edged writes the history there"):
        second.delete(1)
    first.close(10)
    eventually(lambda: len(recent(second)) == 2)
    said = "cannot be written: another edged writes the history there; give each its own "
    assert [message for message in caplog.messages if said in message] == caplog.messages[:1]


# damage


@pytest.mark.parametrize("damaged", [b"not a database " * 400, None])
def test_a_damaged_file_is_moved_aside_once(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path, damaged: bytes | None
) -> None:
    """None: a database with a page that is none."""
    path = tmp_path / FILE
    if damaged is None:
        content = write(tmp_path).read_bytes()
        damaged = content[:4096] + b"\xff" * (len(content) - 4096)
    path.write_bytes(damaged)
    history = make()
    history.publish_event(now(0))
    eventually((tmp_path / f"{FILE}.damaged").exists)
    eventually(lambda: recent(history))
    assert history.delete(1)
    assert (tmp_path / f"{FILE}.damaged").read_bytes()[4096:] == damaged[4096:]
    (said,) = caplog.messages
    assert "history.sqlite3 is damaged (" in said
    assert said.endswith("); moved to history.sqlite3.damaged")


def test_damage_that_only_a_reader_meets_is_found(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / FILE
    history = make(minute_seconds=0.2)
    history.publish_event(now(0, snapshot=JPEG))
    eventually(lambda: recent(history))
    history.follow(None, RULES)
    eventually(lambda: history._lock_fd is None)
    ((page,),) = rows(path, "SELECT rootpage FROM sqlite_master WHERE name = 'snapshots'")
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    history.follow(HistoryConfig(), RULES)
    eventually(lambda: history._lock_fd is not None)
    with pytest.raises(EdgedError, match="cannot be read"):
        history.snapshot(1)
    eventually(lambda: (tmp_path / f"{FILE}.damaged").exists())
    eventually(lambda: recent(history) == [])
    eventually(lambda: caplog.messages)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("when", ["written", "read"])
def test_a_table_that_somebody_drops_is_damage(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path, when: str
) -> None:
    history = make(minute_seconds=0.3)
    history.publish_event(now(0, snapshot=JPEG))
    eventually(lambda: recent(history))
    rows(tmp_path / FILE, "DROP TABLE snapshots")
    if when == "read":
        with pytest.raises(EdgedError, match="no such table: snapshots"):
            history.snapshot(1)
    else:
        history.publish_event(now(1, snapshot=JPEG))
    eventually((tmp_path / f"{FILE}.damaged").exists)
    eventually(lambda: len(recent(history)) == (when == "written"))
    eventually(lambda: caplog.messages)
    (said,) = caplog.messages
    assert "history.sqlite3 is damaged (snapshots is missing); moved to" in said


def test_a_file_that_somebody_empties_is_told(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / FILE
    with closing(sqlite3.connect(write(tmp_path))) as db:  # keeps the log
        db.execute("INSERT INTO views (name) VALUES ('roof')")
        db.commit()
        log = path.with_name(f"{FILE}-wal").read_bytes()
    path.write_bytes(b"")
    path.with_name(f"{FILE}-wal").write_bytes(log)
    history = make()
    history.publish_event(now(0))
    eventually(lambda: recent(history))
    assert caplog.messages == [f"history: {path} is empty; beginning a new history"]


# a disk that takes nothing


def test_a_full_disk_is_one_line_and_what_came_is_written_later(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    history = make(minute_seconds=0.2)
    history.publish_event(now(0))
    eventually(lambda: recent(history))
    with no_room():
        history.publish_event(now(1, snapshot=JPEG))
        see(history)
        eventually(lambda: caplog.messages)
        history.publish_event(now(2))
        with pytest.raises(EdgedError, match="cannot be changed"):
            history.delete(1)
        assert len(recent(history)) == 1
    eventually(lambda: len(recent(history)) == 3)
    assert history.snapshot(2) == JPEG
    eventually(lambda: rows(tmp_path / FILE, "SELECT results FROM minutes") == [(3,)])
    eventually(lambda: len(caplog.messages) > 1)
    first, *others = caplog.messages
    assert "history.sqlite3 cannot be written: " in first and "every minute" in first
    assert others == [f"history: {tmp_path / FILE} is written again"]
    assert history.dropped == 0
    history.close(10)
    assert is_sound(tmp_path / FILE)


def test_a_disk_that_is_full_at_the_start_is_named(make: Make, tmp_path: Path) -> None:
    """SQLite cannot make the -shm then, and says `disk I/O error`."""
    with mounted(tmp_path / "disk", "size=1m") as disk:
        write(disk)
        fill(disk)
        history = make(disk)
        assert history.trouble == "the disk is full (disk I/O error)"
        with pytest.raises(EdgedError, match=r"cannot be read \(got the disk is full"):
            recent(history)
        history.close(10)


def test_what_waits_is_bounded_and_drops_are_counted(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_MINUTES_WAITING", 2)
    (tmp_path / "state").touch()  # not a folder
    history = make(tmp_path / "state")
    eventually(lambda: history._failure)
    for each in range(module.MOST_EVENTS_WAITING + 10):
        history.publish_event(now(each))
    assert (len(history._events), history.dropped) == (module.MOST_EVENTS_WAITING, 10)
    for _ in range(5):
        see(history)
        history._keep_minutes(history.minutes.take())
    assert (len(history._minutes), history.dropped) == (2, 13)
    history.close(10)
    assert history.dropped == 13 + module.MOST_EVENTS_WAITING + 2


def test_pictures_give_way_before_events(make: Make, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    history = make(tmp_path / "state", minute_seconds=0.2)
    eventually(lambda: history._failure)
    for each in range(module.MOST_PICTURES_WAITING + 3):
        history.publish_event(now(each, snapshot=JPEG))
    huge = bytes(module.LARGEST_PICTURE_BYTES + 1)
    history.publish_event(replace(now(100), snapshot=huge))
    assert history.dropped == 4
    (tmp_path / "state").unlink()
    eventually(lambda: len(recent(history)) == module.MOST_PICTURES_WAITING + 4)
    pictures = [event["snapshot"] for event in recent(history)]
    assert pictures.count(True) == module.MOST_PICTURES_WAITING


def test_a_file_that_somebody_deletes_is_made_anew(make: Make, tmp_path: Path) -> None:
    history = make()
    history.publish_event(now(0))
    eventually(lambda: recent(history))
    for each in tmp_path.glob(f"{FILE}*"):
        each.unlink()
    history.publish_event(now(1))
    eventually(lambda: [event["id"] for event in recent(history)] == [1])


def test_a_mistake_in_the_program_is_told_and_not_the_end(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    history = make()
    future_of_nothing: list[int] = []
    with pytest.raises(EdgedError, match="list index out of range"):
        history._change(lambda database: bool(future_of_nothing[0]))
    assert history.alive
    history.publish_event(now(0))
    assert caplog.records[0].exc_info is not None

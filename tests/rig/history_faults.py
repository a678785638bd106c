"""Kills a writer of the history at each of its writes, or fills the disk there.

    LD_PRELOAD=faults.so python -m tests.rig.history_faults kill FOLDER

prints how many writes there were. The log is so short that each round brings checkpoints too.
"""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

from edged.history import database as module
from edged.history.database import FILE, Database, Recorded
from edged.history.options import HistoryConfig
from tests.rig.disk_faults import FULL, KILL, arm, synced
from tests.rig.history import NOW_S, event_at, is_sound, minute_at, recorded, rows

EVENTS = 3
PICTURE = bytes(range(256)) * 40


def steps() -> list[list[Recorded]]:
    """Batches, each with an event that goes on, and the end of the one before."""
    starts = [event_at(10 * each, None, snapshot=PICTURE) for each in range(EVENTS)]
    ends = [event_at(10 * each, 5) for each in range(EVENTS)]
    return [[recorded(start)] if at == 0 else [recorded(ends[at - 1]), recorded(start)]
            for at, start in enumerate(starts)]  # fmt: skip


def write_all(path: Path, done: int = -1) -> None:
    """done: descriptor that gets a byte for each batch that was written."""
    with closing(Database(path, ())) as database:
        for number, batch in enumerate(steps()):
            minutes = [minute_at(60 * number), minute_at(60 * number, "door")]
            database.write(batch, minutes, HistoryConfig(), NOW_S * 1000)
            if done >= 0:
                os.write(done, b".")
            if number == 1:
                database.delete(1)


def check(path: Path, told: int) -> None:
    """told: batches that were written for sure; event 1 may have been deleted since."""
    with suppress(FileNotFoundError), closing(Database(path, ())) as database:
        database.check()
    assert is_sound(path)
    events = rows(path, "SELECT id, snapshot, ended FROM events ORDER BY id")
    pictures = dict(rows(path, "SELECT event, jpeg FROM snapshots"))
    assert all(pictures.pop(number) == PICTURE for number, _, _ in events) and not pictures
    assert {number for number, _, _ in events} >= set(range(2, told + 1)), (events, told)
    assert len(rows(path, "SELECT 1 FROM minutes")) in (2 * told, 2 * told + 2)


def kill_everywhere(folder: Path) -> int:
    for writes in itertools.count():
        path = folder / str(writes) / FILE
        path.parent.mkdir()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            arm(writes, KILL, FILE)
            write_all(path, writing)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = len(pipe.read())
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        check(path, told)
        write_all(path)  # goes on as if nothing had been
        assert is_sound(path)
        if status == 0:
            assert told == EVENTS
            return writes
    raise AssertionError


def fill_everywhere(folder: Path) -> int:
    for writes in itertools.count():
        path = folder / str(writes) / FILE
        path.parent.mkdir()
        arm(writes, FULL, FILE)
        failed = False
        try:
            write_all(path)
        except (sqlite3.OperationalError, OSError):
            failed = True
        arm(-1, FULL, FILE)
        write_all(path)
        check(path, EVENTS)
        assert rows(path, "SELECT count(*) FROM events") in ([(EVENTS - 1,)], [(EVENTS,)])
        if not failed:
            return writes
    raise AssertionError


def syncs(folder: Path) -> int:
    """Of the log, for an event among an hour of minutes."""
    config = HistoryConfig()
    with closing(Database(folder / FILE, ())) as database:
        database.write([], [minute_at(0)], config, NOW_S * 1000)  # syncs the log's head
        arm(-1, KILL, FILE)
        for minute in range(1, 60):
            database.write([], [minute_at(60 * minute)], config, NOW_S * 1000)
        assert synced() == 0
        database.write([recorded(event_at(0, None, snapshot=PICTURE))], [], config, NOW_S * 1000)
        assert synced() == 1
        database.write([recorded(event_at(0))], [], config, NOW_S * 1000)
        return synced()


if __name__ == "__main__":
    runs = {"kill": kill_everywhere, "full": fill_everywhere, "sync": syncs}
    if sys.argv[1] != "sync":
        module.CHECKPOINT_BYTES = 12 * module.PAGE_BYTES
    sys.stdout.write(f"{runs[sys.argv[1]](Path(sys.argv[2]))}\n")

"""The history of a running daemon: what it records, in a thread of its own, and what it answers.

Events are written as they come, minutes once a minute. Nothing waits for the disk but changes over
HTTP. What cannot be written waits for the next minute, up to a limit; the rest is dropped and
counted.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edged.errors import EdgedError
from edged.events.options import EventConfig
from edged.history.database import FILE, Database, Recorded, lock, move_aside, size_of
from edged.history.failures import is_damage, reason
from edged.history.minutes import Minute, Minutes
from edged.history.options import HistoryConfig
from edged.history.reader import Asked, Reader, Span
from edged.result import Event

LOCK = "history.lock"
MOST_EVENTS_WAITING = 256
MOST_PICTURES_WAITING = 16
LARGEST_PICTURE_BYTES = 1_000_000
MOST_MINUTES_WAITING = 1024
"""Of all views together."""
MOST_CHANGES_WAITING = 8
CHANGE_SECONDS = 20.0
MINUTE_SECONDS = 60.0

_LOCKED = "database is locked"
"""As SQLite says after five seconds."""

log = logging.getLogger("edged.history")

_Change = tuple[Callable[[Database], bool], "Future[bool]"]


class OffError(EdgedError):
    """There is no history."""


class BusyError(EdgedError):
    """Changes wait already, or another program has locked the database."""


class History:
    """Call `follow` first. directory: of the daemon's state, created when needed; None without
    one. A second daemon with the same directory reads the history, but writes none.

    minutes: the caller reports results there. minute_seconds: between two writes without events.
    """

    name = "history"

    def __init__(
        self,
        directory: Path | None,
        *,
        unix_ns: Callable[[], int] = time.time_ns,
        minute_seconds: float = MINUTE_SECONDS,
    ) -> None:
        self.minutes = Minutes(unix_ns)
        self._directory = directory
        self._unix_ns = unix_ns
        self._minute_seconds = minute_seconds
        self._config: HistoryConfig | None = None
        self._classes: Mapping[str, tuple[str, ...]] = {}
        """By the event's name."""
        self._running: dict[tuple[str, str], int] = {}
        """When the event that goes on began (Unix nanoseconds), by view and name."""
        self._events: deque[Recorded] = deque()
        self._minutes: deque[Minute] = deque()
        self._changes: deque[_Change] = deque()
        self._dropped = 0
        self._suspect = False
        """A reader has found damage."""
        self._has_damaged_row = False
        """Told once."""
        self._woken = threading.Condition()
        """Guards all of these."""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._database: Database | None = None
        self._fitted: HistoryConfig | None = None
        self._lock_fd: int | None = None
        self._failure = ""
        """Why the last attempt failed; told once."""

    # ------------------------------------------------------------------------------------- daemon

    @property
    def dropped(self) -> int:
        """Events, pictures and minutes that were not kept."""
        return self._dropped

    @property
    def trouble(self) -> str | None:
        """Why the last attempt to write failed; None if it did not."""
        return self._failure or None

    @property
    def size_bytes(self) -> int:
        """Of the database; 0 without a history."""
        return 0 if self._config is None or self._directory is None else size_of(self._path)

    @property
    def alive(self) -> bool:
        """False only if the thread has ended unexpectedly."""
        return self._thread.ident is None or self._thread.is_alive() or self._closing

    def follow(self, config: HistoryConfig | None, rules: Iterable[EventConfig]) -> None:
        """Record from now on as configured; None: nothing."""
        if config is not None and self._directory is None:
            if self._config is None:
                log.warning("no history: neither STATE_DIRECTORY nor HOME is set")
            config = None
        with self._woken:
            if self._config is None:
                self.minutes.take()  # of the time without a history
            self._config = config
            self._classes = {rule.name: rule.classes for rule in rules}
            self._woken.notify()
        if config is not None and self._thread.ident is None:
            self._thread.start()

    def publish_event(self, event: Event) -> None:
        """Never blocks."""
        with self._woken:
            if event.ended_unix_ns is None:
                self._running[event.view, event.name] = event.started_unix_ns
            else:
                self._running.pop((event.view, event.name), None)
            if self._config is None:
                return
            if len(self._events) >= MOST_EVENTS_WAITING:
                self._dropped += 1
                return
            pictures = sum(each.event.snapshot is not None for each in self._events)
            size = len(event.snapshot or b"")
            if size and (pictures >= MOST_PICTURES_WAITING or size > LARGEST_PICTURE_BYTES):
                self._dropped += 1
                event = replace(event, snapshot=None)
            self._events.append(Recorded(event, self._classes.get(event.name, ())))
            self._woken.notify()

    def close(self, timeout_seconds: float) -> None:
        """Write what waits, with the minute in progress."""
        with self._woken:
            self._config, self._closing = None, True
            self._woken.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    # ------------------------------------------------------------------- the API, from any thread

    def events(self, asked: Asked) -> dict[str, Any]:
        with self._reading() as reader:
            return reader.events(asked)

    def event(self, number: int) -> dict[str, Any] | None:
        with self._reading() as reader:
            return reader.event(number)

    def snapshot(self, number: int) -> bytes | None:
        with self._reading() as reader:
            return reader.snapshot(number)

    def seen(self, span: Span) -> list[dict[str, Any]]:
        with self._reading() as reader:
            return reader.seen(span)

    def views(self) -> list[str]:
        with self._reading() as reader:
            return reader.views()

    def delete(self, number: int) -> bool:
        """False if there is no such event."""
        return self._change(lambda database: database.delete(number))

    def correct(self, number: int, label: str) -> bool:
        """Note what an event should have been. False if there is no such event."""
        return self._change(lambda database: database.correct(number, label))

    @contextmanager
    def _reading(self) -> Iterator[Reader]:
        self._check_on()
        reader = Reader(self._path)
        try:
            yield reader
        except (sqlite3.Error, OSError) as error:
            if is_damage(error) or "no such " in str(error):  # table, column or index
                with self._woken:
                    self._suspect = True
            why = reason(error, self._path.parent)
            raise EdgedError("the history cannot be read", got=why) from error
        finally:
            if reader.damaged and not self._has_damaged_row:
                self._has_damaged_row = True
                log.error("history: %s: %s is damaged, left out", self._path, reader.damaged)

    def _change(self, change: Callable[[Database], bool]) -> bool:
        future: Future[bool] = Future()
        busy = BusyError("the history is busy", fix="try again in a moment")
        with self._woken:
            self._check_on()
            if len(self._changes) >= MOST_CHANGES_WAITING:
                raise busy
            self._changes.append((change, future))
            self._woken.notify()
        try:
            return future.result(CHANGE_SECONDS)
        except FutureTimeoutError:
            future.cancel()
            raise busy from None

    def _check_on(self) -> None:
        if self._config is None:
            raise OffError("this daemon keeps no history", fix="set history in its configuration")

    # ----------------------------------------------------------------------------------- the thread

    @property
    def _path(self) -> Path:
        assert self._directory is not None
        return self._directory / FILE

    def _run(self) -> None:
        due_ns = self._next_minute_ns()
        config: HistoryConfig | None = None
        while True:
            with self._woken:
                if config == self._config and not (self._changes or self._ready_events()):
                    self._woken.wait(max(due_ns - time.monotonic_ns(), 0) / 1e9)
                before, config = config, self._config
                changes = [*self._changes]
                self._changes.clear()
            for change, future in changes:
                self._carry_out(change, future)
            if before is not None and config is None:
                self._end(before)
            if self._closing:
                return
            minute_over = time.monotonic_ns() >= due_ns
            if minute_over:
                due_ns = self._next_minute_ns()
            if config is None:
                continue
            if minute_over:
                self._keep_minutes(self.minutes.take())
                self._check_damage()
            if minute_over or not self._failure:
                self._fit(config)
                self._write(config)

    def _end(self, config: HistoryConfig) -> None:
        """Write what waits, and let go of the files."""
        self._keep_minutes(self.minutes.take())
        self._write(config)
        with self._woken:
            self._dropped += len(self._events) + len(self._minutes)
            self._events.clear()
            self._minutes.clear()
        self._close_database()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
        self._lock_fd, self._failure = None, ""

    def _next_minute_ns(self) -> int:
        """On the monotonic clock; at a full minute of the wall clock."""
        minute_ns = round(self._minute_seconds * 1e9)
        return time.monotonic_ns() + minute_ns - self._unix_ns() % minute_ns

    def _ready_events(self) -> bool:
        """Whether events wait that a failing disk does not hold up until the next minute."""
        return bool(self._events) and not self._failure

    def _keep_minutes(self, minutes: Sequence[Minute]) -> None:
        self._minutes.extend(minutes)
        while len(self._minutes) > MOST_MINUTES_WAITING:
            self._minutes.popleft()
            self._dropped += 1

    def _write(self, config: HistoryConfig) -> None:
        """Write what waits; what fails stays."""
        with self._woken:
            events, minutes = [*self._events], [*self._minutes]
        if not events and not minutes:
            return
        now_ms = self._unix_ns() // 1_000_000
        if self._attempt(lambda database: database.write(events, minutes, config, now_ms)) is None:
            self._minutes.clear()
            with self._woken:  # others have come meanwhile
                for _ in events:
                    self._events.popleft()

    def _carry_out(self, change: Callable[[Database], bool], future: Future[bool]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        changed = False

        def note(database: Database) -> None:
            nonlocal changed
            changed = change(database)

        failure = self._attempt(note)
        if failure is None:
            future.set_result(changed)
        elif failure == _LOCKED:
            fix = "try again once no other program writes it"
            future.set_exception(BusyError("the history is busy", got=failure, fix=fix))
        else:
            future.set_exception(EdgedError("the history cannot be changed", got=failure))

    def _fit(self, config: HistoryConfig) -> None:
        if self._fitted != config and self._attempt(lambda database: database.fit(config)) is None:
            self._fitted = config

    def _check_damage(self) -> None:
        with self._woken:
            suspect, self._suspect = self._suspect, False
        if suspect:
            self._attempt(Database.check)

    def _attempt(self, work: Callable[[Database], object]) -> str | None:
        """None if done, otherwise why not."""
        try:
            try:
                work(self._opened())
            except sqlite3.DatabaseError as error:
                damage = self._damage(error)
                if not damage:
                    raise
                self._begin_anew(damage)
                work(self._opened())
        except (sqlite3.OperationalError, OSError, EdgedError) as error:
            return self._failed(error)  # readers need the database open
        except Exception as error:
            self._close_database()
            return self._failed(error)
        if self._failure:
            log.info("history: %s is written again", self._path)
        self._failure = ""
        return None

    def _opened(self) -> Database:
        if self._database is not None and not self._database.is_at(self._path):
            self._close_database()
        if self._database is None:
            assert self._directory is not None
            self._directory.mkdir(parents=True, exist_ok=True)
            if self._lock_fd is None:
                self._lock_fd = lock(self._path.with_name(LOCK))
            if not self._failure and self._path.exists() and not self._path.stat().st_size:
                log.warning("history: %s is empty; beginning a new history", self._path)
            with self._woken:
                running = [(*names, started) for names, started in self._running.items()]
            self._database = Database(self._path, running)
        return self._database

    def _damage(self, error: sqlite3.Error) -> str:
        """What is wrong with the database; "" if the error has another cause."""
        if is_damage(error):
            return str(error)
        with suppress(sqlite3.Error):
            if self._database is not None and (missing := self._database.missing()):
                return f"{missing} is missing"
        return ""

    def _begin_anew(self, damage: str) -> None:
        self._close_database()
        aside = move_aside(self._path)
        log.error("history: %s is damaged (%s); moved to %s", self._path, damage, aside.name)

    def _failed(self, error: Exception) -> str:
        why = reason(error, self._path.parent)
        if why != self._failure:
            expected = isinstance(error, (sqlite3.Error, OSError, EdgedError))
            what = "history: %s cannot be written: %s; trying again every minute"
            log.error(what, self._path, why, exc_info=not expected)
        self._failure = why
        return why

    def _close_database(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database, self._fitted = None, None

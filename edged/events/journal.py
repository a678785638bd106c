"""File of the active events, from which a start after a crash reports their ends.

The file is written when an event starts or ends, and touched while one is active: its modification
time is the daemon's last sign of life.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edged.atomic_file import read_file, write_whole
from edged.result import Event
from edged.view import fields, id_of

FILE = "running-events.json"
LARGEST_BYTES = 1_000_000
_NAME = re.compile(r"[\w-]{1,100}", re.ASCII)
_VIEW = re.compile(rf"{_NAME.pattern}(/{_NAME.pattern})?", re.ASCII)
_LATEST_UNIX_NS = 2**63 - 1
"""In 2262; later time stamps cannot be encoded."""

log = logging.getLogger("edged.event_journal")


class EventJournal:
    """For one thread. directory: created when needed; None for no file. A second daemon with the
    same directory writes no journal.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._lock_fd: int | None = None
        self._running: dict[tuple[str, str], Event] = {}
        self._failed = False

    @property
    def has_running(self) -> bool:
        return bool(self._running)

    def left(self) -> list[Event]:
        """Ends of the events that were active at a crash; each stays in the journal until `note`
        gets it."""
        if self._directory is None or not self._lock(self._directory):
            return []
        path = self._directory / FILE
        try:
            content = read_file(path, LARGEST_BYTES)
            alive_unix_ns = path.stat().st_mtime_ns
            found = list(_events(json.loads(content)))
        except FileNotFoundError:
            return []
        except Exception as error:
            log.warning("%s: invalid event journal, removed: %s", path, _wrong(error))
            with suppress(OSError):
                path.unlink()
            return []
        self._running = {(event.view, event.name): event for event in found}
        return [
            replace(event, ended_unix_ns=max(event.started_unix_ns, alive_unix_ns))
            for event in found
        ]

    def note(self, event: Event) -> None:
        """Record a start or an end."""
        key = event.view, event.name
        if event.ended_unix_ns is None:
            self._running[key] = replace(event, snapshot=None)
        elif self._running.pop(key, None) is None:
            return
        self._write()

    def still_alive(self) -> None:
        """Call periodically while an event is active."""
        if self._failed:  # the file may be out of date
            self._write()
        elif self._lock_fd is not None:
            with suppress(OSError):
                os.utime(FILE, dir_fd=self._lock_fd)

    def close(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _write(self) -> None:
        if self._directory is None:
            return
        path = self._directory / FILE
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if not self._lock(self._directory):
                return
            if self._running:
                write_whole(path, json.dumps([_noted(e) for e in self._running.values()]).encode())
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            if not self._failed:
                log.warning("%s: cannot be written: %s", path, error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _lock(self, directory: Path) -> bool:
        """Lock the directory for this process; False if another one has it."""
        if self._lock_fd is not None:
            return True
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._lock_fd = fd
        return True


def _wrong(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error}"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return "not a list of events as edged writes it"


def _noted(event: Event) -> dict[str, Any]:
    return {
        **fields(event.view),
        "event": event.name,
        "started_unix_ns": event.started_unix_ns,
        "peak": event.peak,
    }


def _events(noted: Any) -> Iterator[Event]:
    for each in noted:
        name, view = each["event"], id_of(each)
        started_unix_ns, peak = int(each["started_unix_ns"]), float(each["peak"])
        if not (0 < started_unix_ns <= _LATEST_UNIX_NS and 0 <= peak <= 1):
            raise ValueError(each)
        if _VIEW.fullmatch(view) and _NAME.fullmatch(name):
            yield Event(view, name, started_unix_ns, None, peak)

"""The file of what people switched."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edged.atomic_file import read_file, sync_folder, write_whole
from edged.clock import Clock, monotonic_ns
from edged.switches.switch import Kind, State, Switch, Switched, Target

FILE, LOCK = "switches.json", "switches.lock"
LARGEST_BYTES = 1_000_000
RETRY_SECONDS = 60.0
_LATEST_S = 253_402_300_799
"""The end of the year 9999."""

log = logging.getLogger("edged.switches")


class Memory:
    """directory: created when needed. A second daemon with the same directory keeps nothing."""

    def __init__(self, directory: Path, clock: Clock = monotonic_ns) -> None:
        self._path = directory / FILE
        self._clock = clock
        self._saving = threading.Lock()
        self._lock_fd: int | None = None
        self._saved: Switched = {}
        self._failed: Switched | None = None
        """What could not be saved, and when."""
        self._failed_ns = 0

    def load(self) -> Switched:
        try:
            content = read_file(self._path, LARGEST_BYTES, links=False)
            self._lock()
            self._saved = dict(_read(json.loads(content)))
        except FileNotFoundError:
            return {}
        except OSError as error:
            log.warning("%s: ignored, everything is on: %s", self._path, error.strerror)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            log.warning("%s: ignored, as it is damaged: everything is on", self._path)
        return self._saved

    def is_due(self, switched: Switched) -> bool:
        """Whether the file must be written, which is tried again RETRY_SECONDS after a failure."""
        if switched == self._saved:
            return False
        again_ns = self._failed_ns + int(RETRY_SECONDS * 1e9)
        return switched != self._failed or self._clock() >= again_ns

    def save(self, switched: Switched) -> bool:
        """False if the file cannot be written."""
        with self._saving:
            if not self.is_due(switched):
                return switched == self._saved
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._lock()
                write_whole(self._path, json.dumps(_written(switched), indent=1).encode() + b"\n")
                sync_folder(self._path.parent)
            except OSError as error:
                if self._failed is None:
                    what = "%s: cannot be written, so a restart will not know what was switched: %s"
                    log.warning(what, self._path, error.strerror)
                self._failed, self._failed_ns = switched, self._clock()
                return False
            self._saved, self._failed = switched, None
            return True

    def close(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _lock(self) -> None:
        """Raises OSError, also if another process has the file."""
        if self._lock_fd is not None:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._path.with_name(LOCK), flags, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            what = "another edged uses it; give each its own STATE_DIRECTORY"
            raise OSError(error.errno, what) from None
        self._lock_fd = fd


def _written(switched: Switched) -> dict[str, Any]:
    found: dict[str, Any] = {kind.value: {} for kind in Kind}
    for (kind, name), switch in switched.items():
        found[kind.value][name] = {**switch._asdict(), "state": switch.state.value}
    return found


def _read(found: Any) -> Iterator[tuple[Target, Switch]]:
    for kind in Kind:
        for name, own in found[kind.value].items():
            switch = Switch(**{**own, "state": State(own["state"])})
            times = [each for each in (switch.until_s, switch.changed_s) if each is not None]
            is_snoozed = switch.state is State.SNOOZED
            if (
                switch.state is State.HOURS
                or is_snoozed != (switch.until_s is not None)
                or not all(type(each) is int and 0 <= each <= _LATEST_S for each in times)
                or not isinstance(switch.origin, str)
            ):
                raise ValueError(own)
            yield Target(kind, name), switch

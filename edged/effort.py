"""Distinguishes slow processes from hung ones: time counts less while a process works.

A process makes progress while it computes, waits for a core or reads its code from disk.
`Silence` is pure, `effort_of` reads /proc.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

WORK_SHARE: Final = 0.1
"""Share of the working time that counts as silence, to detect endless loops."""
LONGEST_LOOK_SECONDS: Final = 1.0
"""Upper bound of the time counted between two looks; more means that the observer was delayed."""
_TRIES: Final = 20
_TRY_SECONDS: Final = 0.002
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Effort(NamedTuple):
    """Totals of a process or thread. worked: seconds of processor time. waited: seconds runnable
    but not running. loaded: pages read from disk."""

    worked: float
    waited: float
    loaded: int


def effort_of(folder: Path) -> Effort | None:
    """folder: /proc/PID or /proc/PID/task/TID. None if unavailable or ended.

    For a process: the processor time of all threads, but the waiting time of the first one only.
    """
    with Observed(folder) as observed:
        return observed.effort()


def effort_of_thread(thread: int) -> Effort | None:
    """thread: native id of a thread of this process."""
    return effort_of(Path(f"/proc/self/task/{thread}"))


class Observed:
    """A process or thread by its folder in /proc. Keeps the files open, because a process that
    refuses inspection becomes hidden under ProtectProc=. Must be closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fds = [_opened(folder / name) for name in ("stat", "schedstat")]

    @classmethod
    def of_new(cls, folder: Path) -> Observed:
        """For a process just started, which is briefly as hidden as its parent."""
        for left in reversed(range(_TRIES)):
            observed = cls(folder)
            if left == 0 or observed.effort() is not None:
                break
            observed.close()
            time.sleep(_TRY_SECONDS)
        return observed

    def __enter__(self) -> Observed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def effort(self) -> Effort | None:
        stat, schedstat = map(_content, self._fds)
        try:
            fields = stat.rpartition(b")")[2].split()
            loaded, user, system = int(fields[9]), int(fields[11]), int(fields[12])
        except (ValueError, IndexError):
            return None
        words = schedstat.split()  # none without CONFIG_SCHED_INFO
        waited_ns = int(words[1]) if len(words) > 1 else 0
        return Effort((user + system) / _TICKS, waited_ns / 1e9, loaded)

    def effort_of_all(self) -> Effort | None:
        """Includes running children, if the kernel lists them (CONFIG_PROC_CHILDREN)."""
        own = self.effort()
        if own is None:
            return None
        try:
            children = (self._folder / "task" / self._folder.name / "children").read_text().split()
        except OSError:
            return own
        theirs = (effort_of(Path(f"/proc/{child}")) for child in children)
        return Effort(*map(sum, zip(own, *filter(None, theirs), strict=True)))

    def close(self) -> None:
        for fd in self._fds:
            if fd is not None:
                os.close(fd)
        self._fds = [None, None]


def _opened(file: Path) -> int | None:
    try:
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _content(fd: int | None) -> bytes:
    try:
        return b"" if fd is None else os.pread(fd, 4096, 0)
    except OSError:  # the process has ended
        return b""


class Silence:
    """Time since the last sign of life, less the time worked and waited for a core."""

    def __init__(self, now_ns: int) -> None:
        self.end(now_ns)

    def end(self, now_ns: int) -> None:
        """Record a sign of life."""
        self.seconds = 0.0
        self._looked_ns = now_ns
        self._effort: Effort | None = None

    def look(self, now_ns: int, effort: Callable[[], Effort | None]) -> float:
        """Update and return `seconds`. effort: None if unknown; all time then counts, as it does
        at the first look after a sign."""
        passed = min((now_ns - self._looked_ns) / 1e9, LONGEST_LOOK_SECONDS)
        if passed <= 0:
            return self.seconds
        self._looked_ns = now_ns
        before, self._effort = self._effort, effort()
        if before is not None and self._effort is not None:
            if self._effort.loaded > before.loaded:
                passed = 0.0
            # Several threads can work longer than the time that passed.
            worked = min(self._effort.worked - before.worked, passed)
            passed -= (1 - WORK_SHARE) * worked
            passed -= self._effort.waited - before.waited
        self.seconds = max(0.0, self.seconds + passed)
        return self.seconds


class Turn(NamedTuple):
    """The start of a loop's latest iteration. thread: native id of its thread."""

    at_ns: int
    thread: int


class Turns:
    """Effective times of the last iterations of loops. Thread-safe; call `moments` a few times a
    second."""

    def __init__(self) -> None:
        self._silences: dict[str, tuple[Turn, Silence]] = {}
        self._asking = threading.Lock()

    def moments(self, turns: Mapping[str, Turn], now_ns: int) -> dict[str, int]:
        """By name: now, less the silence of the loop."""
        with self._asking:
            known, self._silences = self._silences, {}
            for name, turn in turns.items():
                fresh = turn, Silence(min(turn.at_ns, now_ns))
                before, silence = self._silences[name] = known.get(name, fresh)
                if before == turn:
                    silence.look(now_ns, partial(effort_of_thread, turn.thread))
                else:  # it works: the effort, which takes several files of /proc, is not needed
                    self._silences[name] = fresh
            return {
                name: now_ns - round(silence.seconds * 1e9)
                for name, (_, silence) in self._silences.items()
            }

"""Tells what is slow from what hangs: a silence counts less while its process works.

A process that computes, waits for a core or reads its code from the disk makes progress, however
long that takes; one that does none of it only waits. `Silence` is pure, `effort_of` reads /proc.
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
"""Of the time that was worked, so much counts as silence: what computes for ever is noticed too."""
LONGEST_LOOK_SECONDS: Final = 1.0
"""More than that between two looks says that whoever looks was held up."""
_TRIES: Final = 20
_TRY_SECONDS: Final = 0.002
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Effort(NamedTuple):
    """Of one process or thread since it began. worked: seconds of processor time. waited: seconds
    in which it could have run, and other threads did. loaded: pages read from the disk."""

    worked: float
    waited: float
    loaded: int


def effort_of(folder: Path) -> Effort | None:
    """folder: /proc/PID or /proc/PID/task/TID. None where nothing is told, or it has ended.

    Of a process: the processor time of all its threads, the waiting of the first one.
    """
    with Observed(folder) as observed:
        return observed.effort()


def effort_of_thread(thread: int) -> Effort | None:
    """Of a thread of this process, by its native id."""
    return effort_of(Path(f"/proc/self/task/{thread}"))


class Observed:
    """A process or thread by its folder in /proc, as `effort_of`, whose files stay open: where
    /proc shows a user's own processes only (ProtectProc=), one that refuses inspection is hidden
    from then on. Close it."""

    def __init__(self, folder: Path) -> None:
        self._children = folder / "task" / folder.name / "children"
        self._fds = [_opened(folder / name) for name in ("stat", "schedstat")]

    @classmethod
    def of_new(cls, folder: Path) -> Observed:
        """Of a process that has just been started: for a moment it is as hidden as who started
        it."""
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
        """With that of what it has started and still runs, where the kernel tells of it
        (CONFIG_PROC_CHILDREN)."""
        own = self.effort()
        if own is None:
            return None
        try:
            children = self._children.read_text().split()
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
    except OSError:  # it has ended
        return b""


class Silence:
    """How long something has given no sign, less what it worked and waited for meanwhile."""

    def __init__(self, now_ns: int) -> None:
        self.end(now_ns)

    def end(self, now_ns: int) -> None:
        """There was a sign."""
        self.seconds = 0.0
        self._looked_ns = now_ns
        self._effort: Effort | None = None

    def look(self, now_ns: int, effort: Callable[[], Effort | None]) -> float:
        """`seconds`, brought up to date. effort: None where it is not known, and all time counts.
        The first look after a sign has nothing to compare the effort with."""
        passed = min((now_ns - self._looked_ns) / 1e9, LONGEST_LOOK_SECONDS)
        if passed <= 0:
            return self.seconds
        self._looked_ns = now_ns
        before, self._effort = self._effort, effort()
        if before is not None and self._effort is not None:
            if self._effort.loaded > before.loaded:
                passed = 0.0
            # Several threads work more than the time that passes.
            worked = min(self._effort.worked - before.worked, passed)
            passed -= (1 - WORK_SHARE) * worked
            passed -= self._effort.waited - before.waited
        self.seconds = max(0.0, self.seconds + passed)
        return self.seconds


class Turn(NamedTuple):
    """A loop's latest. thread: native id of the one that is busy since then."""

    at_ns: int
    thread: int


class Turns:
    """Tells of loops when they last turned; while their threads work, time hardly passes for them.
    Any thread may ask, and somebody should a few times a second."""

    def __init__(self) -> None:
        self._silences: dict[str, tuple[Turn, Silence]] = {}
        self._asking = threading.Lock()

    def moments(self, turns: Mapping[str, Turn], now_ns: int) -> dict[str, int]:
        """By name: now, less how long the loop has been silent."""
        with self._asking:
            known, self._silences = self._silences, {}
            for name, turn in turns.items():
                before, silence = known.get(name, (None, None))
                if silence is None or before != turn:
                    silence = Silence(min(turn.at_ns, now_ns))
                silence.look(now_ns, partial(effort_of_thread, turn.thread))
                self._silences[name] = turn, silence
            return {
                name: now_ns - round(silence.seconds * 1e9)
                for name, (_, silence) in self._silences.items()
            }

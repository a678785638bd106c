"""Tells what is slow from what hangs: a silence counts less while its process works.

A process that computes, waits for a core or reads its code from the disk makes progress, however
long that takes; one that does none of it only waits. `Silence` is pure, `effort_of` reads /proc.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

WORK_SHARE: Final = 0.1
"""Of the time that was worked, so much counts as silence: what computes for ever is noticed too."""
LONGEST_LOOK_SECONDS: Final = 1.0
"""More than that between two looks says that whoever looks was held up."""
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
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        loaded, user, system = int(fields[9]), int(fields[11]), int(fields[12])
    except (OSError, ValueError, IndexError):
        return None
    try:
        waited_ns = int((folder / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):  # a kernel without CONFIG_SCHED_INFO
        waited_ns = 0
    return Effort((user + system) / _TICKS, waited_ns / 1e9, loaded)


def effort_of_process(pid: int) -> Effort | None:
    """With what it has started and still runs, where the kernel tells (CONFIG_PROC_CHILDREN)."""
    own = effort_of(Path(f"/proc/{pid}"))
    if own is None:
        return None
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return own
    theirs = (effort_of(Path(f"/proc/{child}")) for child in children)
    return Effort(*map(sum, zip(own, *filter(None, theirs), strict=True)))


def effort_of_thread(thread: int) -> Effort | None:
    """Of a thread of this process, by its native id."""
    return effort_of(Path(f"/proc/self/task/{thread}"))


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
            passed -= (1 - WORK_SHARE) * (self._effort.worked - before.worked)
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

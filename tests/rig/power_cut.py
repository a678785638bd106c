"""Kills a writer before each line of its code. For a process without threads: it forks."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

WRITERS = (
    "edged/atomic_file.py",
    "edged/control/profile_store.py",
    "edged/teach/store/folder.py",
    "edged/teach/store/quota.py",
    "edged/variants/folder.py",
)
"""Files in which all lines are that change a file."""


def cut_everywhere(write: Callable[[], None], check: Callable[[], None]) -> int:
    """`write` in a child that is killed a line later each time, `check` after each; how many
    lines there are."""
    for lines in itertools.count():
        killed = cut_before(lines, write)
        check()
        if not killed:
            return lines
    raise AssertionError


def cut_before(line: int, write: Callable[[], object]) -> bool:
    """`write` in a child that is killed before that line, from 0 on; False if it has fewer."""
    left = line

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    status = _in_child(write, count)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
    return status != 0


def changing_lines(write: Callable[[], object], folder: Path) -> list[int]:
    """The lines of `write` before which the folder is not as it was before the last line: a cut
    before any other line leaves the same."""
    receiver, sender = os.pipe()
    seen: list[object] = []

    def compare() -> None:
        found = sorted(
            (str(each), stat.st_size, stat.st_mtime_ns)
            for each in folder.rglob("*")
            for stat in (each.lstat(),)
        )
        if not seen or found != seen[-1]:
            os.write(sender, b"%d\n" % len(seen))
        seen.append(found)

    assert _in_child(write, compare) == 0
    os.close(sender)
    with os.fdopen(receiver) as lines:
        return [int(each) for each in lines]


def _in_child(write: Callable[[], object], at_line: Callable[[], None]) -> int:
    """The child's status."""
    child = os.fork()
    if child == 0:

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            if not frame.f_code.co_filename.endswith(WRITERS):
                return None
            if event == "line":
                at_line()
            return trace

        sys.settrace(trace)
        write()
        os._exit(0)
    return os.waitpid(child, 0)[1]

"""Stops one thread of a process while the others run, as a driver that does not return would."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WAIT_ALL = 0x40000000
"""__WALL of waitpid(2): for threads too."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def _ptrace(request: int, thread: int) -> None:
    _LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    _LIBC.ptrace.restype = ctypes.c_long
    if _LIBC.ptrace(request, thread, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"thread {thread}")


def busiest(process: int) -> int:
    """The thread, other than the main one, that has taken most processor time."""

    def ticks(thread: Path) -> int:
        user, system = (thread / "stat").read_text().rpartition(") ")[2].split()[11:13]
        return int(user) + int(system)

    threads = Path(f"/proc/{process}/task").iterdir()
    return int(max((each for each in threads if each.name != str(process)), key=ticks).name)


@contextmanager
def held(thread: int) -> Iterator[None]:
    _ptrace(_SEIZE, thread)
    try:
        _ptrace(_INTERRUPT, thread)
        os.waitpid(thread, _WAIT_ALL)
        yield
    finally:
        _ptrace(_DETACH, thread)

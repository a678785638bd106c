"""Keeps a process with many libraries and threads small.

Measured with a four-alpha family, daemon and one capture process: one arena instead of many saves
32 MB. Leaves the heap as it is where the C library is not glibc.
"""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path

_M_ARENA_MAX = -8  # malloc.h
_MADV_DONTNEED = 4  # asm-generic/mman-common.h
_UNTOUCHED = re.compile(
    # 7f00-7f10 r-xp 00000000 fe:00 260131  /usr/lib/x.so
    rb"^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \d+ +/.*\n"
    # pages that were written, in memory and elsewhere
    rb"(?:[A-Z].*\n)*?Anonymous: +0 kB\n(?:[A-Z].*\n)*?Swap: +0 kB\n",
    re.MULTILINE,
)
"""A mapping that cannot be written, and of which no page ever was: all that it shows is in the
file."""


def keep_memory_small() -> None:
    """One arena for all threads, as MALLOC_ARENA_MAX=1: call it before threads are started."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def return_free_heap() -> None:
    """Give back the free pages of the heap."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def return_free_memory() -> None:
    """Give back what loading needed for a moment: free pages of the heap, and parts of libraries.

    What of a library is used again is mapped again, without a read while it is in the page cache;
    what only put it in place (20 MB of OpenCV and ONNX Runtime) stays away. These are pages that
    the kernel may drop: now it takes them for less needed than those in use. Takes some
    milliseconds, and as much again from whoever uses them next: for after loading, not for later.
    """
    return_free_heap()
    madvise = ctypes.CDLL(None).madvise
    with suppress(OSError):  # without /proc, nothing
        for begin, end in _UNTOUCHED.findall(Path("/proc/self/smaps").read_bytes()):
            address, size = int(begin, 16), int(end, 16) - int(begin, 16)
            madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), _MADV_DONTNEED)

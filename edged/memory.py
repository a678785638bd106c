"""Keeps a process with many libraries and threads small.

Measured with a four-alpha family, daemon and one capture process: one arena instead of many saves
32 MB. Leaves the heap as it is where the C library is not glibc.
"""

from __future__ import annotations

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path

_M_ARENA_MAX = -8  # malloc.h
_MADV_DONTNEED = 4  # asm-generic/mman-common.h
_PATH = rb"[0-9a-f]+ \S+ \d+ +(/.*)\n"
# 7f00-7f10 r-xp 00000000 fe:00 260131  /usr/lib/x.so
_CODE = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ r-xp " + _PATH, re.MULTILINE)
_UNTOUCHED = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) r-[-x]p "
    + _PATH
    +
    # pages that were written, in memory and elsewhere
    rb"(?:[A-Z].*\n)*?Anonymous: +0 kB\n(?:[A-Z].*\n)*?Swap: +0 kB\n",
    re.MULTILINE,
)
"""A mapping that cannot be written, and of which no page ever was: all that it shows is in the
file."""
_DL_INFO = ctypes.create_string_buffer(4 * 8)  # of dladdr, which asks whose an address is
_KEEP = os.RTLD_LAZY | os.RTLD_NOLOAD | os.RTLD_NODELETE


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
    Safe beside other threads: only what from now on is never unloaded is given back.
    """
    return_free_heap()
    libc = ctypes.CDLL(None)
    with suppress(OSError):  # without /proc, nothing
        kept = _kept_files()
        found = [
            (ctypes.c_void_p(int(begin, 16)), ctypes.c_size_t(int(end, 16) - int(begin, 16)))
            for begin, end, path in _UNTOUCHED.findall(Path("/proc/self/smaps").read_bytes())
            if path in kept
        ]
        # Asked for all of them first: to find out, it reads the tables of the library.
        for address, size in [each for each in found if libc.dladdr(each[0], _DL_INFO)]:
            libc.madvise(address, size, _MADV_DONTNEED)


def _kept_files() -> set[bytes]:
    """The program and the libraries that are loaded now; they are never unloaded any more.

    Otherwise another thread could unload one, and the kernel give its addresses to something else,
    between the look at an address and the use of it.
    """
    kept = {os.fsencode(Path("/proc/self/exe").readlink())}
    for path in set(_CODE.findall(Path("/proc/self/maps").read_bytes())) - kept:
        with suppress(OSError):  # not a library, or unloaded meanwhile
            ctypes.CDLL(os.fsdecode(path), mode=_KEEP)
            kept.add(path)
    return kept

"""Reduces the memory of a process with many libraries and threads.

One malloc arena saves 32 MB (measured with a four-alpha family, daemon and one capture process).
The heap functions do nothing where the C library is not glibc.
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
    # written pages, in memory and in swap
    rb"(?:[A-Z].*\n)*?Anonymous: +0 kB\n(?:[A-Z].*\n)*?Swap: +0 kB\n",
    re.MULTILINE,
)
"""A read-only mapping without any modified page: its content equals the file."""
_DL_INFO = ctypes.create_string_buffer(4 * 8)  # of dladdr
_KEEP = os.RTLD_LAZY | os.RTLD_NOLOAD | os.RTLD_NODELETE


def keep_memory_small() -> None:
    """Use one malloc arena, as MALLOC_ARENA_MAX=1. Call it before starting threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def return_free_heap() -> None:
    """Return free heap pages to the kernel."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def return_free_memory() -> None:
    """Return memory used only while loading: free heap pages, and unmodified pages of libraries.

    Library pages that are used again are mapped again, without a read while they are in the page
    cache; those used only for loading (20 MB of OpenCV and ONNX Runtime) stay unmapped. Takes some
    milliseconds, and as much again at the next use: call it after loading. Thread-safe: affects
    only libraries that can no longer be unloaded.
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
        # All dladdr calls first: they read pages of the library.
        for address, size in [each for each in found if libc.dladdr(each[0], _DL_INFO)]:
            libc.madvise(address, size, _MADV_DONTNEED)


def _kept_files() -> set[bytes]:
    """The program and the loaded libraries, which are pinned so that no thread can unload one while
    its addresses are in use."""
    kept = {os.fsencode(Path("/proc/self/exe").readlink())}
    for path in set(_CODE.findall(Path("/proc/self/maps").read_bytes())) - kept:
        with suppress(OSError):  # not a library, or unloaded meanwhile
            ctypes.CDLL(os.fsdecode(path), mode=_KEEP)
            kept.add(path)
    return kept

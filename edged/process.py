"""Drops privileges of a process, and filters the environment of its children."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

# linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

_NAMES = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV")
)
_BEGINNINGS = (
    *("LC_", "LD_", "XDG_", "PYTHON", "GLIBC_", "MALLOC_", "OMP_", "OPENBLAS_", "OPENCV_"),
    *("SSL_CERT_", "OPENSSL_", "GST_", "LIBV4L", "LIBCAMERA_", "LIBVA_", "EGL_", "__EGL_"),
    *("GENICAM_", "CUDA_", "NVIDIA_", "TRT_"),
)


def own_python() -> list[str]:
    """The command of this Python; isolated from the current directory's code if this one is."""
    return [sys.executable, *(["-I"] if sys.flags.isolated else [])]


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that libraries and the loader use, without those that may contain a password
    or lead to one (CREDENTIALS_DIRECTORY)."""
    return {
        name: value
        for name, value in environ.items()
        if name in _NAMES or name.startswith(_BEGINNINGS)
    }


def refuse_inspection() -> None:
    """Hide memory and environment from other processes of the same user, and write no core file.
    The files of /proc/self then belong to root; others can read only the world-readable ones."""
    prctl(_PR_SET_DUMPABLE, 0)


@contextmanager
def inspectable() -> Iterator[None]:
    """Lift `refuse_inspection` for a moment: a library is to read a file of /proc/self. Only while
    there are no capture processes."""
    prctl(_PR_SET_DUMPABLE, 1)
    try:
        yield
    finally:
        refuse_inspection()


def refuse_new_privileges() -> None:
    """Programs started from now on gain no privileges by set-user-ID bits or file capabilities."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def step_back(niceness: int) -> None:
    """Yield the processor, and be killed first when memory runs out."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    for file, value in (("oom_score_adj", "1000"), ("autogroup", str(niceness))):
        with suppress(OSError):  # autogroup: niceness among the sessions of a desktop
            Path("/proc/self", file).write_text(value)


def exit_when_closed(fd: int, received: Callable[[bytes], object] = lambda line: None) -> None:
    """Exit as soon as the other end of the pipe is closed, however its holder ended. received:
    called with each line that arrives, in a thread."""

    def watch() -> None:
        rest = b""
        while chunk := os.read(fd, 65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                received(line)
        os._exit(0)  # not sys.exit: the main thread may hang in a driver call

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def prctl(option: int, argument: int, further: int = 0) -> None:
    """Raises OSError; does nothing if the C library has no prctl."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "prctl"):
        return
    words = [ctypes.c_ulong(word) for word in (argument, further, 0, 0)]
    if library.prctl(option, *words) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")

"""What a process of edged gives up for good, and what it lets its children inherit."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping

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


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What libraries and the loader look at; no variable that may hold a password of the
    configuration, nor what names the way to one (CREDENTIALS_DIRECTORY)."""
    return {
        name: value
        for name, value in environ.items()
        if name in _NAMES or name.startswith(_BEGINNINGS)
    }


def refuse_inspection() -> None:
    """Neither memory nor environment are shown to other processes of the same user, and no core
    file is written. The kernel then gives the files of /proc/self to root: others may read those
    that everybody may."""
    prctl(_PR_SET_DUMPABLE, 0)


def refuse_new_privileges() -> None:
    """No program that this process or its children start gains rights by its set-user-ID bit or
    its capabilities."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def exit_when_closed(fd: int) -> None:
    """As soon as the other end of the pipe is closed, by whatever end of who held it."""

    def watch() -> None:
        while os.read(fd, 4096):
            pass
        os._exit(0)  # not sys.exit: the main thread may sit in a driver call for ever

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def prctl(option: int, argument: int, further: int = 0) -> None:
    """Raises OSError; does nothing where the C library is none of Linux."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "prctl"):
        return
    words = [ctypes.c_ulong(word) for word in (argument, further, 0, 0)]
    if library.prctl(option, *words) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")

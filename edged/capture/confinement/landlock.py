"""Landlock (landlock(7)): limits this process and its children, root too, to some files.

A confined process can inspect and signal only processes that it started.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress

KNOWN_ABI = 7
"""Additions of later ABIs are not used."""
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ABI_WANTED = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_SCOPES = 0b11  # abstract Unix sockets, signals: ABI 6


def kernel_abi() -> int:
    """0 if Landlock is missing, disabled or not permitted."""
    return max(0, _call(_CREATE_RULESET, None, 0, _ABI_WANTED))


def why_missing() -> str:
    """Why the kernel offers no Landlock; empty if it does."""
    if _call(_CREATE_RULESET, None, 0, _ABI_WANTED) >= 0:
        return ""
    return {
        errno.ENOSYS: "the kernel was built without it",
        errno.EOPNOTSUPP: "disabled at boot",
    }.get(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def restrict(allowed: Mapping[str, int], abi: int) -> None:
    """Restrict the calling thread and its children; call it before starting threads.

    allowed: rights by path; those of a folder apply to everything below. Missing paths are skipped.
    Raises OSError if the kernel refuses.
    """
    handled = max(rights for since, rights in _ALL_BY_ABI.items() if since <= abi)
    attributes = struct.pack("=QQQ", handled, 0, _SCOPES)
    size = 24 if abi >= 6 else 8
    ruleset = _done(_call(_CREATE_RULESET, attributes, size, 0))
    try:
        for path, rights in allowed.items():
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(ruleset, path, rights & handled)
        _done(_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        if rights:
            attributes = struct.pack("=Qi", rights, fd)
            _done(_call(_ADD_RULE, ruleset, _PATH_BENEATH, attributes, 0))
    finally:
        os.close(fd)


def _call(number: int, *arguments: int | bytes | None) -> int:
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *words))


def _done(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

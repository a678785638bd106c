"""What an error of the history's database means."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

_SHARED_BYTES = 32 * 1024
"""By which SQLite makes the file `-shm` longer; without that room it says `disk I/O error`, as for
a broken card."""


def is_damage(error: Exception) -> bool:
    """Its subclasses are about the disk, locks and mistakes."""
    return type(error) is sqlite3.DatabaseError


def reason(error: Exception, folder: Path) -> str:
    """folder: where the database is."""
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    why = str(error) or type(error).__name__
    if why == "disk I/O error":
        with suppress(OSError):
            disk = os.statvfs(folder)
            if disk.f_bavail * disk.f_frsize < _SHARED_BYTES:
                return f"the disk is full ({why})"
    return why

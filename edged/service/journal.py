"""The log in systemd's journal: a level and fields with each line, in the standard library alone.

The protocol is systemd.io's "Native Journal Protocol"; where journald does not answer, a line goes
to standard error with its level in front, sd-daemon(3), which the journal understands as well.
Which fields a line has follows from its text: one that is logged as `camera %s…` carries the field
CAMERA. Does not know what is logged, nor how often: journald limits that by the unit's settings.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

JOURNAL = Path("/run/systemd/journal/socket")
SEND_SECONDS = 1.0
"""A journal that does not read is waited for no longer than this."""


def writes_to_journal(environ: Mapping[str, str], stderr_fd: int = 2) -> bool:
    """Whether systemd has connected standard error to the journal, and nobody to something else."""
    try:
        stat = os.fstat(stderr_fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


class JournalHandler(logging.Handler):
    def __init__(self, journal: Path = JOURNAL) -> None:
        super().__init__()
        self._journal = str(journal)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(SEND_SECONDS)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            try:
                self._socket.sendto(datagram(fields(record, text)), self._journal)
            except OSError:
                sys.stderr.write(with_level(record, text))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


def fields(record: logging.LogRecord, text: str) -> dict[str, str]:
    found = {
        "MESSAGE": text,
        "PRIORITY": str(priority(record.levelno)),
        "SYSLOG_IDENTIFIER": "edged",
        "LOGGER": record.name,
    }
    if isinstance(record.args, tuple) and str(record.msg).startswith("camera %s"):
        found["CAMERA"] = str(record.args[0])
    return found


def datagram(entry: Mapping[str, str]) -> bytes:
    """A value of several lines is written with its length before it."""
    parts = []
    for name, value in entry.items():
        data = value.encode(errors="replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def with_level(record: logging.LogRecord, text: str) -> str:
    """Each line with its own level: standard error reaches the journal line by line."""
    return "".join(f"<{priority(record.levelno)}>{line}\n" for line in text.splitlines())


def priority(level: int) -> int:
    """syslog(3)'s: 2 critical, 3 error, 4 warning, 6 information, 7 debugging."""
    thresholds = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4))
    for threshold, number in (*thresholds, (logging.INFO, 6)):
        if level >= threshold:
            return number
    return 7

"""Log handler for systemd's journal ("Native Journal Protocol"), by hand to spare a dependency.

If journald does not respond, lines go to standard error with a level prefix, as in sd-daemon(3). A
message that starts with `camera %s` gets the field CAMERA.
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
"""Time-out if the journal does not read."""


def writes_to_journal(environ: Mapping[str, str], stderr_fd: int = 2) -> bool:
    """Whether standard error is still the stream that systemd connected to the journal."""
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
    """Multi-line values are preceded by their length."""
    parts = []
    for name, value in entry.items():
        data = value.encode(errors="replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def with_level(record: logging.LogRecord, text: str) -> str:
    """Every line gets the level, because the journal splits standard error into lines."""
    return "".join(f"<{priority(record.levelno)}>{line}\n" for line in text.splitlines())


def priority(level: int) -> int:
    """Level of syslog(3): 2 critical, 3 error, 4 warning, 6 info, 7 debug."""
    thresholds = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4))
    for threshold, number in (*thresholds, (logging.INFO, 6)):
        if level >= threshold:
            return number
    return 7

"""`downloads.txt` in a family's folder: the sha256 of each download and of its network.

A file whose sha256 differs from the recorded one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edged.atomic_file import write_whole
from edged.errors import EdgedError, InputError

RECORD = "downloads.txt"

_HEADER = (
    "# Written by `edged models pull`: what was downloaded, its sha256, and that of the network\n"
    "# made of it. A file that comes with another sha256 is refused as long as its line is here.\n"
)
_LINE = re.compile(r"(\S+) ([0-9a-f]{64})(?: ([0-9a-f]{64}))?")


@dataclass(frozen=True, slots=True)
class Download:
    """sha256: of the file. network: the sha256 of the network built from it."""

    sha256: str
    network: str | None = None


def read_record(path: Path) -> dict[str, Download]:
    """The downloads by file name, the same for official addresses and mirrors."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read", where=path, got=error) from None
    record = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(
                "expected a file name and its sha256",
                where=f"{path}:{number}",
                got=repr(line[:80]),
                fix="delete the line; the next pull then accepts the file as it is",
            )
        record[match[1]] = Download(match[2], match[3])
    return record


def write_record(path: Path, record: Mapping[str, Download]) -> None:
    text = _HEADER
    for name, each in sorted(record.items()):
        text += " ".join(filter(None, (name, each.sha256, each.network))) + "\n"
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise unwritable(error, path) from None


def unwritable(error: OSError, path: Path) -> EdgedError:
    return EdgedError("cannot be written", where=error.filename or path, got=error.strerror)

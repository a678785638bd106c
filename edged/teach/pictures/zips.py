"""The pictures in a zip file, within bounds. Names of entries are shown, never used as paths."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from edged.capture.sent.bounds import MOST_PICTURE_BYTES
from edged.teach.pictures.bounds import MOST_ENTRIES, MOST_ZIP_BYTES

BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")
"""Of a file with entries, and of an empty one."""
_ENCRYPTED = 1
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK = 1 << 18
_SILENT = ("__MACOSX/",)


class BadEntryError(ValueError):
    """Why an entry, or the whole file, is left out."""


def entries(
    file: IO[bytes], begin: int, at: Callable[[int, str], None]
) -> Iterator[tuple[str, bytes | BadEntryError]]:
    """(name, content, or why it has none) from entry number `begin` on.

    at: called with the number and the name before an entry is read. Raises BadEntryError for the
    whole file.
    """
    try:
        archive = zipfile.ZipFile(file)
        found = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, LookupError, NotImplementedError) as error:
        raise BadEntryError(f"not a readable zip file ({error})") from None
    except MemoryError:
        raise BadEntryError("its list of entries is too long") from None
    if len(found) > MOST_ENTRIES:
        raise BadEntryError(f"more than {MOST_ENTRIES:,} entries")
    left = MOST_ZIP_BYTES
    for number, entry in enumerate(found):
        if number < begin or entry.is_dir() or entry.filename.startswith(_SILENT):
            continue
        at(number, entry.filename)
        if left <= 0:
            why = f"more than {MOST_ZIP_BYTES // 10**6} MB unpacked"
            yield entry.filename, BadEntryError(why)
            continue
        content, why = _content(archive, entry)
        left -= len(content)
        yield entry.filename, BadEntryError(why) if why else content


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[bytes, str]:
    """(what was unpacked of it, why it is left out or an empty text)."""
    if entry.flag_bits & _ENCRYPTED:
        return b"", "encrypted"
    if entry.compress_type not in _READ:
        return b"", "compressed in a way that edged does not read; use deflate"
    content = bytearray()
    try:
        with archive.open(entry) as opened:
            while chunk := opened.read(_CHUNK):  # whatever size the entry claims
                content += chunk
                if len(content) > MOST_PICTURE_BYTES:
                    return bytes(content), f"larger than {MOST_PICTURE_BYTES // 10**6} MB"
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
        return bytes(content), "damaged"
    return bytes(content), ""

"""Reads the network in a downloaded archive.

Reads the archive as a bounded stream and extracts nothing to disk.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from edged.errors import InputError

_MOST_BYTES = 256 << 20
"""Unpacked. The largest official archive has 94 MB packed, mostly weights, which hardly pack."""
_LARGEST_NETWORK = 64 << 20
"""Nearly four times the largest official one."""
_SUFFIX = ".tflite"


class _Bounded:
    """The unpacked bytes of a gzip file; raises ValueError beyond the bound."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed
        self._left = _MOST_BYTES

    def read(self, size: int) -> bytes:
        data = self._packed.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("unpacked too large")
        return data


def read_network(archive: Path) -> bytes:
    """The content of the only .tflite file in a .tgz archive.

    Raises InputError for an archive that is empty, foreign, damaged, too large when unpacked, or
    has a member with a path outside the archive, or not exactly one network.
    """
    with archive.open("rb") as file:
        start = file.read(8)
    if not start.startswith(b"\x1f\x8b"):
        raise InputError(
            "not a .tgz archive",
            where=archive,
            got=f"first bytes {start!r}" if start else "an empty file",
        )
    try:
        with gzip.open(archive) as packed:
            stream = _Bounded(packed)
            networks = _networks(archive, stream)
            while stream.read(1 << 20):  # to the end, which checks the checksum
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, OverflowError) as error:
        raise InputError("a damaged or truncated archive", where=archive, got=error) from None
    if len(networks) != 1:
        raise InputError(
            f"the archive must contain exactly one {_SUFFIX} file",
            where=archive,
            got=", ".join(name for name, _ in networks) or "none",
        )
    return networks[0][1]


def _networks(archive: Path, stream: _Bounded) -> list[tuple[str, bytes]]:
    networks: list[tuple[str, bytes]] = []
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as members:
        for member in members:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                raise InputError(
                    "the archive contains an unsafe path or a special file",
                    where=archive,
                    got=repr(member.name),
                )
            if not member.isfile() or path.suffix != _SUFFIX:
                continue
            if member.size > _LARGEST_NETWORK or len(networks) > 1:
                raise InputError(
                    "the archive contains too many networks, or one that is too large",
                    where=archive,
                    got=f"{member.name!r}, {member.size} bytes",
                )
            content = members.extractfile(member)
            networks.append((repr(member.name), content.read() if content is not None else b""))
    return networks

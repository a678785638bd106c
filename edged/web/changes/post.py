"""What a request with a body would do, known before the body is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, NamedTuple

from edged.web.answer import Answer


class Kept(Enum):
    """Where a body is while it is used."""

    BYTES = "bytes"
    """In memory, as an object; for small ones."""
    FILE = "file"
    """In a file without a name, on the disk; a few at once."""
    MEMFD = "memfd"
    """In a file without a name, in memory; a few at once."""


class Body(NamedTuple):
    """content_type: without parameters, in lower case. content: at its start; see `Kept`.
    received_ns: when all of it had arrived, monotonic."""

    content_type: str
    content: BinaryIO
    received_ns: int


@dataclass(frozen=True, slots=True)
class Post:
    """right: who sends it must have, one of RIGHTS; None for what everybody may do who may read.
    most_bytes: content types that are accepted, with the size of such a body. seconds: limit of
    `make`.
    """

    right: str | None
    most_bytes: Mapping[str, int]
    seconds: float
    make: Callable[[Body], Answer]
    kept: Kept = Kept.BYTES

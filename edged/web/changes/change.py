"""What a request would change, known before its body is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from edged.web.answer import Answer


class Body(NamedTuple):
    """content_type: without parameters, in lower case. content: at its start; a file without a
    name, or in memory."""

    content_type: str
    content: BinaryIO


@dataclass(frozen=True, slots=True)
class Change:
    """right: who makes it must have, one of RIGHTS. most_bytes: content types that are accepted,
    with the size of such a body. seconds: limit of `make`. is_upload: its body is kept in a file.
    """

    right: str
    most_bytes: Mapping[str, int]
    seconds: float
    make: Callable[[Body], Answer]
    is_upload: bool = False

"""HTTP requests and answers as values, without sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, BinaryIO, NamedTuple, Protocol

from edged.errors import InputError
from edged.printable import printable

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
JPEG = "image/jpeg"
PNG = "image/png"
ZIP = "application/zip"
CACHED = ("Cache-Control", "private, max-age=3600, immutable")
"""Of a picture that stays what it is."""


Query = Mapping[str, list[str]]
"""Key → all its values."""
Parse = Callable[[str, str], Any]
"""(key, its value); raises InputError."""


def parsed(query: Query, **parsers: Parse) -> dict[str, Any]:
    """The values of the keys that are given, each at most once. Raises InputError."""
    if unknown := sorted(query.keys() - parsers):
        got = repr(printable(unknown[0], 60))
        raise InputError("unknown key", got=got, fix=f"known: {', '.join(parsers)}")
    for key, values in query.items():
        if len(values) > 1:
            raise InputError(f"{key} is given {len(values)} times", fix="give it once")
    return {key: parsers[key](key, values[0]) for key, values in query.items()}


def text(key: str, value: str) -> str:
    return value


class End(NamedTuple):
    """One end of a TCP connection."""

    address: str
    port: int


NO_END = End("", 0)


@dataclass(frozen=True, slots=True)
class Request:
    """path: without the query, not decoded. client: the peer's address; peer and server: the
    connection's ends. Absent headers are "".

    ingress_path, ingress_user: what Home Assistant's supervisor states; a client may state it too.

    who: a user's name, or the hash of a token; "" without a login. barred: what keeps this client
    from changing something, by right. framed: whether Home Assistant shows the answer in a frame.
    These are known once access.py has admitted it.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict)
    accept: str = ""
    accept_encoding: str = ""
    authorization: str = ""
    host: str = ""
    client: str = ""
    peer: End = NO_END
    server: End = NO_END
    origin: str = ""
    fetch_site: str = ""
    forwarded: str = ""
    content_type: str = ""
    content_length: str = ""
    transfer_encoding: str = ""
    ingress_path: str = ""
    ingress_user: str = ""
    who: str = ""
    barred: Mapping[str, str] = field(default_factory=dict)
    framed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: HTTPStatus, *headers: tuple[str, str], why: str = "") -> Answer:
        line = f"{status.value} {status.phrase}{': ' if why else ''}{why}\n"
        return cls(status, TEXT, line.encode(), headers)

    @classmethod
    def error(
        cls,
        status: HTTPStatus,
        what: str,
        *headers: tuple[str, str],
        got: str | None = None,
        fix: str | None = None,
    ) -> Answer:
        """As JSON, for programs and the page."""
        error = {"what": what, "got": got, "fix": fix}
        return replace(cls.json(status, {"error": error}), headers=headers)

    @classmethod
    def json(cls, status: HTTPStatus, body: Mapping[str, Any]) -> Answer:
        return cls(status, JSON, json.dumps(body).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Download:
    """A file of unknown length. write: writes it to a file that cannot seek."""

    content_type: str
    name: str
    write: Callable[[BinaryIO], None]


class Stream(Protocol):
    """Server-sent events. The receiver must close it."""

    def parts(self) -> Iterator[bytes]:
        """Yields a part at least every few seconds, until the stream ends."""

    def close(self) -> None: ...

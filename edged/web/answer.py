"""HTTP requests and answers as values, without sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
JPEG = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Request:
    """path: without the query, not decoded. query: key → all its values. client: the peer's
    address. Absent headers are ""."""

    method: str
    path: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    accept: str = ""
    accept_encoding: str = ""
    authorization: str = ""
    host: str = ""
    client: str = ""


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
    def json(cls, status: HTTPStatus, body: Mapping[str, Any]) -> Answer:
        return cls(status, JSON, json.dumps(body).encode() + b"\n")


class Stream(Protocol):
    """Server-sent events. The receiver must close it."""

    def parts(self) -> Iterator[bytes]:
        """Yields a part at least every few seconds, until the stream ends."""

    def close(self) -> None: ...

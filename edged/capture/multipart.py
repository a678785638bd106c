"""Splits a multipart/x-mixed-replace stream of JPEG pictures into its parts. Pure.

Cameras are careless: the boundary comes with or without its dashes, lengths are missing or wrong.
Whatever comes, memory stays bounded and the next boundary starts afresh.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_PART: Final = 16 * 1024 * 1024
LONGEST_HEADER: Final = 16 * 1024
_JPEG_END = b"\xff\xd9"
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,12})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]+)\"|([^\s;]+))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """begun_ns: when its header was there, which is close to when the camera had the picture."""

    body: bytes
    begun_ns: int


class MultipartSplitter:
    def __init__(self, boundary: str, *, longest_part: int = LONGEST_PART) -> None:
        self.oversized = 0
        """Parts given up because they were too long."""
        self._delimiter = b"--" + boundary.lstrip("-").encode()
        self._longest = longest_part
        self._buffer = bytearray()
        self._in_body = False
        self._length: int | None = None
        self._begun_ns = 0

    def feed(self, chunk: bytes, now_ns: int) -> list[Part]:
        """The parts that are complete with this chunk."""
        self._buffer += chunk
        parts: list[Part] = []
        while True:
            if not self._in_body:
                if not self._enter_body(now_ns):
                    return parts
                continue
            body = self._body()
            if body is None:
                return parts
            if body:
                parts.append(Part(body, self._begun_ns))

    def _enter_body(self, now_ns: int) -> bool:
        """Drop everything up to a part's first byte; False when more is needed to find it."""
        begin = self._buffer.find(self._delimiter)
        if begin < 0:
            del self._buffer[: max(0, len(self._buffer) - len(self._delimiter) + 1)]
            return False
        del self._buffer[:begin]
        end = _HEADER_END.search(self._buffer, len(self._delimiter), LONGEST_HEADER)
        if end is None:
            if len(self._buffer) > LONGEST_HEADER:
                del self._buffer[: len(self._delimiter)]
                return self._enter_body(now_ns)
            return False
        length = _LENGTH.search(self._buffer, 0, end.end())
        self._length = int(length[1]) if length else None
        del self._buffer[: end.end()]
        self._in_body, self._begun_ns = True, now_ns
        return True

    def _body(self) -> bytes | None:
        """None when the part goes on; empty when it was given up."""
        if self._length is None:
            end = self._buffer.find(self._delimiter)
            if end < 0 and self._buffer[-4:].rstrip(b"\r\n").endswith(_JPEG_END):
                end = len(self._buffer)  # do not wait for the boundary: it may come a frame later
            known = end if end >= 0 else len(self._buffer)
        else:
            end = self._length if len(self._buffer) >= self._length else -1
            known = self._length
        if known > self._longest:
            self.oversized += 1
            self._in_body = False
            return b""
        if end < 0:
            return None
        body = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._in_body = False
        return body if self._length is not None else body.rstrip(b"\r\n-")


def boundary_of(content_type: str) -> str | None:
    """None when it is not a multipart stream or names no boundary."""
    if not content_type.lower().lstrip().startswith("multipart/"):
        return None
    match = _BOUNDARY.search(content_type)
    if match is None:
        return None
    return (match[1] or match[2]).lstrip("-") or None

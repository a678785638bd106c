"""Finds the JPEG pictures in an MJPEG stream. Pure.

Cameras deviate from the standard: boundaries differ from the announced one or are missing, lengths
are wrong, text stands between pictures. So a picture is delimited by its own markers. The multipart
headers are hints: a boundary line ends a truncated picture, and a Content-Length that was right
before saves the search for the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_PART: Final = 16 * 1024 * 1024
LONGEST_GAP: Final = 64 * 1024
"""Bytes to keep between two pictures."""
_MUCH = 1024 * 1024
"""Bytes without a picture that count as a part without one."""
_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""A marker that may follow a scan. Within a scan, 0xFF precedes only 0x00 and restart markers."""
_TRUSTED_FACTOR = 8
"""A Content-Length is trusted up to this multiple of the last right one, unless the last bytes look
like the end of a picture."""
_TAIL = 256
"""Bytes to search for the end of a picture that a pause follows."""
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,12})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^content-type:[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_DELIMITER_LINE = re.compile(rb"(?:^|\n)(--+[^\s-][^\r\n]{0,199})\r?\n")
_LONGEST_LINE = 256
_BLANK = b"-\r\n \t\0"
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]+)\"|([^\s;]+))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """begun_ns: arrival of the first byte, close to the capture."""

    body: bytes
    begun_ns: int


@dataclass(frozen=True, slots=True)
class NoPicture:
    """A part without a picture. got: what it was, for a message. begun: it was a truncated or too
    long picture.
    """

    got: str
    begun: bool = False


class MultipartSplitter:
    """boundary: the announced one, or None. The actual one is learnt from the stream."""

    def __init__(self, boundary: str | None, *, longest_part: int = LONGEST_PART) -> None:
        self._delimiter = _delimiter(boundary)
        self._longest = longest_part
        self._buffer = bytearray()
        """Starts with the picture, if `in_picture`."""
        self.in_picture = False
        self._begun_ns = 0
        self._length = 0
        """Of the picture, from its header; 0 if unknown or wrong."""
        self._right_length = 0
        """The last right length."""
        self._looked = 0
        """Offset up to which the buffer was searched."""
        self._looked_for_delimiter = 0
        self._dropped = 0
        """Bytes dropped from the current gap."""

    def feed(self, chunk: bytes, now_ns: int) -> list[Part | NoPicture]:
        """The parts that this chunk completes."""
        self._buffer += chunk
        found: list[Part | NoPicture] = []
        while self.in_picture or self._find_picture(found, now_ns):
            end = self._end()
            if end is None and len(self._buffer) <= self._longest:
                break
            if end is None or end > self._longest:
                found.append(NoPicture(f"a picture of more than {self._longest} bytes", begun=True))
                end = end or self._longest  # complete ones may follow in this chunk
            elif not self._buffer.endswith(_END, 0, end):
                found.append(NoPicture("a truncated picture", begun=True))
            else:
                found.append(Part(bytes(memoryview(self._buffer)[:end]), self._begun_ns))
            self._drop(end)
            self.in_picture = False
        return found

    def _drop(self, end: int) -> None:
        del self._buffer[:end]
        self._looked = self._looked_for_delimiter = 0

    def _find_picture(self, found: list[Part | NoPicture], now_ns: int) -> bool:
        """Drop everything before a picture; False if more data is needed to find it."""
        buffer = self._buffer
        looked, self._looked = self._looked, max(0, len(buffer) - len(_BEGIN) + 1)
        begin = buffer.find(_BEGIN, looked)
        gap = begin if begin >= 0 else len(buffer)
        if not self._delimiter or buffer.find(self._delimiter, 0, gap) < 0:
            line = _DELIMITER_LINE.search(buffer, max(0, looked - _LONGEST_LINE), gap)
            self._delimiter = line[1] if line else self._delimiter
        while (dropped := self._part_without_picture(found, gap)) > 0:
            gap -= dropped
        if begin < 0:
            if len(buffer) > LONGEST_GAP:
                self._dropped += len(buffer)
                self._drop(len(buffer) - len(_BEGIN) + 1)
            if self._dropped > _MUCH:
                self._dropped = 0
                found.append(NoPicture("1 MB without a picture"))
            return False
        lengths = _LENGTH.findall(buffer, 0, gap)
        length = int(lengths[-1]) if lengths else 0
        header_end = _HEADER_END.search(buffer, 0, gap)
        if header_end is not None:
            length -= gap - header_end.end()  # minus stray bytes
        self._length = length if len(_BEGIN) < length <= self._longest else 0
        self._drop(gap)
        self.in_picture, self._begun_ns, self._dropped = True, now_ns, 0
        return True

    def _part_without_picture(self, found: list[Part | NoPicture], gap: int) -> int:
        """Drop the data before the next delimiter in the gap; the number of bytes."""
        buffer, delimiter = self._buffer, self._delimiter
        if not delimiter:
            return 0
        begun = buffer.startswith(delimiter)
        begin = max(len(delimiter) if begun else 0, self._looked_for_delimiter)
        end = buffer.find(delimiter, begin, gap)
        if end < 0:
            self._looked_for_delimiter = max(0, gap - len(delimiter) + 1)
            return 0
        part = bytes(buffer[len(delimiter) : end]) if begun else b""
        if part.strip(_BLANK):
            kind = _TYPE.search(part)
            found.append(NoPicture(described(kind[1].decode("latin-1") if kind else "")))
        else:
            self._dropped += end
        looked = max(0, self._looked - end)
        self._drop(end)
        self._looked = looked
        return end

    def _end(self) -> int | None:
        """The end of the picture, complete or truncated; None if it is not in the buffer."""
        if self._length:
            if len(self._buffer) < self._length:
                ended = self._buffer.find(_END, max(0, len(self._buffer) - _TAIL)) >= 0
                if not ended and self._length <= _TRUSTED_FACTOR * self._right_length:
                    return None
            elif self._buffer[self._length - len(_END) : self._length] == _END:
                self._right_length = self._length
                return self._length
            else:
                self._length = self._right_length = 0
        cut = -1
        if self._delimiter:
            cut = self._buffer.find(b"\n" + self._delimiter, self._looked_for_delimiter)
            self._looked_for_delimiter = max(0, len(self._buffer) - len(self._delimiter))
        end = self._own_end(cut if cut >= 0 else len(self._buffer))
        if end is not None and end == self._length:
            self._right_length = end
        return end if end is not None or cut < 0 else cut

    def _own_end(self, limit: int) -> int | None:
        """The end by markers: after the last one, or where the next picture starts; None if neither
        is before `limit`.
        """
        buffer = self._buffer
        while (marker := _MARKER.search(buffer, self._looked, limit)) is not None:
            begin, after = marker.span()
            kind = buffer[begin + 1]
            if kind == 0xD9:
                return after
            if kind == 0xD8:
                if begin > 0 and buffer[after : after + 1] == b"\xff":
                    return begin
                if after >= limit:
                    self._looked = begin
                    return None
                self._looked = after
            elif after + 2 > limit:
                self._looked = begin
                return None
            else:
                self._looked = after + max(2, int.from_bytes(buffer[after : after + 2], "big"))
        self._looked = max(self._looked, limit - 1)
        return None


def described(content_type: str) -> str:
    """The Content-Type of a body without a picture, for a message."""
    return f"Content-Type '{content_type.strip()}'" if content_type.strip() else "no Content-Type"


def is_multipart(content_type: str) -> bool:
    return content_type.lower().lstrip().startswith("multipart/")


def boundary_of(content_type: str) -> str | None:
    """None if it states none."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        return None
    return (match[1] or match[2]).lstrip("-") or None


def _delimiter(boundary: str | None) -> bytes:
    text = "" if boundary is None else boundary.lstrip("-")
    return b"--" + text.encode("latin-1", "replace") if text else b""

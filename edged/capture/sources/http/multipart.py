"""Finds the JPEG pictures in an MJPEG stream, whatever lies between them. Pure.

Cameras are careless: the boundary differs from the announced one or is missing, lengths are wrong,
text comes between pictures. So a picture is known by its own markers, from the first to the last.
What it is wrapped in is a hint: a boundary line ends a picture that was cut short, and a
Content-Length that has held before saves looking at each byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_PART: Final = 16 * 1024 * 1024
LONGEST_GAP: Final = 64 * 1024
"""So much is kept of what lies between two pictures."""
_MUCH = 1024 * 1024
"""So many bytes without a picture count as a part without one."""
_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""One that may follow a scan. Within a scan 0xFF comes before 0x00 and restart markers only."""
_TRUSTED_FACTOR = 8
"""A Content-Length is believed up to so many times the last one that was right, as long as the
latest bytes do not look like the picture's end.
"""
_TAIL = 256
"""Bytes; with a pause after each picture its end is among the latest."""
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,12})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^content-type:[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_DELIMITER_LINE = re.compile(rb"(?:^|\n)(--+[^\s-][^\r\n]{0,199})\r?\n")
_LONGEST_LINE = 256
_BLANK = b"-\r\n \t\0"
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]+)\"|([^\s;]+))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """begun_ns: when its first byte was there, which is close to when the camera had it."""

    body: bytes
    begun_ns: int


@dataclass(frozen=True, slots=True)
class NoPicture:
    """A part that holds none. got: what it was instead, in words for a message. begun: half of a
    picture, or one that is too long.
    """

    got: str
    begun: bool = False


class MultipartSplitter:
    """boundary: the announced one; None where none was. What the stream uses is learned from it."""

    def __init__(self, boundary: str | None, *, longest_part: int = LONGEST_PART) -> None:
        self._delimiter = _delimiter(boundary)
        self._longest = longest_part
        self._buffer = bytearray()
        """Within a picture it begins with its first byte."""
        self.in_picture = False
        self._begun_ns = 0
        self._length = 0
        """Of the picture, as its header says; 0 when that is unknown or wrong."""
        self._right_length = 0
        """The last one that was."""
        self._looked = 0
        """Up to here nothing was found: no beginning, or no end."""
        self._looked_for_delimiter = 0
        self._dropped = 0
        """Bytes of the present gap that are given up."""

    def feed(self, chunk: bytes, now_ns: int) -> list[Part | NoPicture]:
        """What is complete with this chunk."""
        self._buffer += chunk
        found: list[Part | NoPicture] = []
        while self.in_picture or self._find_picture(found, now_ns):
            end = self._end()
            if end is None and len(self._buffer) <= self._longest:
                break
            if end is None or end > self._longest:
                found.append(NoPicture(f"a picture of more than {self._longest} bytes", begun=True))
                end = end or self._longest  # whole ones may follow in the same chunk
            elif not self._buffer.endswith(_END, 0, end):
                found.append(NoPicture("a picture that was cut short", begun=True))
            else:
                found.append(Part(bytes(memoryview(self._buffer)[:end]), self._begun_ns))
            self._drop(end)
            self.in_picture = False
        return found

    def _drop(self, end: int) -> None:
        del self._buffer[:end]
        self._looked = self._looked_for_delimiter = 0

    def _find_picture(self, found: list[Part | NoPicture], now_ns: int) -> bool:
        """Drop everything up to a picture's first byte; False when more is needed to find it."""
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
            length -= gap - header_end.end()  # stray bytes count, too
        self._length = length if len(_BEGIN) < length <= self._longest else 0
        self._drop(gap)
        self.in_picture, self._begun_ns, self._dropped = True, now_ns, 0
        return True

    def _part_without_picture(self, found: list[Part | NoPicture], gap: int) -> int:
        """Drop what lies before the latest delimiter in the gap; how many bytes that were."""
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
        """Where the picture ends, whole or cut short; None while it goes on."""
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
        """By its markers: behind the last one, or where the next picture begins; None if neither
        lies before `limit`.
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
    """What is no picture: the type that it came as, in the camera's own words."""
    return f"Content-Type '{content_type.strip()}'" if content_type.strip() else "no Content-Type"


def is_multipart(content_type: str) -> bool:
    return content_type.lower().lstrip().startswith("multipart/")


def boundary_of(content_type: str) -> str | None:
    """None when it names none."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        return None
    return (match[1] or match[2]).lstrip("-") or None


def _delimiter(boundary: str | None) -> bytes:
    text = "" if boundary is None else boundary.lstrip("-")
    return b"--" + text.encode("latin-1", "replace") if text else b""

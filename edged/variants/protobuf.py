"""The wire format of protocol buffers, of which ONNX files consist, without a package for it."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _GROUP, _FIXED32 = 0, 1, 2, (3, 4), 5


def fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field. Raises ValueError or IndexError where it ends."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind in _GROUP:  # long out of use, but parsers skip them; what is inside comes next
            continue
        value: int | memoryview
        if kind == _VARINT:
            value, at = _varint(content, at)
        else:
            if kind == _BYTES:
                size, at = _varint(content, at)
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
            else:
                raise ValueError("no such wire type")
            value, at = content[at : at + size], at + size
            if at > len(content):
                raise ValueError("ends inside a field")
        yield (key & 0xFFFFFFFF) >> 3, value


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("no such number")


def field(number: int, value: int | str | bytes) -> bytes:
    """A field as it is written: a number from 0 on, text, or bytes, which may be a message."""
    if isinstance(value, int):
        return _written(number << 3 | _VARINT) + _written(value)
    content = value.encode() if isinstance(value, str) else value
    return _written(number << 3 | _BYTES) + _written(len(content)) + content


def _written(value: int) -> bytes:
    """As a varint."""
    if value < 0:
        raise ValueError("a negative number")
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _written(rest) if rest else bytes([low])

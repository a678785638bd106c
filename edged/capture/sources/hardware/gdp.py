"""The GStreamer Data Protocol, version 1.0: buffers with time stamps through a pipe. Pure.

Each packet has a header of 62 bytes, big-endian: version, flags, padding, type, length of the
payload, PTS, duration, offset, end of the offset, flags of the buffer, DTS and more, two checksums,
which flags 0 switches off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEAD = struct.Struct(">HBBHIQQQQH14xHH")
_VERSION = 0x0100
_BUFFER, _CAPS, _EVENT = 1, 2, 64
_STREAM_START, _SEGMENT = _EVENT + 10254, _EVENT + 17934
"""64 and the number in GstEventType."""
_NONE = 2**64 - 1
MOST_BYTES = 64 * 1024 * 1024
"""A longer packet is not one of a picture."""
_BEGIN = (
    "GstEventStreamStart, stream-id=(string)edged, "
    "flags=(GstStreamFlags)GST_STREAM_FLAG_NONE, group-id=(uint)1;"
)
_TIMES = (
    'GstEventSegment, segment=(GstSegment)"segment, flags=(GstSegmentFlags)GST_SEGMENT_FLAG_NONE, '
    "rate=(double)1, applied-rate=(double)1, format=(GstFormat)time, base=(guint64)0, "
    "offset=(guint64)0, start=(guint64)0, stop=(guint64)18446744073709551615, time=(guint64)0, "
    'position=(guint64)0, duration=(guint64)18446744073709551615;";'
)


def beginning(caps: str) -> bytes:
    """What precedes the buffers."""
    texts = ((_STREAM_START, _BEGIN), (_CAPS, caps), (_SEGMENT, _TIMES))
    return b"".join(_packet(kind, text.encode() + b"\0") for kind, text in texts)


def buffer(data: bytes, pts_ns: int) -> bytes:
    return _packet(_BUFFER, data, pts_ns)


def _packet(kind: int, payload: bytes, pts_ns: int = _NONE) -> bytes:
    head = _HEAD.pack(_VERSION, 0, 0, kind, len(payload), pts_ns, _NONE, 0, 0, 0, 0, 0)
    return head + payload


class Unpacker:
    """Takes what was read, in pieces of any size."""

    def __init__(self) -> None:
        self._data = bytearray()

    def buffers(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(PTS in nanoseconds, data) of each buffer that is complete. Raises ValueError for
        anything but GDP."""
        self._data += data
        while len(self._data) >= _HEAD.size:
            version, _, _, kind, length, pts_ns, *_ = _HEAD.unpack_from(self._data)
            if version != _VERSION or length > MOST_BYTES:
                raise ValueError("not the GStreamer Data Protocol 1.0")
            end = _HEAD.size + length
            if len(self._data) < end:
                return
            payload = bytes(self._data[_HEAD.size : end])
            del self._data[:end]
            if kind == _BUFFER:
                yield pts_ns, payload

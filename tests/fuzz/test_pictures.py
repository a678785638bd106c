"""Pictures and streams of pictures, given anything.

`make fuzz` gives each test of the room EDGED_FUZZ inputs instead of some hundreds, and prints what
became of them.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.decode.jpeg import decode_jpeg, jpeg_size
from edged.capture.sources.http.multipart import MultipartSplitter, Part
from tests.rig.damage import MANY, fuzz

pytestmark = pytest.mark.timeout(3600 if MANY else 120)


# Bytes: what is written over, inserted, taken out, repeated or cut off of something that was whole

_PLACES = st.one_of(st.integers(0, 700), st.integers(0, 1 << 16))
"""Headers are where most is decided."""
_BYTES = st.one_of(st.integers(0, 255), st.sampled_from((0x00, 0xFF, 0xC0, 0xC4, 0xD8, 0xD9, 0xDA)))
_EDITS = st.lists(
    st.tuples(
        st.sampled_from(("write", "write", "write", "insert", "delete", "repeat", "cut")),
        _PLACES,
        st.integers(1, 64),
        _BYTES,
    ),
    max_size=6,
)


def edited(whole: bytes, edits: list[tuple[str, int, int, int]]) -> bytes:
    data = bytearray(whole)
    for kind, place, length, value in edits:
        begin = place % (len(data) + 1)
        piece = data[begin : begin + length]
        if kind == "write":
            data[begin : begin + 1] = bytes((value,))
        elif kind == "insert":
            data[begin:begin] = bytes((value,)) * length
        elif kind == "delete":
            del data[begin : begin + length]
        elif kind == "repeat":
            data[begin:begin] = piece
        else:
            del data[begin:]
    return bytes(data)


def jpegs() -> list[bytes]:
    """Of the kinds that cameras and folders give, with noise so that every coefficient is used."""
    noise = np.random.default_rng(0)
    coloured = noise.integers(0, 256, (45, 83, 3), dtype=np.uint8)
    kinds: list[tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], list[int]]] = [
        (coloured, []),
        (coloured, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]),
        (coloured, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]),
        (coloured, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (coloured, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
        (coloured, [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY, 30]),
        (coloured[:, :, 0], []),
    ]
    encoded = [cv2.imencode(".jpg", picture, options)[1].tobytes() for picture, options in kinds]
    return [*encoded, with_exif(encoded[0])]


def with_exif(jpeg: bytes) -> bytes:
    """Turned by 90 degrees, and with a thumbnail that is a JPEG of its own."""
    orientation = b"\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    thumbnail = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    body = b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + orientation + thumbnail
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


JPEGS = jpegs()


@fuzz
@given(st.sampled_from(JPEGS), _EDITS, st.sampled_from((0, 1, 16, 64, 224)))
def test_any_jpeg_is_a_picture_or_nothing(
    outcomes: Callable[[str, str], None],
    whole: bytes,
    edits: list[tuple[str, int, int, int]],
    wanted: int,
) -> None:
    data = edited(whole, edits)
    size = jpeg_size(data)
    if size is not None and size[0] * size[1] > 1 << 24:
        outcomes("jpeg", "too large to be decoded here")
        return
    pixels = decode_jpeg(data, wanted)
    outcomes("jpeg", "refused" if pixels is None else "decoded")
    if pixels is None:
        assert edits, "a whole picture was refused"
        return
    assert size is not None
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= max(1, min(wanted, *size))
    assert max(pixels.shape[:2]) <= max(size)


LONGEST = 20_000


@fuzz
@given(
    st.lists(st.tuples(st.sampled_from(JPEGS), st.booleans()), max_size=3),
    _EDITS,
    st.lists(st.integers(0, 5000), max_size=12),
)
def test_any_stream_is_split_into_bounded_parts(
    outcomes: Callable[[str, str], None],
    pictures: list[tuple[bytes, bool]],
    edits: list[tuple[str, int, int, int]],
    cuts: list[int],
) -> None:
    stream = b""
    for jpeg, with_length in pictures:
        length = b"Content-Length: %d\r\n" % len(jpeg) if with_length else b""
        stream += b"--frame\r\n" + length + b"\r\n" + jpeg + b"\r\n"
    stream = edited(stream, edits)
    splitter = MultipartSplitter("frame", longest_part=LONGEST)
    bodies: list[bytes] = []
    while stream:
        cut = cuts.pop() if cuts else len(stream)
        found = splitter.feed(stream[: cut + 1], 7)
        bodies += [part.body for part in found if isinstance(part, Part)]
        stream = stream[cut + 1 :]
    outcomes("multipart", "with pictures" if bodies else "without a picture")
    assert all(0 < len(body) <= LONGEST for body in bodies)
    if not edits:
        assert bodies == [jpeg for jpeg, _ in pictures]
    # Whatever came, a picture that comes later is found.
    rest = b"\r\n" + b"x" * LONGEST + 2 * (b"\r\n--frame\r\n\r\n" + JPEGS[0] + b"\r\n")
    parts = splitter.feed(rest, 8)
    assert Part(JPEGS[0], 8) in parts

"""Streams of pictures as cameras write them, cut anywhere: the same pictures must come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.sources.http.multipart import (
    MultipartSplitter,
    NoPicture,
    Part,
    boundary_of,
    is_multipart,
)
from tests.rig.pictures import encoded

RED, BLUE, GREEN = encoded(24, 32), encoded(24, 32, (0, 0, 255)), encoded(48, 64, (0, 255, 0))
PICTURES = [RED, BLUE, GREEN, RED]


def part(
    body: bytes, *, length: int | None = -1, newline: bytes = b"\r\n", kind: bytes = b"image/jpeg"
) -> bytes:
    """length: what Content-Length says; -1 for the truth, None for nothing."""
    header = b"--frame" + newline + b"Content-Type: " + kind + newline
    if length is not None:
        header += b"Content-Length: %d" % (len(body) if length < 0 else length) + newline
    return header + newline + body + newline


def feed(splitter: MultipartSplitter, stream: bytes, size: int) -> list[Part | NoPicture]:
    return [
        each
        for begin in range(0, len(stream), size)
        for each in splitter.feed(stream[begin : begin + size], begin)
    ]


def split(stream: bytes, boundary: str | None = "frame") -> list[bytes | str]:
    """Pictures, and what came instead of one; the same however the stream is cut."""
    ways = []
    for size in (len(stream), 1000, 97, 1):
        found = feed(MultipartSplitter(boundary), stream, size)
        ways.append([each.body if isinstance(each, Part) else each.got for each in found])
    assert all(way == ways[0] for way in ways)
    return ways[0]


def with_thumbnail(picture: bytes) -> bytes:
    """A whole picture within the header of another."""
    body = b"Exif\0\0" + RED
    return picture[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + picture[2:]


SHAPES = {
    "as the standard says": b"".join(map(part, PICTURES)),
    "line feeds alone": b"".join(part(each, newline=b"\n") for each in PICTURES),
    "no length": b"".join(part(each, length=None) for each in PICTURES),
    "a length of nothing": b"".join(part(each, length=0) for each in PICTURES),
    "a length that is too small": b"".join(part(each, length=99) for each in PICTURES),
    "a length a little too large": b"".join(part(each, length=len(each) + 2) for each in PICTURES),
    "a length of gigabytes": b"".join(part(each, length=2**31 - 1) for each in PICTURES),
    "a length of all of it": b"".join(part(each, length=3000) for each in PICTURES),
    "a preamble": b"welcome\r\n\r\n" + b"".join(map(part, PICTURES)),
    # Tasmota, ESP32-CAM: the first boundary is missing, or all up to the picture.
    "no boundary at the beginning": b"".join(map(part, PICTURES))[len(b"--frame\r\n") :],
    "nothing before the first picture": part(RED)[-len(RED) - 2 :]
    + b"".join(map(part, PICTURES[1:])),
    # Foscam.
    "the boundary twice": b"".join(b"--frame\r\n" + part(each) for each in PICTURES),
    "an end to each part": b"".join(part(each) + b"--frame--\r\n" for each in PICTURES),
    # Viseron.
    "no line end behind the boundary": b"".join(map(part, PICTURES)).replace(
        b"frame\r\n", b"frame"
    ),
    "no blank line behind the header": b"".join(map(part, PICTURES)).replace(
        b"\r\n\r\n\xff", b"\r\n\xff"
    ),
    "more blank lines": b"".join(map(part, PICTURES)).replace(b"\r\n\r\n", b"\r\n\r\n\r\n"),
    "stray bytes before the picture": b"".join(part(b"\0\0\r\n" + each) for each in PICTURES),
    "padding behind the picture": b"".join(part(each + bytes(50)) for each in PICTURES),
    "padding that the length leaves out": b"".join(
        part(each + bytes(50), length=len(each)) for each in PICTURES
    ),
    "nothing between": b"".join(PICTURES),
    "another boundary": b"".join(map(part, PICTURES)).replace(b"--frame", b"--ipcamera"),
    "a boundary without dashes": b"".join(map(part, PICTURES)).replace(b"--frame", b"frame"),
    "more dashes": b"".join(map(part, PICTURES)).replace(b"--frame", b"------frame"),
    "no type": b"".join(map(part, PICTURES)).replace(b"Content-Type: image/jpeg\r\n", b""),
    "other header lines": b"".join(map(part, PICTURES)).replace(
        b"Content-Type", b"X-Timestamp: 0.1\r\nSet-Cookie: a=b\r\ncontent-TYPE"
    ),
}


@pytest.mark.parametrize("stream", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("boundary", ["frame", "other", None])
def test_pictures_come_whatever_they_are_wrapped_in(stream: bytes, boundary: str | None) -> None:
    assert split(stream, boundary) == PICTURES


def test_a_thumbnail_is_not_the_end_of_its_picture() -> None:
    pictures = [with_thumbnail(each) for each in PICTURES]
    for length in (-1, None, 0, 300):
        assert split(b"".join(part(each, length=length) for each in pictures)) == pictures
    assert split(b"".join(pictures), None) == pictures


@pytest.mark.parametrize("length", [-1, None, 0, 99, 10**9])
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.9])
def test_a_picture_that_is_cut_short_costs_none_of_the_others(
    length: int | None, kept: float
) -> None:
    half = part(GREEN[: int(len(GREEN) * kept)], length=length)
    cut = "a truncated picture"
    assert split(part(RED) + half + part(BLUE) + half + part(RED)) == [RED, cut, BLUE, cut, RED]


def test_parts_without_a_picture_are_named() -> None:
    text = part(b"<html>log in</html>", kind=b"text/html")
    untyped = part(b"{}").replace(b"Content-Type: image/jpeg\r\n", b"")
    stream = part(RED) + text + part(BLUE) + text + untyped + part(b"", length=0) + part(GREEN)
    assert split(stream) == [
        RED,
        "Content-Type 'text/html'",
        BLUE,
        "Content-Type 'text/html'",
        "no Content-Type",
        "Content-Type 'image/jpeg'",
        GREEN,
    ]


def test_a_picture_is_there_before_the_next_boundary_comes() -> None:
    for length in (-1, None, 0, 10**9):
        splitter = MultipartSplitter("frame")
        (found,) = splitter.feed(part(RED, length=length)[:-2], 7)
        assert found == Part(RED, 7)


def test_a_picture_begins_with_its_first_byte() -> None:
    splitter = MultipartSplitter("frame")
    stream = part(RED)
    begin = stream.index(RED)
    assert splitter.feed(stream[:begin], 100) == []
    assert splitter.feed(stream[begin : begin + 10], 200) == []
    assert splitter.feed(stream[begin + 10 :], 300) == [Part(RED, 200)]


def test_a_length_that_holds_saves_looking_at_each_byte() -> None:
    """Between its header and its last byte nothing of a picture is looked at."""
    splitter = MultipartSplitter("frame")
    splitter.feed(part(RED), 0)
    header, _, _ = part(GREEN).partition(GREEN)
    splitter.feed(header + GREEN[:10], 0)
    looked = splitter._looked
    assert splitter.feed(GREEN[10:-1], 0) == []
    assert splitter._looked == looked
    assert splitter.feed(GREEN[-1:], 0) == [Part(GREEN, 0)]


def test_a_length_that_no_longer_holds_is_noticed() -> None:
    right, huge = part(RED), part(BLUE, length=10**6)
    splitter = MultipartSplitter("frame")
    assert splitter.feed(right + huge, 0) == [Part(RED, 0), Part(BLUE, 0)]
    three = part(BLUE, length=3 * len(BLUE))  # as large as pictures may well become
    found = MultipartSplitter("frame").feed(right + three + right * 3, 0)
    assert [each.body for each in found if isinstance(each, Part)] == [RED, BLUE, RED, RED, RED]


def test_memory_is_bounded_and_the_next_picture_starts_afresh() -> None:
    splitter = MultipartSplitter("frame", longest_part=10_000)
    for length in (None, -1, 10**9):
        long = part(GREEN[:-2] + b"x" * 20_000 + GREEN[-2:], length=length)
        found = feed(splitter, long + part(RED), 999)
        assert found[0] == NoPicture("a picture of more than 10000 bytes", begun=True)
        assert [each.body for each in found if isinstance(each, Part)] == [RED]
    endless = [
        splitter.feed(piece, 0)
        for piece in [b"--frame\r\n\r\n", b"y" * 999, b"--frame and no end ", RED[:-2] * 9]
        for _ in range(2000)
        if len(splitter._buffer) < 80_000
    ]
    assert len(endless) == 8000
    assert feed(splitter, b"\r\n" + part(BLUE), 999)[-1:] == [Part(BLUE, 0)]


def test_much_without_a_boundary_counts_as_well() -> None:
    found = feed(MultipartSplitter(None), b"<p>log in</p>" * 200_000, 50_000)  # 2.6 MB
    assert found == [NoPicture("1 MB without a picture")] * 2


@given(st.lists(st.binary(max_size=100) | st.sampled_from([b"\xff\xd8\xff", b"--b\r\n", RED])))
def test_any_bytes_may_come(chunks: list[bytes]) -> None:
    splitter = MultipartSplitter("b", longest_part=150)
    for chunk in chunks:
        for found in splitter.feed(chunk, 0):
            assert isinstance(found, NoPicture) or 0 < len(found.body) <= 150


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", "frame"),
        ("multipart/x-mixed-replace;boundary=--frame", "frame"),
        ("multipart/x-mixed-replace; boundary =frame", "frame"),  # older Panasonic cameras
        ('Multipart/X-Mixed-Replace; charset=x; Boundary="a b"; q=1', "a b"),
        ("multipart/x-mixed-replace; boundary=a;q=1", "a"),
        ("multipart/x-mixed-replace", None),
        ("multipart/x-mixed-replace; boundary=--", None),
    ],
)
def test_the_boundary_in_the_header(content_type: str, boundary: str | None) -> None:
    assert is_multipart(content_type)
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", ["image/jpeg", "", "text/html; boundary=multipart/"])
def test_what_is_not_multipart(content_type: str) -> None:
    assert not is_multipart(content_type)

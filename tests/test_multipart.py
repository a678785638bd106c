from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.multipart import MultipartSplitter, boundary_of


def jpeg(content: bytes) -> bytes:
    return b"\xff\xd8" + content.replace(b"\xff", b"").replace(b"-", b"") + b"\xff\xd9"


def part(body: bytes, *, length: bool = True, newline: bytes = b"\r\n") -> bytes:
    header = b"--frame" + newline + b"Content-Type: image/jpeg" + newline
    if length:
        header += b"Content-Length: " + str(len(body)).encode() + newline
    return header + newline + body + newline


def split(stream: bytes, pieces: list[int], boundary: str = "frame") -> list[bytes]:
    splitter = MultipartSplitter(boundary)
    bodies = []
    for size in [*pieces, len(stream)]:
        chunk, stream = stream[:size], stream[size:]
        bodies += [found.body for found in splitter.feed(chunk, 0)]
    return bodies


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.booleans()), max_size=8),
    st.lists(st.integers(0, 30), max_size=30),
)
def test_the_parts_are_the_same_however_they_are_cut(
    contents: list[tuple[bytes, bool, bool]], pieces: list[int]
) -> None:
    bodies = [jpeg(content) for content, _, _ in contents]
    stream = b"preamble\r\n" + b"".join(
        part(body, length=length, newline=b"\r\n" if crlf else b"\n")
        for body, (_, length, crlf) in zip(bodies, contents, strict=True)
    )
    assert split(stream, pieces) == bodies


def test_a_part_without_a_length_does_not_wait_for_the_next_boundary() -> None:
    body = jpeg(b"picture")
    splitter = MultipartSplitter("frame")
    assert [p.body for p in splitter.feed(part(body, length=False), 7)] == [body]


def test_a_part_begins_when_its_header_is_there() -> None:
    splitter = MultipartSplitter("frame")
    stream = part(jpeg(b"picture"))
    assert splitter.feed(stream[:50], 100) == []
    assert splitter.feed(stream[50:60], 200) == []
    (found,) = splitter.feed(stream[60:], 300)
    assert found.begun_ns in (100, 200)


@pytest.mark.parametrize("dashes", ["", "--", "----"])
def test_boundaries_with_any_number_of_dashes(dashes: str) -> None:
    body = jpeg(b"picture")
    stream = part(body, length=False).replace(b"--frame", b"--" + dashes.encode() + b"frame")
    assert split(stream + stream, [10], dashes + "frame") == [body, body]


def test_a_wrong_length_costs_at_most_the_next_part() -> None:
    bodies = [jpeg(bytes([n]) * 50) for n in range(5)]
    parts = [part(body) for body in bodies]
    parts[1] = parts[1].replace(b"Content-Length: 54", b"Content-Length: 20")
    assert split(b"".join(parts), [])[2:] == bodies[2:]
    assert split(b"".join(parts), [])[1] == bodies[1][:20]
    parts[1] = part(bodies[1]).replace(b"Content-Length: 54", b"Content-Length: 90")
    assert split(b"".join(parts), [])[-2:] == bodies[3:]


def test_memory_is_bounded_and_the_next_boundary_starts_afresh() -> None:
    body = jpeg(b"picture")
    splitter = MultipartSplitter("frame", longest_part=1000)
    assert splitter.feed(part(b"x" * 2000), 0) == []
    assert splitter.oversized == 1
    assert splitter.feed(b"--frame\r\n\r\n", 0) == []
    for _ in range(100):
        assert splitter.feed(b"y" * 999, 0) == []
        assert len(splitter._buffer) < 3000
    assert splitter.oversized == 2
    for _ in range(100):
        assert splitter.feed(b"--frame and no end of the header " * 40, 0) == []
        assert len(splitter._buffer) < 40_000
    assert [found.body for found in splitter.feed(b"\r\n" + part(body), 0)][-1:] == [body]


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_any_bytes_may_come(chunks: list[bytes]) -> None:
    splitter = MultipartSplitter("b", longest_part=150)
    for chunk in chunks:
        for found in splitter.feed(chunk, 0):
            assert 0 < len(found.body) <= 150


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", "frame"),
        ("multipart/x-mixed-replace;boundary=--frame", "frame"),
        ('Multipart/X-Mixed-Replace; charset=x; Boundary="a b"; q=1', "a b"),
        ("multipart/x-mixed-replace; boundary=a;q=1", "a"),
        ("multipart/x-mixed-replace", None),
        ("multipart/x-mixed-replace; boundary=--", None),
        ("image/jpeg", None),
        ("", None),
    ],
)
def test_the_boundary_in_the_header(content_type: str, boundary: str | None) -> None:
    assert boundary_of(content_type) == boundary

"""HTTP cameras that mean harm: whatever they send, an end with a reason, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from edged.capture.source import SourceError
from tests.rig.http_camera import Asked, Opened, scripted

Write = Callable[[bytes], None]
OK = b"HTTP/1.1 200 OK\r\n"


def forever(begin: bytes, piece: bytes) -> Iterator[bytes]:
    yield begin
    block = piece * max(1, 65536 // len(piece))
    for _ in range(4000):  # at most 260 MB, which nobody waits for
        yield block


KINDS = {
    "a status line without end": (b"HTTP/1.1 200 ", b"y"),
    "a header without end": (OK + b"X: ", b"y"),
    "headers without end": (OK, b"X: y\r\n"),
    "long headers": (OK, b"X: " + b"y" * 60_000 + b"\r\n"),
    "a chunk's length without end": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "nothing but zeros": (OK + b"Content-Type: image/jpeg\r\n\r\n", bytes(16)),
    "nothing but a picture's begin": (
        OK + b"Content-Type: image/jpeg\r\n\r\n\xff\xd8",
        b"\xff\xe1\xff\xff" + bytes(65533),
    ),
    "a part's header without end": (
        OK + b"Content-Type: multipart/x-mixed-replace; boundary=a\r\n\r\n--a\r\nX: ",
        b"y",
    ),
    "parts of nothing": (
        OK + b"Content-Type: multipart/x-mixed-replace; boundary=a\r\n\r\n",
        b"--a\r\n\r\n" + b" " * 2000,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_with_a_reason(kind: str) -> None:
    came_to_its_end = False

    def script(_: Asked, write: Write) -> None:
        nonlocal came_to_its_end
        for piece in forever(*KINDS[kind]):
            write(piece)
        came_to_its_end = True

    with scripted(script) as camera:
        url = camera.url()
        tracemalloc.start()
        try:
            with pytest.raises(SourceError) as caught, Opened(url) as opened:
                for _ in range(100):
                    opened.source.read(64)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert not came_to_its_end
    assert url in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "got got" not in str(caught.value)
    assert peak < 100 << 20

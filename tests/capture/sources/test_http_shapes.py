"""What cameras really answer, from a scripted socket: streams, pictures, and their wrappings."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import pytest

from edged.capture.source import Failure, SourceError
from edged.capture.sources.http.client import HttpCamera
from tests.rig.http_camera import MIXED, Asked, Opened, answer, pace, part, scripted
from tests.rig.pictures import encoded

RED, GREEN, BLUE = (encoded(48, 64, colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
COLOURS = [RED, GREEN, BLUE, RED]
PARTS = [part(each) for each in COLOURS]
LOGIN_FIRST = b'[{"cmd":"Snap","code":1,"error":{"detail":"please login first","rspCode":-6}}]'

STREAMS = {
    "as the standard says": answer(b"", MIXED, length=None),
    "an outer length of nothing": answer(b"", MIXED, length=0),
    # Tasmota: the first part's header is within that of the answer.
    "an outer length of the first picture": answer(
        b"", MIXED, "Content-Type: image/jpeg", length=len(RED)
    ),
    "an outer length of gigabytes": answer(b"", MIXED, length=2**31 - 1),
    "no boundary": answer(b"", "multipart/x-mixed-replace", length=None),
    "another boundary": answer(b"", "multipart/x-mixed-replace; boundary=other", length=None),
    "a type that says nothing": answer(b"", "application/octet-stream", length=None),
    "no type": answer(b"", None, length=None),
    "the type of a picture": answer(b"", "image/jpeg", length=None),
    "the type of a picture and a length of gigabytes": answer(b"", "image/jpeg", length=2**31 - 1),
    "the type of a page": answer(b"", "text/html", length=None),
    "the first version of HTTP": b"HTTP/1.0 200 OK\nContent-type: " + MIXED.encode() + b"\n\n",
}


@pytest.mark.parametrize("head", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("pieces", [PARTS, COLOURS], ids=["parts", "bare pictures"])
def test_a_stream_is_one_whatever_its_header_says(head: bytes, pieces: list[bytes]) -> None:
    if head is STREAMS["the type of a page"] and pieces is COLOURS:
        pieces = PARTS

    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        pace(write, [head, *pieces, *pieces])
        camera.wait(2)

    with scripted(script) as camera, Opened(camera.url()) as opened:
        assert opened.granted.format == "MJPEG"
        # To tell a stream from one picture takes the beginning of the next.
        assert opened.colours(4) in ("rgbr", "gbrr")
        assert opened.counts.broken == 0
    assert len(camera.asked) == 1


SNAPSHOTS = {
    "as the standard says": answer(RED),
    "no length": answer(RED, length=None),
    "a type that says nothing": answer(RED, "application/octet-stream"),
    "no type": answer(RED, None),
    "neither type nor length": answer(RED, None, length=None),
    "a wrong type": answer(RED, "text/html"),
    "a wrong type and no length": answer(RED, "text/plain", length=None),
    "stray bytes before it": answer(b"\r\n\0" + RED),
    "padding behind it": answer(RED + bytes(500)),
    "padding that the length leaves out": answer(RED + bytes(500), length=len(RED)),
    # JVC: the stream goes on behind the first picture, of which the length is.
    "others behind it": answer(RED + GREEN + BLUE, length=len(RED)),
    "one part": answer(part(RED), "application/octet-stream"),
    "chunks": answer(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(RED), RED),
        "image/jpeg",
        "Transfer-Encoding: chunked",
        length=None,
    ),
}


@pytest.mark.parametrize("whole", SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_a_picture_is_one_whatever_its_header_says(whole: bytes) -> None:
    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        write(whole.replace(RED, COLOURS[len(pictures) % 3], 1))
        pictures.append(asked)

    pictures: list[Asked] = []
    with scripted(script) as camera, Opened(camera.url()) as opened:
        assert opened.granted.format == "JPEG pictures"
        assert opened.colours(4) == "rgbr"
        assert opened.counts.broken == 0


def test_what_libraries_write_is_read() -> None:
    """FFmpeg's own, whatever boundary the header announces."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mpjpeg") as container:
        track = container.add_stream("mjpeg", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuvj420p"
        for red in (250, 200, 150):
            pixels = np.full((48, 64, 3), (red, 0, 0), np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(track.encode())

    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        write(answer(b"", asked.path.strip("/").replace("_", "/"), length=None))
        for piece in stream.getvalue().split(b"--ffmpeg"):
            pace(write, [b"--ffmpeg" + piece])
        camera.wait()

    with scripted(script) as camera:
        for path in ("/multipart_x-mixed-replace;boundary=ffmpeg", "/multipart_mixed", "/video_x"):
            with Opened(camera.url(path)) as opened:
                found = [opened.source.read(0) for _ in range(3)]
            reds = [int(each.pixels[5, 5, 0]) for each in found if each is not None]
            assert reds == pytest.approx([250, 200, 150], abs=8)


def test_text_before_all_pictures_is_no_broken_picture() -> None:
    """Axxon's."""

    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        started = part(b"<newstate>started</newstate>", "text/xml")
        pace(write, [answer(b"", "multipart/mixed;boundary=frame", length=None), started, *PARTS])
        camera.wait()

    with scripted(script) as camera, Opened(camera.url()) as opened:
        assert opened.colours(4) == "rgbr"
        assert opened.counts.broken == 0


def test_text_between_pictures_is_no_broken_picture() -> None:
    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        text = part(b"motion=0", "text/plain")
        pace(write, [answer(b"", MIXED, length=None), *(text + each for each in PARTS * 20)], 0.005)
        camera.wait()

    with scripted(script) as camera, Opened(camera.url()) as opened:
        assert len(opened.colours(40)) == 40
        assert opened.counts.broken == 0


ERRORS = {
    "a page": (answer(b"<html>log in</html>", "text/html"), "Content-Type 'text/html'"),
    "a page without a length": (
        answer(b"<html>log in</html>", "text/html", length=None),
        "Content-Type 'text/html'",
    ),
    "Reolink's": (answer(LOGIN_FIRST, "application/json"), "Content-Type 'application/json'"),
    "a page that is called a picture": (
        answer(b"<html>log in</html>", "image/jpeg"),
        "Content-Type 'image/jpeg' without JPEG data",
    ),
    "nothing": (answer(b""), "an empty or truncated response"),
    "nothing of no type": (answer(b"", None), "an empty or truncated response"),
    "half a picture": (answer(RED[:-99], length=len(RED)), "an empty or truncated response"),
    "a picture that cannot be decoded": (
        answer(RED[:300] + RED[-2:]),
        "JPEG data that cannot be decoded",
    ),
}


@pytest.mark.parametrize(("error", "got"), ERRORS.values(), ids=ERRORS)
def test_what_comes_instead_of_pictures_is_named(error: bytes, got: str) -> None:
    """Each answer is looked at, and the same error again is no unchanged picture."""

    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        write(
            error if asked.path == "/never" or asked.number > 2 else answer(COLOURS[asked.number])
        )

    with scripted(script) as camera:
        with pytest.raises(SourceError) as later, Opened(camera.url("/later")) as opened:
            assert opened.colours(3) == ""
        assert opened.counts.overwritten == 0
        assert 5 < (opened.time.now_ns - opened.begun_ns) / 1e9 < 7
        with pytest.raises(SourceError) as first, Opened(camera.url("/never")) as never:
            never.colours(1)
    for caught in (first, later):
        assert caught.value.reason is Failure.NO_PICTURES
        assert caught.value.what == "the camera sends no pictures"
        assert caught.value.got == got


@pytest.mark.parametrize(
    ("fps", "within_seconds"), [(50.0, 2), (1.0, 8), (0.2, 20), (1 / 30, 65), (1 / 60, 65)]
)
def test_a_slow_camera_is_found_out_in_time(fps: float, within_seconds: float) -> None:
    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        write(answer(RED) if asked.number == 1 else answer(LOGIN_FIRST, "text/html"))

    with scripted(script) as camera, Opened(camera.url(), fps=fps) as opened:
        assert opened.colours(1) == "r"
        with pytest.raises(SourceError) as caught:
            opened.source.read(0)
        assert caught.value.reason is Failure.NO_PICTURES
        assert (opened.time.now_ns - opened.begun_ns) / 1e9 < within_seconds


def test_one_broken_picture_among_many_is_only_counted() -> None:
    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        broken = answer(LOGIN_FIRST, "text/html") if asked.number % 3 else answer(RED[:-99])
        write(broken if asked.number % 2 else answer(COLOURS[asked.number // 2 % 3]))

    with scripted(script) as camera:
        with pytest.raises(SourceError), Opened(camera.url(), fps=1.0):
            pass  # the first one is broken
        with Opened(camera.url(), fps=1.0) as opened:
            assert len(opened.colours(20)) == 20
            assert opened.counts.broken == 19


def test_a_camera_may_be_silent_for_so_long_and_no_longer() -> None:
    def script(asked: Asked, write: Callable[[bytes], None]) -> None:
        if asked.path == "/stream":
            write(answer(b"", MIXED, length=None))
        camera.wait(0.3)
        write(answer(RED) if asked.path == "/late" else PARTS[0])
        camera.wait()

    with scripted(script) as camera:
        late = HttpCamera(camera.url("/late"), silent_seconds=0.6)
        assert late.get().read() == RED
        stream = HttpCamera(camera.url("/stream"), silent_seconds=0.6)
        response = stream.get()
        assert stream.read(response, Failure.READ_FAILED) == PARTS[0]
        with pytest.raises(SourceError, match=r"no data for 0\.6 s"):
            stream.read(response, Failure.READ_FAILED)
        never = HttpCamera(camera.url("/late"), silent_seconds=0.1)
        with pytest.raises(SourceError, match=r"no response within 0\.1 s"):
            never.get()
        for each in (late, stream, never):
            each.close()

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from edged.capture.liveness import TimeLimits
from edged.capture.source import CaptureRequest, Failure, Granted, SourceError
from edged.capture.sources.http.client import without_login
from edged.capture.sources.http.http import HttpSource
from edged.capture.supervisor import CameraState
from tests.rig.camera import Notes, next_frame, running, wait_until
from tests.rig.http_camera import Opening, hashed
from tests.rig.mjpeg_server import CameraServer
from tests.rig.pictures import encoded

JPEG = encoded(240, 320)
LOGIN = "Basic " + base64.b64encode(b"vie wer:geh:e@im").decode()


class HttpCamera(CameraServer):
    """A network camera. Every path is a way in which cameras differ."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: HttpCamera
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Authorization", ""))
        self.close_connection = True
        actions: dict[str, Callable[[], None]] = {
            "/stream": self.stream,
            "/bare": self.bare,
            "/chunked": self.chunked,
            "/broken": self.broken,
            "/only-broken": self.only_broken,
            "/burst": self.burst,
            "/bursts": self.bursts,
            "/short": lambda: self.stream(3),
            "/silent": self.silent,
            "/page": lambda: self.answer(200, "text/html"),
            "/no-jpeg": self.no_jpeg,
            "/basic": self.basic,
            "/digest": self.digest,
            "/moved": self.moved,
        }
        actions.get(self.path, lambda: self.answer(404, "text/html"))()

    def answer(self, status: int, content_type: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def part(self, body: bytes, length: int | None = None) -> bytes:
        size = len(body) if length is None else length
        return b"--frame\r\nContent-Length: %d\r\n\r\n%b\r\n" % (size, body)

    def stream(self, frames: int = 10_000) -> None:
        self.answer(200, "multipart/x-mixed-replace; boundary=frame")
        for _ in range(frames):
            self.wfile.write(self.part(JPEG))
            if self.server.gone.wait(0.02):
                return

    def bare(self) -> None:
        self.answer(200, "multipart/x-mixed-replace;boundary=--frame")
        while not self.server.gone.wait(0.02):
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n")

    def chunked(self) -> None:
        content_type = "multipart/x-mixed-replace; boundary=frame"
        self.answer(200, content_type, Transfer_Encoding="chunked")
        while not self.server.gone.wait(0.02):
            part = self.part(JPEG)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))

    def bursts(self) -> None:
        """Of ten, in 0.1 s. Of the next picture a camera may send the head in advance."""
        self.answer(200, "multipart/x-mixed-replace; boundary=frame")
        head = b"--frame\r\nContent-Length: %d\r\n\r\n"
        pictures = [encoded(48, 32 + 2 * number) for number in range(10)]
        self.wfile.write(head % len(pictures[0]))
        while not self.server.gone.is_set():
            for number, picture in enumerate(pictures):
                following = pictures[(number + 1) % 10]
                self.wfile.write(picture + b"\r\n" + head % len(following))
                time.sleep(0.01)
            self.server.gone.wait(0.9)

    def broken(self) -> None:
        self.answer(200, "multipart/x-mixed-replace; boundary=frame")
        for number in range(1000):
            half = number % 2 == 1
            self.wfile.write(self.part(JPEG[: len(JPEG) // 2] if half else JPEG))
            time.sleep(0.02)

    def only_broken(self) -> None:
        self.answer(200, "multipart/x-mixed-replace; boundary=frame")
        for _ in range(200):
            self.wfile.write(self.part(JPEG[:-2]))
            time.sleep(0.005)
        self.server.gone.wait(10)

    def burst(self) -> None:
        """Ten pictures that wait already when the first is read; the last one is blue."""
        self.answer(200, "multipart/x-mixed-replace; boundary=frame")
        self.wfile.write(self.part(JPEG))
        time.sleep(0.3)
        last = encoded(240, 320, (0, 0, 255))
        self.wfile.write(self.part(JPEG) * 9 + self.part(last))
        self.server.gone.wait(10)

    def silent(self) -> None:
        self.answer(200, "multipart/x-mixed-replace; boundary=frame")
        self.wfile.write(self.part(JPEG))
        self.server.gone.wait(30)

    def no_jpeg(self) -> None:
        self.answer(200, "multipart/x-mixed-replace; boundary=frame")
        self.wfile.write(self.part(b"hello"))

    def basic(self) -> None:
        if self.headers.get("Authorization") == LOGIN:
            self.stream()
        else:
            self.answer(401, "text/html", WWW_Authenticate='Basic realm="camera"')

    def digest(self) -> None:
        if self._digest_is_right():
            self.stream()
        else:
            challenge = 'Digest realm="camera", nonce="n0nce", qop="auth", algorithm=MD5'
            self.answer(401, "text/html", WWW_Authenticate=challenge)

    def _digest_is_right(self) -> bool:
        """RFC 2617, section 3.2.2."""
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', self.headers.get("Authorization", "")))
        if "response" not in given:
            return False
        secret = hashed("vie wer:camera:geh:e@im")
        middle = f"n0nce:{given['nc']}:{given['cnonce']}:auth"
        return bool(given["response"] == hashed(f"{secret}:{middle}:{hashed('GET:/digest')}"))

    def moved(self) -> None:
        self.answer(302, "text/html", Location="/stream")


@pytest.fixture
def camera() -> Iterator[HttpCamera]:
    with HttpCamera() as server:
        yield server


class Opened(Opening):
    """A source that is closed at the end."""

    def __init__(self, url: str, max_fps: float | None = None) -> None:
        self.notes = Notes(max_fps)
        self.counts = self.notes.counts
        self.source = HttpSource(CaptureRequest(url), self.notes.admission)


@pytest.mark.parametrize("path", ["/stream", "/bare", "/chunked", "/moved"])
def test_pictures_come_whichever_way_they_are_wrapped(camera: HttpCamera, path: str) -> None:
    with Opened(camera.url(path)) as opened:
        assert opened.granted == Granted(320, 240, None, "MJPEG")
        previous_ns = 0
        for _ in range(10):
            picture = opened.source.read(120)
            assert picture is not None
            assert picture.pixels.shape == (120, 160, 3)
            red, green, blue = picture.pixels[60, 60]
            assert red > 250
            assert green < 5
            assert blue < 5
            assert previous_ns < picture.captured_ns <= picture.received_ns
            assert picture.received_ns - picture.captured_ns < 1_000_000_000
            previous_ns = picture.captured_ns
        counts = opened.counts
        assert counts.captured == 10 + counts.overwritten
        assert counts.broken == 0


def test_of_pictures_that_queue_only_the_newest_is_taken(camera: HttpCamera) -> None:
    with Opened(camera.url("/burst")) as opened:
        opened.source.read(0)
        time.sleep(0.6)  # the pipeline was busy
        picture = opened.source.read(0)
        assert picture is not None
        assert picture.pixels[5, 5, 2] > 250
        assert opened.counts.captured == 11
        assert opened.counts.overwritten == 9


def test_the_last_picture_of_each_burst_comes_also_with_max_fps(camera: HttpCamera) -> None:
    with Opened(camera.url("/bursts"), max_fps=3) as opened:
        pictures = [opened.source.read(0) for _ in range(8)]
        widths = [picture.pixels.shape[1] for picture in pictures if picture is not None]
        assert widths.count(50) >= 3, widths
        counts = opened.counts
        assert counts.captured - counts.skipped - counts.overwritten == 8


def test_half_a_picture_is_counted_broken(camera: HttpCamera) -> None:
    with Opened(camera.url("/broken")) as opened:
        for _ in range(6):
            picture = opened.source.read(0)
            assert picture is not None
            assert picture.pixels.shape == (240, 320, 3)
        counts = opened.counts
        assert counts.broken >= 2
        assert counts.captured == 6 + counts.broken + counts.overwritten


def test_a_camera_that_sends_only_broken_pictures_is_given_up(camera: HttpCamera) -> None:
    opened = Opened(camera.url("/only-broken"))
    with pytest.raises(SourceError, match="got a truncated picture") as caught, opened:
        pass
    assert caught.value.reason is Failure.NO_PICTURES
    assert opened.counts.broken == 50


def test_max_fps_holds_before_decoding(camera: HttpCamera) -> None:
    with Opened(camera.url("/stream"), max_fps=5) as opened:
        pictures = [opened.source.read(0) for _ in range(4)]
        times = [picture.captured_ns for picture in pictures if picture is not None]
        assert len(times) == 4
        assert (times[-1] - times[0]) / 1e9 > 0.5
        assert opened.counts.skipped >= 6


@pytest.mark.parametrize(
    ("path", "message", "reason"),
    [
        (
            "/page",
            "the camera sends no pictures (got Content-Type 'text/html')",
            Failure.NO_PICTURES,
        ),
        (
            "/nowhere",
            "the camera refused the request (got HTTP status 404); check the path",
            Failure.OPEN_FAILED,
        ),
        (
            "/no-jpeg",
            "the camera sends no pictures (got the end of the stream)",
            Failure.NO_PICTURES,
        ),
        ("/basic", "the camera refused the login (got HTTP status 401)", Failure.UNAUTHORIZED),
        ("/digest", "the camera refused the login (got HTTP status 401)", Failure.UNAUTHORIZED),
    ],
)
def test_what_cannot_be_opened(
    camera: HttpCamera, path: str, message: str, reason: Failure
) -> None:
    for login in ("", "viewer:hunter2@"):
        url = camera.url(path, login)
        expected = message if login else message.replace("refused the login", "requires a login")
        with pytest.raises(SourceError, match=re.escape(expected)) as caught, Opened(url):
            pass
        assert caught.value.reason is reason
        assert "hunter2" not in str(caught.value)
    assert len(camera.asked) <= 4  # a refused password is not tried again and again


@pytest.mark.parametrize("path", ["/basic", "/digest"])
def test_the_login_from_the_url(camera: HttpCamera, path: str) -> None:
    with Opened(camera.url(path, "vie%20wer:geh%3Ae%40im@")) as opened:
        assert opened.source.read(0) is not None
    assert camera.asked[0] == ""  # not sent before it was asked for


def test_addresses_that_do_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for url, message in (
        (f"http://127.0.0.1:{port}/", "connection failed: Connection refused"),
        ("http://camera.invalid/", "connection failed"),
        ("http:///stream", "invalid URL"),
        ("http://camera:99999/", "invalid URL"),
        ("http://us/er:pass@camera/", "connection failed"),
        ("http://[::1/", "invalid URL"),
    ):
        with pytest.raises(SourceError, match=message) as caught, Opened(url):
            pass
        assert caught.value.reason is Failure.OPEN_FAILED


def test_the_end_of_the_stream_is_a_failure(camera: HttpCamera) -> None:
    with (
        Opened(camera.url("/short")) as opened,
        pytest.raises(SourceError, match="the camera ended the stream") as caught,
    ):
        for _ in range(4):
            opened.source.read(0)
    assert caught.value.reason is Failure.READ_FAILED


def test_urls_without_their_login() -> None:
    assert without_login("http://u:p%40@cam:81/a?b=1#c") == ("http://cam:81/a?b=1#c", "u", "p@")
    assert without_login("http://cam/a") == ("http://cam/a", None, "")
    assert without_login("https://u@cam/a") == ("https://cam/a", "u", "")


def test_the_whole_way_to_the_mailbox_and_back_after_the_camera_was_gone(
    camera: HttpCamera,
) -> None:
    limits = TimeLimits(pause=0.2)
    request = CaptureRequest(camera.url("/stream"), flip="horizontal")
    with running(request, wanted=120, limits=limits) as (watched, mailbox):
        frame = next_frame(mailbox)
        assert frame.pixels.shape == (120, 120, 3)
        assert np.all(frame.pixels[..., 0] > 250)
        assert wait_until(lambda: watched.state is CameraState.STREAMING)
        camera.gone.set()  # streams end at once; a new one ends after its first picture
        assert wait_until(lambda: watched.restarts[Failure.READ_FAILED] >= 1)
        camera.gone.clear()
        before = mailbox.captured
        assert wait_until(lambda: mailbox.captured > before + 20)


def test_a_silent_camera_has_stalled(camera: HttpCamera) -> None:
    limits = TimeLimits(first_frame=2.0)
    with running(CaptureRequest(camera.url("/silent")), limits=limits) as (watched, mailbox):
        next_frame(mailbox)
        assert wait_until(lambda: watched.restarts[Failure.STALLED] >= 1)

"""Single pictures over HTTP, from a real server. Every path is a way in which cameras differ."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import pytest

from edged.capture.liveness import TimeLimits
from edged.capture.source import CaptureRequest, Failure, Granted, SourceError
from edged.capture.sources.http.auth import Login
from edged.capture.sources.http.http import HttpSource
from edged.capture.supervisor import CameraState
from tests.rig.camera import Counts, FakeTime, Notes, next_frame, running, wait_until
from tests.rig.http_camera import Opening, hashed
from tests.rig.mjpeg_server import CameraServer
from tests.rig.pictures import encoded

RED = encoded(240, 320)
BLUE = encoded(240, 320, (0, 0, 255))
BASIC = "Basic " + base64.b64encode(b"viewer:geheim").decode()


class SnapshotCamera(CameraServer):
    """A camera that gives one picture for each question."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.asked: list[dict[str, str]] = []
        self.sent = self.connections = 0

    def get_request(self) -> tuple[socket.socket, object]:
        self.connections += 1
        return super().get_request()


class Handler(BaseHTTPRequestHandler):
    server: SnapshotCamera
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        count = len(self.server.asked)
        turns = BLUE if self.server.sent % 2 else RED
        actions: dict[str, Callable[[], None]] = {
            "/turns": lambda: self.answer(turns),
            "/turns?a=b%20c": lambda: self.answer(turns),
            "/unnamed": lambda: self.answer(turns, content_type="application/octet-stream"),
            "/closing": lambda: self.answer(turns, Connection="close"),
            "/rude": lambda: self.rude(turns),
            "/endless": lambda: self.until_the_end(turns),
            "/chunked": lambda: self.chunked(turns),
            "/same": lambda: self.answer(RED if count < 4 else BLUE),
            "/etag": lambda: self.etag(b"abc"[min((count - 1) // 3, 2)]),
            "/modified": lambda: self.answer(turns, Last_Modified="Sat, 31 Jan 2026 12:00:00 GMT"),
            "/half": lambda: self.half(count),
            "/broken": lambda: self.answer(RED if count == 1 else RED[:-2] + bytes([count % 251])),
            "/huge": lambda: self.huge() if count == 2 else self.answer(turns),
            "/page": lambda: self.answer(b"<html>", content_type="text/html; charset=utf-8"),
            "/no-jpeg": lambda: self.answer(b"<html>"),
            "/nothing": lambda: self.answer(b""),
            "/basic": lambda: self.basic(turns),
            "/digest": lambda: self.digest(turns, "MD5"),
            "/stale": lambda: self.digest(turns, f"MD5, nonce=n{(count - 1) // 5}, stale=true"),
            "/revoked": lambda: self.basic(turns) if count < 4 else self.answer(b"", 401),
            "/busy": lambda: self.answer(turns) if count < 3 else self.answer(b"", 503),
            "/moved": lambda: self.answer(b"", 302, Location="/turns"),
            "/circle": lambda: self.answer(b"", 302, Location="/circle"),
            "/elsewhere": lambda: self.answer(b"", 302, Location="ftp://127.0.0.1/a.jpg"),
            "/other-host": lambda: self.answer(
                b"", 302, Location=f"http://localhost:{self.server.server_port}/basic"
            ),
        }
        actions.get(self.path, lambda: self.answer(b"", 404))()

    def answer(
        self, body: bytes, status: int = 200, *, content_type: str = "image/jpeg", **headers: str
    ) -> None:
        self.server.sent += status == 200
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def rude(self, body: bytes) -> None:
        """Closes a connection that it promised to keep."""
        self.answer(body)
        self.close_connection = True

    def until_the_end(self, body: bytes) -> None:
        """Says no length, as small boards do."""
        self.server.sent += 1
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def chunked(self, body: bytes) -> None:
        self.server.sent += 1
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    def etag(self, tag: int) -> None:
        if self.headers.get("If-None-Match") == f'"{tag}"':
            self.send_response(304)
            self.end_headers()
        else:
            self.answer(RED + bytes([tag]), ETag=f'"{tag}"')

    def half(self, count: int) -> None:
        if count % 2:
            self.answer(RED if count % 4 == 1 else BLUE)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(RED)))
        self.end_headers()
        self.wfile.write(RED[: len(RED) // 2])
        self.close_connection = True

    def huge(self) -> None:
        """A picture that does not end."""
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.end_headers()
        with suppress(OSError):
            while not self.server.gone.is_set():
                self.wfile.write(RED * 1000)
        self.close_connection = True

    def basic(self, body: bytes) -> None:
        if self.headers.get("Authorization") == BASIC:
            self.answer(body)
        else:
            self.answer(b"", 401, WWW_Authenticate='Basic realm="camera"')

    def digest(self, body: bytes, asked: str) -> None:
        """Takes each count of answers to its challenge once."""
        nonce = (re.findall(r"nonce=(n\d)", asked) or ["n"])[0]
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', self.headers.get("Authorization", "")))
        secret = hashed("viewer:camera:geheim")
        middle = f"{nonce}:{given.get('nc')}:{given.get('cnonce')}:auth"
        path = hashed(f"GET:{self.path}")
        if given.get("response") == hashed(f"{secret}:{middle}:{path}"):
            self.answer(body)
        else:
            challenge = f'Digest realm="camera", qop="auth", nonce="{nonce}", algorithm=MD5'
            self.answer(b"", 401, WWW_Authenticate=challenge)


@pytest.fixture
def camera() -> Iterator[SnapshotCamera]:
    with SnapshotCamera() as server:
        yield server


class Opened(Opening):
    """A source on a clock that only moves when it sleeps; it is closed at the end."""

    def __init__(self, url: str, **request: float) -> None:
        self.time = FakeTime()
        self.notes = Notes(request.get("max_fps"))
        self.counts = self.notes.counts
        self.source = HttpSource(
            CaptureRequest(url, **request),  # type: ignore[arg-type]
            self.notes.admission,
            clock=self.time.clock,
            sleep=self.time.sleep,
        )

    def read(self, pictures: int) -> list[tuple[str, int]]:
        """(colour, when it was captured) of each."""
        found = []
        for _ in range(pictures):
            picture = self.source.read(120)
            assert picture is not None
            assert picture.pixels.shape == (120, 160, 3)
            assert picture.captured_ns <= picture.received_ns
            red, _, blue = (int(level) for level in picture.pixels[60, 60])
            assert abs(red - blue) > 200
            found.append(("red" if red > blue else "blue", picture.captured_ns))
        return found


def failure(url: str, pictures: int = 0, **request: float) -> SourceError:
    with pytest.raises(SourceError) as caught, Opened(url, **request) as opened:
        opened.read(pictures)
    return caught.value


@pytest.mark.parametrize(
    "path",
    ["/turns", "/turns?a=b%20c", "/unnamed", "/closing", "/rude", "/endless", "/chunked", "/moved"],
)
def test_pictures_come_whichever_way_they_are_sent(camera: SnapshotCamera, path: str) -> None:
    with Opened(camera.url(path)) as opened:
        assert opened.granted == Granted(320, 240, 2.0, "JPEG pictures")
        found = opened.read(5)
        assert [colour for colour, _ in found] == ["red", "blue", "red", "blue", "red"]
        assert [captured_ns - found[0][1] for _, captured_ns in found] == [
            n * 500_000_000 for n in range(5)
        ]
        assert opened.counts == Counts(captured=5)


def test_the_connection_is_kept(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/turns")) as opened:
        opened.read(10)
    assert len(camera.asked) == 10
    assert camera.connections == 1


@pytest.mark.parametrize(
    ("request_", "interval_ns"),
    [({"fps": 5.0}, 200_000_000), ({"fps": 5.0, "max_fps": 1.0}, 1_000_000_000)],
)
def test_the_rate_is_the_one_asked_for(
    camera: SnapshotCamera, request_: dict[str, float], interval_ns: int
) -> None:
    with Opened(camera.url("/turns"), **request_) as opened:
        assert opened.granted.fps == 1e9 / interval_ns  # how long silence is no fault
        times = [captured_ns for _, captured_ns in opened.read(4)]
        assert times == [times[0] + n * interval_ns for n in range(4)]
    assert len(camera.asked) == 4  # nothing is fetched only to be thrown away


def test_changed_views_need_not_wait_for_the_next_picture(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/turns"), max_fps=0.01) as opened:
        (first,) = opened.read(1)
        opened.notes.admission.renew()
        second, third = opened.read(2)
        opened.notes.admission.limit_to(1)
        times = [taken[1] - first[1] for taken in (second, third, *opened.read(1))]
        assert times == [500_000_000, 100_500_000_000, 101_500_000_000]


def test_what_was_missed_is_not_made_up_for(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/turns")) as opened:
        opened.read(1)
        opened.time.sleep(10)
        times = [captured_ns for _, captured_ns in opened.read(3)]
        assert [times[1] - times[0], times[2] - times[1]] == [500_000_000, 500_000_000]


def test_the_same_picture_again_is_no_new_one(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/same")) as opened:
        (first, second) = opened.read(2)
        assert (first[0], second[0]) == ("red", "blue")
        assert second[1] - first[1] == 1_500_000_000
        assert opened.counts == Counts(captured=4, overwritten=2)


def test_the_camera_is_asked_for_a_new_picture_only(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/etag")) as opened:
        opened.read(3)
        assert opened.counts == Counts(captured=7, overwritten=4)
    assert [headers.get("If-None-Match") for headers in camera.asked] == [
        *(None, '"97"', '"97"', '"97"', '"98"', '"98"', '"98"'),
    ]
    assert camera.connections == 1


@pytest.mark.parametrize(("fps", "asks"), [(1.0, True), (2.0, False)])
def test_a_date_counts_in_seconds(camera: SnapshotCamera, fps: float, asks: bool) -> None:
    with Opened(camera.url("/modified"), fps=fps) as opened:
        opened.read(2)
    assert ("If-Modified-Since" in camera.asked[1]) is asks


def test_a_picture_that_never_changes_is_frozen_where_that_is_asked_for(
    camera: SnapshotCamera,
) -> None:
    error = failure(camera.url("/etag"), 4, frozen_after_seconds=5)
    assert error.reason is Failure.FROZEN
    assert "the picture has not changed for 5 s" in str(error)
    assert len(camera.asked) == 7 + 10  # the last new one is the seventh


def test_half_a_picture_is_counted_broken(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/half")) as opened:
        assert [colour for colour, _ in opened.read(4)] == ["red", "blue", "red", "blue"]
        assert opened.counts == Counts(captured=7, broken=3)


def test_a_camera_that_sends_only_broken_pictures_is_given_up(camera: SnapshotCamera) -> None:
    error = failure(camera.url("/broken"), 2)
    assert error.reason is Failure.NO_PICTURES
    assert "the camera sends no pictures (got JPEG data that cannot be decoded)" in str(error)
    assert len(camera.asked) == 12  # the first is whole; then two a second, for five seconds


def test_a_picture_without_end_is_given_up(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/huge")) as opened:
        assert [colour for colour, _ in opened.read(2)] == ["red", "blue"]
        assert opened.counts == Counts(captured=3, broken=1)


@pytest.mark.parametrize(
    ("path", "message", "reason"),
    [
        ("/page", "sends no pictures (got Content-Type 'text/html; char", Failure.NO_PICTURES),
        ("/no-jpeg", "(got Content-Type 'image/jpeg' without JPEG data)", Failure.NO_PICTURES),
        ("/nothing", "(got an empty or truncated response)", Failure.NO_PICTURES),
        (
            "/nowhere",
            "the camera refused the request (got HTTP status 404); check the path",
            Failure.OPEN_FAILED,
        ),
        ("/circle", "too many redirects", Failure.OPEN_FAILED),
        ("/elsewhere", "redirect to another scheme", Failure.OPEN_FAILED),
        ("/basic", "the camera refused the login (got HTTP status 401)", Failure.UNAUTHORIZED),
        ("/digest", "the camera refused the login (got HTTP status 401)", Failure.UNAUTHORIZED),
        ("/other-host", "redirects to localhost, which requires a", Failure.UNAUTHORIZED),
    ],
)
def test_what_cannot_be_opened(
    camera: SnapshotCamera, path: str, message: str, reason: Failure
) -> None:
    for login in ("", "viewer:hunter2@"):
        error = failure(camera.url(path, login))
        expected = message if login else message.replace("refused the login", "requires a login")
        assert error.reason is reason
        assert expected in str(error)
        assert "hunter2" not in str(error)
    given = [headers["Authorization"] for headers in camera.asked if "Authorization" in headers]
    assert len(given) == (path in ("/basic", "/digest"))  # one wrong password, and one try


@pytest.mark.parametrize("path", ["/basic", "/digest"])
def test_the_login_is_sent_along_once_it_was_asked_for(camera: SnapshotCamera, path: str) -> None:
    with Opened(camera.url(path, "viewer:geheim@")) as opened:
        opened.read(5)
    given = ["Authorization" in headers for headers in camera.asked]
    assert given == [False, True, True, True, True, True]
    assert camera.connections == 2  # the answer to the question takes a new one


def test_a_login_does_not_go_to_another_host(camera: SnapshotCamera) -> None:
    error = failure(camera.url("/other-host", "viewer:geheim@"))
    assert error.reason is Failure.UNAUTHORIZED
    assert len(camera.asked) == 2
    assert not any("Authorization" in headers for headers in camera.asked)


def test_a_challenge_that_grew_old_is_answered_anew(camera: SnapshotCamera) -> None:
    with Opened(camera.url("/stale", "viewer:geheim@")) as opened:
        opened.read(9)
    refused = len(camera.asked) - 9
    assert refused == 3  # the first question, and two that came with an old answer


def test_a_login_that_is_taken_back(camera: SnapshotCamera) -> None:
    error = failure(camera.url("/revoked", "viewer:geheim@"), 9)
    assert error.reason is Failure.UNAUTHORIZED
    assert len(camera.asked) == 4  # the question, two pictures, and what was refused


def test_a_camera_that_refuses_later(camera: SnapshotCamera) -> None:
    error = failure(camera.url("/busy"), 3)
    assert error.reason is Failure.READ_FAILED
    assert "HTTP status 503" in str(error)


def test_a_password_beyond_ascii() -> None:
    login = Login("käfer", "geheim")
    assert login.understands(['Basic realm="x", charset="UTF-8"'])
    expected = base64.b64encode("käfer:geheim".encode()).decode()
    assert login.authorization("/") == f"Basic {expected}"


def test_the_whole_way_to_the_mailbox(camera: SnapshotCamera) -> None:
    request = CaptureRequest(camera.url("/turns"), fps=50)
    with running(request, wanted=120, limits=TimeLimits(pause=0.2)) as (watched, mailbox):
        assert next_frame(mailbox).pixels.shape == (120, 120, 3)
        assert wait_until(lambda: watched.state is CameraState.STREAMING)
        before = mailbox.captured
        assert wait_until(lambda: mailbox.captured > before + 20)


def test_a_camera_that_changes_seldom_has_not_stalled(camera: SnapshotCamera) -> None:
    limits = TimeLimits(stall=2.0, stall_frames=2)
    request = CaptureRequest(camera.url("/same"), fps=20)
    with running(request, limits=limits) as (watched, mailbox):
        next_frame(mailbox)
        assert wait_until(lambda: mailbox.captured > 80)  # 4 s, nearly all of one picture
        assert mailbox.sequence == 2
        assert watched.restarts[Failure.STALLED] == 0

"""What RTSP cameras do beside streaming well: refuse, jump in time, pause, burst, speak oddly.

FFmpeg hands a picture over when it sees the beginning of the next one: of all that was sent the
last one but one is the newest that can be had.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from edged.capture.mailbox import Mailbox
from edged.capture.source import CaptureRequest, Failure, SourceError
from edged.capture.sources.rtsp.stream import StreamSource
from edged.capture.supervisor import CameraState
from edged.clock import monotonic_ns
from tests.rig.camera import Notes, next_frame, running, wait_until
from tests.rig.rtsp_camera import Answer, Coded, RtspCamera, grey_pictures, level

LEVELS = [20 + 2 * n for n in range(100)]


def refused(camera: RtspCamera, login: str = "", **wishes: float) -> SourceError:
    request = CaptureRequest(camera.url(login), **wishes)  # type: ignore[arg-type]
    source = StreamSource(request, Notes().admission)
    with pytest.raises(SourceError) as caught, closing(source):
        source.open()
    assert "S3cret" not in str(caught.value)
    return caught.value


def always(status: str, *headers: str) -> Answer:
    return lambda request: "\r\n".join((status, *headers, ""))


@pytest.mark.parametrize(
    ("method", "status", "words", "reason"),
    [
        ("DESCRIBE", "453 Not Enough Bandwidth", "the camera has too many viewers", "open_failed"),
        ("DESCRIBE", "404 Not Found", "the camera has no such stream", "open_failed"),
        ("DESCRIBE", "503 Service Unavailable", "the camera is busy", "open_failed"),
        ("PLAY", "454 Session Not Found", "the camera has dropped the session", "open_failed"),
        (
            "DESCRIBE",
            "400 Bad Request",
            "the camera refused the request (got 400 Bad Request)",
            "open_failed",
        ),
        (
            "SETUP",
            "500 Out\x1b[31m of\x07",
            r"refused the request (got 500 Out\x1b[31m of\x07)",
            "open_failed",
        ),
        ("DESCRIBE", "403 Forbidden", "the camera denies access to this stream", "unauthorized"),
        ("SETUP", "461 Unsupported Transport", "the camera refused TCP and UDP", "open_failed"),
    ],
)
def test_each_refusal_has_its_words(method: str, status: str, words: str, reason: str) -> None:
    with RtspCamera(answers={method: always(status)}) as camera:
        error = refused(camera)
    assert words in str(error)
    assert status.partition(" ")[0] in str(error)
    assert error.reason is Failure(reason)


@pytest.mark.parametrize(
    ("login", "query"), [("admin:Qz7!xKw9@", ""), ("admin:Qz7%21xKw9@", ""), ("", "?p=Qz7!xKw9")]
)
def test_a_password_that_the_camera_repeats_is_masked(login: str, query: str) -> None:
    """Also where the answer is cut."""
    status = f"404 nothing at {'x' * 53} for Qz7!xKw9"
    with RtspCamera(answers={"DESCRIBE": always(status)}) as camera:
        url = camera.url(login) + query
        with pytest.raises(SourceError, match="no such stream") as caught:
            StreamSource(CaptureRequest(url), Notes().admission).open()
    assert "Qz7" not in str(caught.value)


def test_a_scheme_in_capitals_is_the_same() -> None:
    with RtspCamera(answers={"DESCRIBE": always("404 Not Found")}) as camera:
        url = camera.url().replace("rtsp://", "RTSP://")
        with pytest.raises(SourceError, match="the camera has no such stream"):
            StreamSource(CaptureRequest(url), Notes().admission).open()


MD5 = 'WWW-Authenticate: Digest realm="cam", nonce="1"'
SHA = 'WWW-Authenticate: Digest realm="cam", nonce="1", algorithm=SHA-256'
BASIC = 'WWW-Authenticate: Basic realm="cam"'


@pytest.mark.parametrize(
    ("login", "offers", "words", "tried"),
    [
        ("", (MD5,), "the camera requires a login", 0),
        ("", (SHA,), "the camera requires a login", 0),
        ("u:S3cret@", (MD5,), "the camera refused the login", 1),
        ("u:S3cret@", (SHA, MD5), "the camera refused the login", 1),
        ("u:S3cret@", (BASIC,), "the camera refused the login", 1),
        (
            "u:S3cret@",
            (SHA,),
            "requires Digest SHA-256 authentication, which FFmpeg does not support",
            0,
        ),
        (
            "u:S3cret@",
            (MD5, SHA),
            "requires Digest SHA-256 authentication, which FFmpeg does not support",
            0,
        ),
        (
            "u:S3cret@",
            ("WWW-Authenticate: Bearer x",),
            "requires BEARER authentication, which FFmpeg",
            0,
        ),
    ],
)
def test_a_login_is_refused_only_where_it_was_tried(
    login: str, offers: tuple[str, ...], words: str, tried: int
) -> None:
    with RtspCamera(answers={"DESCRIBE": always("401 Unauthorized", *offers)}) as camera:
        error = refused(camera, login)
        sent = sum("\nAuthorization:" in request for request in camera.requests)
    assert words in str(error)
    assert error.reason is Failure.UNAUTHORIZED
    assert sent == tried


def test_a_codec_that_is_not_known_and_a_name_in_another_alphabet() -> None:
    with RtspCamera(format="VND.WEIRD/90000") as camera:
        error = refused(camera, stalled_after_seconds=2)
    assert "video in a format that FFmpeg does not decode" in str(error)
    pictures = grey_pictures(LEVELS)
    with RtspCamera(steadily(pictures), parameters=pictures[0], name=b"T\xfcr") as camera:
        assert 18 <= first_level(camera) <= 220


def test_something_else_that_answers_on_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 400 Bad\x1b Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(
            SourceError, match=r"the response is not RTSP \(got HTTP/1.1 400 Bad\\x1b"
        ):
            StreamSource(CaptureRequest(url), Notes().admission).open()
        thread.join()


def steadily(pictures: list[Coded], every: float = 0.04) -> object:
    def play(camera: RtspCamera) -> None:
        for number, picture in enumerate(pictures):
            camera.send(picture, number * 0.04)
            camera.wait(every)

    return play


def first_level(camera: RtspCamera) -> int:
    notes = Notes()
    source = StreamSource(CaptureRequest(camera.url()), notes.admission)
    with closing(source):
        granted = source.open()
        assert (granted.width, granted.height) == (64, 48)
        picture = source.read(48)
    assert picture is not None
    return level(picture.pixels)


@pytest.mark.parametrize("status", ["461 Unsupported Transport", "406 TCP IS NOT SUPPORTED"])
def test_a_camera_that_gives_its_stream_over_udp_only(status: str) -> None:
    pictures = grey_pictures(LEVELS, gop=5)

    def setup(request: str) -> str | bytes:
        return status + "\r\n" if "TCP" in request else camera._setup(request)

    camera = RtspCamera(steadily(pictures), answers={"SETUP": setup}, parameters=pictures[0])
    with camera:
        assert 18 <= first_level(camera) <= 220


def test_a_size_that_only_the_first_key_frame_tells() -> None:
    """It comes after two seconds, and nothing of it stands in the description."""
    pictures = grey_pictures(LEVELS, gop=50)
    with RtspCamera(steadily(pictures[20:])) as camera:
        assert first_level(camera) >= 20 + 2 * 50


def test_a_part_is_measured_by_the_size_that_comes(caplog: pytest.LogCaptureFixture) -> None:
    pictures = grey_pictures(LEVELS, gop=50)
    with watched(RtspCamera(steadily(pictures[20:])), roi=(0, 0, 0.5, 0.5)) as seen:
        next_frame(seen.mailbox)
    (told,) = [each.getMessage() for each in caplog.records if "roi is" in each.getMessage()]
    assert "roi is 32x24 pixels of 64x48" in told


class Watched:
    """Pictures as they come: (level, when)."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    def until(self, wanted: int, seconds: float = 8) -> list[int]:
        """Levels seen, the last of them the wanted one."""
        seen: list[int] = []
        end = time.monotonic() + seconds
        while not seen or abs(seen[-1] - wanted) > 1:
            assert time.monotonic() < end, f"waited for {wanted}, saw {seen}"
            seen.append(level(next_frame(self.mailbox, seconds).pixels))
        return seen


@contextmanager
def watched(camera: RtspCamera, **wishes: object) -> Iterator[Watched]:
    request = CaptureRequest(camera.url(), **wishes)  # type: ignore[arg-type]
    with camera, running(request, wanted=48, longest_side=64) as (supervised, mailbox):
        yield Watched(mailbox)
        assert not any(supervised.restarts.values()), supervised.last_error
        assert wait_until(lambda: supervised.state is CameraState.STREAMING)


JUMPS = {
    "back by a day": [n * 0.04 + (90_000 if n < 30 else 0) for n in range(70)],
    "back by less than a second": [n * 0.04 - (0.9 if n >= 30 else 0) for n in range(70)],
    "ahead by an hour": [n * 0.04 + (3600 if n >= 30 else 0) for n in range(70)],
    "to and fro": [n * 0.04 + (500 if n // 10 % 2 else 0) for n in range(70)],
    "stands still": [1.0] * 70,
}
STEADY = ("back by less than a second", "to and fro")


@pytest.mark.parametrize(
    ("stamps", "every"),
    [*((stamps, 0.0) for stamps in JUMPS.values()), *((JUMPS[name], 0.015) for name in STEADY)],
    ids=[*JUMPS, *(f"{name}, steadily" for name in STEADY)],
)
def test_the_newest_picture_comes_whatever_its_time_stamps_say(
    stamps: list[float], every: float
) -> None:
    pictures = grey_pictures([20 + 3 * n for n in range(70)])

    def play(camera: RtspCamera) -> None:
        for picture, stamp in zip(pictures, stamps, strict=True):
            camera.send(picture, 10_000 + stamp)
            camera.wait(every)

    with watched(RtspCamera(play, parameters=pictures[0])) as seen:
        levels = seen.until(20 + 3 * 68)
        assert len(levels) >= (1 if every == 0 else 10)


@pytest.mark.parametrize("gop", [250, 7], ids=["one key frame", "key frames inside the bursts"])
def test_the_last_picture_of_each_burst_comes_also_with_max_fps(gop: int) -> None:
    pictures = grey_pictures([20 + n for n in range(160)], gop=gop)
    burst = 40

    def play(camera: RtspCamera) -> None:
        for number, picture in enumerate(pictures):
            camera.send(picture, number * 0.02)
            if (number + 1) % burst == 0:
                camera.wait(burst * 0.02)

    with watched(RtspCamera(play, parameters=pictures[0]), max_fps=3.0) as seen:
        for last in range(2 * burst - 2, 160, burst):
            assert len(seen.until(20 + last, 8)) <= 4


def test_a_camera_that_announces_25_fps_and_sends_one_in_3_s_is_waited_for() -> None:
    """Its time stamps count as if it sent 25; its pictures are new all the same."""
    pictures = grey_pictures([20, 40, 60, 80, 100, 120])
    with watched(RtspCamera(steadily(pictures, 2.2), parameters=pictures[0])) as seen:
        seen.until(100, 25)
        frame = seen.mailbox.latest
        assert frame is not None
        assert monotonic_ns() - frame.captured_ns < 2_000_000_000  # else it would be 6 s old


def test_a_stream_that_falls_silent_is_noticed_as_soon_as_its_pace_says() -> None:
    pictures = grey_pictures(LEVELS[:60])
    with (
        RtspCamera(steadily(pictures), parameters=pictures[0]) as camera,
        running(CaptureRequest(camera.url()), wanted=48, longest_side=64) as (supervised, mailbox),
    ):
        assert wait_until(lambda: mailbox.captured >= 60)
        begun = time.monotonic()
        assert wait_until(lambda: supervised.restarts[Failure.STALLED] == 1)
        assert time.monotonic() - begun < 8

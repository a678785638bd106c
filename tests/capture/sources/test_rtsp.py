"""RTSP cameras against a real server: GStreamer's, run by the distribution's own Python."""

from __future__ import annotations

import re
import signal
import socket
import time

import numpy as np
import pytest

from edged.capture.liveness import TimeLimits
from edged.capture.source import CaptureRequest, Failure, SourceError
from edged.capture.sources.rtsp.server import RtspServer
from edged.capture.supervisor import CameraState
from edged.clock import monotonic_ns
from tests.rig.camera import next_frame, running, wait_until
from tests.rig.ports import free_port
from tests.rig.rtsp import Opened, needs_gstreamer, servers, serving, url

LIMITS = TimeLimits(pause=0.3, pause_longest=0.6)


@servers
@needs_gstreamer
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_pictures_in_colour_at_the_size_wanted_and_in_time(codec: str) -> None:
    port = free_port()
    name = "hevc" if codec == "h265" else codec
    with serving(port, "--codec", codec, "--fps", "25"), Opened(url(port)) as opened:
        granted = opened.granted
        assert (granted.width, granted.height, granted.format) == (640, 360, name)
        assert granted.fps == pytest.approx(25, abs=0.5)
        times = []
        for _ in range(60):
            picture = opened.source.read(224)
            assert picture is not None
            assert picture.pixels.shape == (224, 398, 3)
            red, green, blue = picture.pixels[100, 100].tolist()
            assert red > 240
            assert green < 15
            assert blue < 15
            assert picture.captured_ns <= picture.received_ns <= monotonic_ns()
            times.append(picture.captured_ns)
        gaps_ms = np.diff(times[20:]) / 1e6
        assert np.median(gaps_ms) == pytest.approx(40, abs=2)
        counts = opened.counts
        assert counts.broken == 0
        assert counts.captured >= 60


@servers
@needs_gstreamer
def test_a_reader_that_was_away_does_not_stay_behind() -> None:
    port = free_port()
    with serving(port, "--gop", "10"), Opened(url(port)) as opened:
        for _ in range(50):
            opened.source.read(64)
        time.sleep(4)
        read = 0
        while True:
            picture = opened.source.read(64)
            assert picture is not None
            read += 1
            if monotonic_ns() - picture.captured_ns < 100_000_000:
                break
            assert read < 120
        # It drained what had queued up, most of it unconverted.
        assert opened.counts.overwritten > 20


@servers
@needs_gstreamer
def test_max_fps() -> None:
    port = free_port()
    with serving(port), Opened(url(port), max_fps=5) as opened:
        for _ in range(8):
            assert opened.source.read(64) is not None
        assert opened.counts.skipped >= 20


@servers
@needs_gstreamer
def test_the_login() -> None:
    port = free_port()
    with serving(port, "--password", "geh:e@im"):
        for login, words in (
            ("", "requires a login"),
            ("viewer:hunter2@", "refused the login"),
        ):
            address = url(port, login)
            with pytest.raises(SourceError, match=words) as caught, Opened(address):
                pass
            assert caught.value.reason is Failure.UNAUTHORIZED
            assert "hunter2" not in str(caught.value)
        with Opened(url(port, "viewer:geh%3Ae%40im@")) as opened:
            assert opened.source.read(64) is not None


@servers
@needs_gstreamer
def test_a_wrong_path() -> None:
    port = free_port()
    with (
        serving(port),
        pytest.raises(SourceError, match=r"no such stream.*check the path") as caught,
        Opened(url(port, path="/kitchen")),
    ):
        pass
    assert caught.value.reason is Failure.OPEN_FAILED


@servers
@needs_gstreamer
def test_a_server_that_comes_and_goes() -> None:
    port = free_port()
    with running(CaptureRequest(url(port)), wanted=128, limits=LIMITS) as (camera, mailbox):
        assert wait_until(lambda: camera.restarts[Failure.OPEN_FAILED] >= 2)
        assert camera.last_error is not None
        assert "Connection refused" in camera.last_error
        assert mailbox.captured == 0
        with serving(port):
            frame = next_frame(mailbox, 30)
            assert frame.pixels.shape == (128, 128, 3)
            assert np.all(frame.pixels[64, 64] >= (240, 0, 0))
            assert wait_until(lambda: camera.state is CameraState.STREAMING)
        assert wait_until(lambda: camera.state is not CameraState.STREAMING)
        gone = sum(camera.restarts.values())
        before = mailbox.sequence
        assert wait_until(lambda: sum(camera.restarts.values()) > gone)
        with serving(port):
            assert wait_until(lambda: mailbox.sequence > before + 20, 30)
            assert wait_until(lambda: camera.state is CameraState.STREAMING)


@servers
@needs_gstreamer
def test_a_server_that_falls_silent_has_stalled_and_comes_back() -> None:
    port = free_port()
    with (
        serving(port) as server,
        running(CaptureRequest(url(port)), limits=LIMITS) as (camera, mailbox),
    ):
        next_frame(mailbox, 30)
        assert wait_until(lambda: mailbox.captured > 50)  # how its pictures come is known
        server.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: camera.restarts[Failure.STALLED] == 1)
        server.send_signal(signal.SIGCONT)
        mailbox.take()
        begun = mailbox.sequence
        assert wait_until(lambda: mailbox.sequence > begun + 10, 30)


def test_addresses_that_do_not_answer() -> None:
    port = free_port()
    for address, words in (
        (url(port), "connection failed: Connection refused"),
        ("rtsp://camera.invalid/live", "unknown host"),
        ("rtsp:///live", "invalid URL"),
        ("rtsp://viewer:hun/ter2@camera.invalid/live", "invalid URL"),
        ("rtsp://camera:99999/live", "invalid URL"),
    ):
        with pytest.raises(SourceError, match=words) as caught, Opened(address):
            pass
        assert caught.value.reason is Failure.OPEN_FAILED
        assert "ter2" not in str(caught.value)


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Nobody accepts: the connection stands, and nothing ever comes.
        server = RtspServer(url(listener.getsockname()[1]), answer_seconds=0.5)
        with pytest.raises(SourceError, match=re.escape("no response within 0.5 s")):
            server.knock()

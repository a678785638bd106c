from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edged.capture.frame import Frame
from edged.capture.liveness import TimeLimits
from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.capture.messages import Ended, Failed, Note, Opened, Status
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, Quiet, SourceError
from edged.capture.sources.table import KINDS, Kind, kind_of, make_source
from edged.capture.supervisor import Camera, CameraState
from edged.capture.worker import capture, clamped
from edged.clock import monotonic_ns
from tests.rig.camera import (
    A_DAEMON,
    Notes,
    alive,
    command_line,
    next_frame,
    only_worker,
    running,
    taken,
    wait_until,
    workers_of,
)

DRAWN = CaptureRequest("synthetic:320x240@50")


def kill_and_return(camera: Camera, mailbox: Mailbox) -> Frame:
    """Kills the worker; the first picture of its successor."""
    kills = camera.restarts[Failure.KILLED]
    os.kill(only_worker(), signal.SIGKILL)
    assert wait_until(lambda: camera.restarts[Failure.KILLED] == kills + 1)
    mailbox.take()  # what came before the kill
    return next_frame(mailbox)


def test_a_killed_worker_is_replaced() -> None:
    shm = Path("/dev/shm")
    before = set(shm.iterdir()) if shm.exists() else set()
    with running(DRAWN, wanted=128) as (camera, mailbox):
        first = next_frame(mailbox)
        second = kill_and_return(camera, mailbox)
        third = kill_and_return(camera, mailbox)
        assert first.sequence < second.sequence < third.sequence
        assert first.pixels.shape == third.pixels.shape
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        assert mailbox.captured >= mailbox.sequence - 2
    assert (set(shm.iterdir()) if shm.exists() else set()) == before


def test_a_stopped_worker_has_stalled_and_is_replaced() -> None:
    with running(DRAWN, limits=TimeLimits(stall=0.7)) as (camera, mailbox):
        assert wait_until(lambda: mailbox.captured > 40)  # how its pictures come is known
        stopped = only_worker()
        os.kill(stopped, signal.SIGSTOP)
        assert wait_until(lambda: camera.restarts[Failure.STALLED] == 1)
        mailbox.take()
        assert next_frame(mailbox).sequence > 0
        assert only_worker() != stopped
        assert not alive(stopped)


@contextmanager
def a_daemon(source: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """(a process that supervises one camera, its worker's id)."""
    daemon = subprocess.Popen([sys.executable, "-c", A_DAEMON, source])
    try:
        assert wait_until(lambda: bool(workers_of(daemon.pid)))
        yield daemon, workers_of(daemon.pid)[0]
    finally:
        daemon.kill()
        daemon.wait()


def test_a_worker_ends_with_its_daemon() -> None:
    with a_daemon("synthetic:320x240@50") as (daemon, worker):
        time.sleep(1)  # it streams by now
        assert alive(worker)
        daemon.kill()
        daemon.wait()
        assert wait_until(lambda: not alive(worker), 2)


def test_a_worker_ends_with_its_daemon_while_a_driver_call_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/camera"
        with a_daemon(url) as (daemon, worker):
            silent.accept()[0].close()  # the worker knocked
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(1000).startswith(b"OPTIONS")  # and now waits in FFmpeg
                assert alive(worker)
                daemon.kill()
                daemon.wait()
                assert wait_until(lambda: not alive(worker), 2)


def test_a_worker_leaves_ctrl_c_to_its_daemon() -> None:
    with running(DRAWN) as (camera, mailbox):
        next_frame(mailbox)
        worker = only_worker()
        os.kill(worker, signal.SIGINT)
        time.sleep(0.3)
        mailbox.take()
        assert next_frame(mailbox).sequence > 1
        assert only_worker() == worker
        assert camera.restarts[Failure.EXITED] == 0


def test_no_password_on_the_command_line_nor_in_the_environment() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://admin:hunter2@127.0.0.1:{silent.getsockname()[1]}/camera"
        with running(CaptureRequest(url)):
            silent.accept()[0].close()
            worker = only_worker()
            assert b"hunter2" not in command_line(worker)
            environment = Path(f"/proc/{worker}/environ").read_bytes()
            assert b"hunter2" not in environment
            assert b"MALLOC_ARENA_MAX=1\0" in environment


def test_what_is_wanted_changes_the_size_of_the_pictures() -> None:
    with running(CaptureRequest("synthetic:640x480@30"), wanted=224) as (_, mailbox):
        assert next_frame(mailbox).pixels.shape == (240, 240, 3)
        mailbox.want(128)
        assert wait_until(lambda: next_frame(mailbox).pixels.shape == (160, 160, 3))
        mailbox.want(480)
        assert wait_until(lambda: next_frame(mailbox).pixels.shape == (480, 480, 3))


def test_the_whole_picture_turned() -> None:
    request = CaptureRequest("synthetic:640x480@30", rotate=90, square=False)
    with running(request, wanted=120) as (_, mailbox):
        assert next_frame(mailbox).pixels.shape == (160, 120, 3)


def test_too_many_frames_are_skipped() -> None:
    with running(CaptureRequest("synthetic:64x64@100", max_fps=20)) as (_, mailbox):
        next_frame(mailbox)
        assert wait_until(lambda: mailbox.captured >= 200)
        assert mailbox.sequence + mailbox.counts().skipped in range(
            mailbox.captured - 3, mailbox.captured + 4
        )
        assert 3 <= mailbox.captured / mailbox.sequence <= 7


class StillSource:
    """Delivers the pictures it was given, then ends or fails."""

    def __init__(self, pictures: list[Picture], failure: SourceError | None = None) -> None:
        self.pictures = pictures
        self.failure = failure
        self.closed = False

    def open(self) -> Granted:
        return Granted(4, 4, 25.0, "still")

    def read(self, wanted: int) -> Picture | None:
        if self.pictures:
            return self.pictures.pop(0)
        if self.failure is not None:
            raise self.failure
        return None

    def close(self) -> None:
        self.closed = True


def captured(source: StillSource, mailbox: Mailbox) -> list[Status]:
    said: list[Status] = []
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    capture(CaptureRequest("x"), source, writer, said.append)
    assert source.closed
    return said


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox.create(16)
    yield box
    box.close()


def test_times_are_put_in_order_and_that_is_said_once(mailbox: Mailbox) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    later_ns = monotonic_ns() + 3_600_000_000_000
    pictures = [Picture(pixels, later_ns, later_ns), Picture(pixels, later_ns, 5)]
    said = captured(StillSource(pictures), mailbox)
    frame = taken(mailbox)
    assert frame is not None
    assert frame.captured_ns == frame.received_ns == 5
    assert mailbox.broken == 0
    assert [type(status) for status in said] == [Opened, Note, Ended]
    assert isinstance(said[1], Note)
    assert "in the future" in said[1].message


def test_clamping() -> None:
    pixels = np.zeros((1, 1, 3), np.uint8)
    assert clamped(Picture(pixels, 5, 7), 9) == (5, 7, 0)
    assert clamped(Picture(pixels, 8, 7), 9) == (7, 7, 1)
    assert clamped(Picture(pixels, 8, 12), 9) == (8, 9, 3)
    assert clamped(Picture(pixels, -4, 7), 9) == (0, 7, 0)


def test_a_failing_source_is_reported_and_closed(mailbox: Mailbox) -> None:
    failure = SourceError(Failure.READ_FAILED, "unplugged", where="/dev/video0", fix="plug it in")
    said = captured(StillSource([], failure), mailbox)
    assert said[1:] == [Failed(Failure.READ_FAILED, "/dev/video0: unplugged; plug it in")]


def test_a_process_that_gets_no_memory_says_so(mailbox: Mailbox) -> None:
    class Greedy(StillSource):
        def read(self, wanted: int) -> Picture | None:
            return Picture(np.zeros((1 << 24, 1 << 24, 3), np.uint8), 0, 0)

    said = captured(Greedy([]), mailbox)
    assert said[1:] == [Failed(Failure.EXITED, "the capture process is out of memory")]


def test_a_picture_that_stands_still_is_a_failure_before_it_is_shown(mailbox: Mailbox) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pictures = [Picture(pixels, n * 100_000_000, n * 100_000_000) for n in range(1, 99)]
    source = StillSource(pictures)
    said: list[Status] = []
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    request = CaptureRequest("rtsp://admin:hunter2@camera/live", frozen_after_seconds=2)
    capture(request, source, writer, said.append)
    assert mailbox.sequence == 20
    assert isinstance(said[1], Failed)
    assert said[1].reason is Failure.FROZEN
    assert "the picture has not changed for 2 s" in said[1].message
    assert "hunter2" not in said[1].message


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("/dev/video0", "v4l2"),
        ("/dev/v4l/by-id/usb-cam-index0", "v4l2"),
        ("rtsp://camera/live", "rtsp"),
        ("RTSPS://camera/live", "rtsp"),
        ("http://camera/mjpg", "http"),
        ("https://camera/mjpg", "http"),
        ("gst:videotestsrc ! tee", "gstreamer"),
        ("GST:videotestsrc", "gstreamer"),
        ("csi", "gstreamer"),
        ("csi:1", "gstreamer"),
        ("libcamera:/base/i2c/imx219", "gstreamer"),
        ("picamera2", "picamera2"),
        ("picamera2:1", "picamera2"),
        ("/home/me/csi", "file"),
        ("synthetic", "synthetic"),
        ("synthetic:640x480@30", "synthetic"),
        ("/tmp", "folder"),
        ("clip.mp4", "file"),
        ("gopher://camera", "file"),
    ],
)
def test_what_a_source_string_means(source: str, kind: str) -> None:
    assert kind_of(source).name == kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_its_class(kind: Kind) -> None:
    source = {
        "v4l2": "/dev/video0",
        "rtsp": "rtsp://camera/live",
        "http": "http://camera/mjpg",
        "gstreamer": "gst:videotestsrc",
        "picamera2": "picamera2",
        "synthetic": "synthetic",
        "folder": "/tmp",
        "file": "clip.mp4",
    }[kind.name]
    made = make_source(CaptureRequest(source), Notes().admission)
    made_by = f"{type(made).__module__}.{type(made).__name__}"
    assert made_by == f"edged.capture.sources.{kind.reader}"
    made.close()  # harmless before it was opened


def test_frames_without_motion_are_counted_and_the_camera_lives_on() -> None:
    request = CaptureRequest("synthetic:320x240@50?still", quiet=Quiet(600.0, 0.2, 30.0))
    limits = TimeLimits(stall=1.0, first_frame=2.0)
    with running(request, wanted=128, limits=limits) as (camera, mailbox):
        assert wait_until(
            lambda: mailbox.counts().quiet > 150
        )  # three seconds, which would be a stall
        assert camera.state is CameraState.STREAMING
        assert not any(camera.restarts.values())
        before = mailbox.sequence
        quiet = mailbox.counts().quiet
        assert wait_until(lambda: mailbox.counts().quiet > quiet + 10)
        assert mailbox.sequence == before
        assert mailbox.captured >= mailbox.sequence + mailbox.counts().quiet

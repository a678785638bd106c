"""The parts that need no camera. A virtual one needs a kernel module: `modprobe vivid`."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edged.capture import CaptureRequest, Failure, SourceError
from edged.capture.supervisor import CameraState, Patience
from edged.capture.v4l2 import Capability, V4l2Source, fourcc_name, open_error, stamp_ns, to_rgb
from tests.camera_rig import FakeTime, Notes, running, wait_until
from tests.test_jpeg import encoded

WIDTH, HEIGHT = 16, 8
# Pure red in BT.601 video range: Y 81 or 82, U 90, V 240.
Y, U, V = 81, 90, 240


def plane(value: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    return np.full(height * width, value, np.uint8)


def interleaved(*values: int) -> NDArray[np.uint8]:
    return np.tile(np.array(values, np.uint8), WIDTH * HEIGHT * 2 // len(values))


QUARTER = WIDTH * HEIGHT // 4
RED = {
    "YUYV": interleaved(Y, U, Y, V),
    "YVYU": interleaved(Y, V, Y, U),
    "UYVY": interleaved(U, Y, V, Y),
    "NV12": np.concatenate([plane(Y), np.tile(np.array([U, V], np.uint8), QUARTER)]),
    "NV21": np.concatenate([plane(Y), np.tile(np.array([V, U], np.uint8), QUARTER)]),
    "YU12": np.concatenate(
        [plane(Y), np.full(QUARTER, U, np.uint8), np.full(QUARTER, V, np.uint8)]
    ),
    "YV12": np.concatenate(
        [plane(Y), np.full(QUARTER, V, np.uint8), np.full(QUARTER, U, np.uint8)]
    ),
    "BGR3": np.tile(np.array([0, 0, 255], np.uint8), WIDTH * HEIGHT),
    "RGB3": np.tile(np.array([255, 0, 0], np.uint8), WIDTH * HEIGHT),
}


@pytest.mark.parametrize("fourcc", RED)
def test_red_is_red_in_every_format(fourcc: str) -> None:
    pixels = to_rgb(RED[fourcc], fourcc, WIDTH, HEIGHT, 4)
    assert pixels is not None
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.dtype == np.uint8
    assert np.all(pixels[..., 0] > 250)
    assert np.all(pixels[..., 1:] < 5)


@pytest.mark.parametrize("fourcc", [*RED, "GREY"])
def test_an_incomplete_frame_is_broken(fourcc: str) -> None:
    assert to_rgb(np.zeros(WIDTH * HEIGHT - 1, np.uint8), fourcc, WIDTH, HEIGHT, 0) is None
    assert to_rgb(np.zeros(0, np.uint8), fourcc, WIDTH, HEIGHT, 0) is None


def test_grey() -> None:
    pixels = to_rgb(plane(90).reshape(HEIGHT, WIDTH), "GREY", WIDTH, HEIGHT, 0)
    assert pixels is not None
    assert np.all(pixels == 90)


def test_mjpeg_comes_at_the_scale_wanted() -> None:
    raw = np.frombuffer(encoded(480, 640) + b"\0" * 999, np.uint8)[None]  # as OpenCV hands it out
    pixels = to_rgb(raw, "MJPG", 640, 480, 224)
    assert pixels is not None
    assert pixels.shape == (240, 320, 3)
    assert np.all(pixels[..., 0] > 250)
    assert to_rgb(raw[:, :2000], "MJPG", 640, 480, 224) is None


def test_names_of_formats() -> None:
    assert fourcc_name(cv2.VideoWriter.fourcc(*"MJPG")) == "MJPG"
    assert fourcc_name(cv2.VideoWriter.fourcc(*"Y16 ")) == "Y16"
    assert fourcc_name(0) == ""
    assert len(fourcc_name(-1)) == 4


def capability(whole: int, node: int) -> bytes:
    return struct.pack(
        "=16s32s32sIII12x", b"uvcvideo", b"HD Camera", b"usb-1", 0x060800, whole, node
    )


def test_what_a_driver_says_of_itself() -> None:
    camera = Capability.parse(capability(0x84A00001, 0x04200001))
    assert camera == Capability("uvcvideo", "HD Camera", True)
    assert not Capability.parse(capability(0x84A00001, 0x04A00000)).captures  # its metadata node
    assert Capability.parse(capability(0x04000001, 0)).captures  # an old driver
    assert Capability.parse(capability(0x84001000, 0x04001000)).captures  # multi-planar


@pytest.mark.parametrize(
    ("stamp_ms", "expected_ns"),
    [
        (999_990.5, 999_990_500_000),  # the driver's
        (0.0, 1_000_000_000_000),  # none
        (1_000_000.1, 1_000_000_000_000),  # in the future
        (1_700_000_000_000.0, 1_000_000_000_000),  # wall-clock time
        (989_000.0, 1_000_000_000_000),  # too old to be true
        (-1.0, 1_000_000_000_000),
    ],
)
def test_the_driver_s_time_is_believed_if_it_can_be(stamp_ms: float, expected_ns: int) -> None:
    assert stamp_ns(stamp_ms, 1_000_000_000_000) == expected_ns


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "is the camera plugged in"),
        (errno.EACCES, "usermod -aG video"),
        (errno.EBUSY, "fuser -v /dev/video9"),
        (errno.ENODEV, "unplugged"),
        (errno.EIO, "cannot be opened: Input/output error"),
    ],
)
def test_why_a_device_cannot_be_opened(number: int, words: str) -> None:
    error = open_error(OSError(number, "Input/output error"), "/dev/video9")
    assert words in str(error)
    assert str(error).startswith("/dev/video9: ")
    assert error.reason is Failure.OPEN_FAILED


@pytest.mark.parametrize(
    ("path", "words"),
    [("/dev/video-that-is-absent", "no such device"), ("/dev/null", "not a V4L2 device")],
)
def test_what_is_no_camera(path: str, words: str) -> None:
    source = V4l2Source(CaptureRequest(path), Notes().intake)
    with pytest.raises(SourceError, match=words):
        source.open()
    source.close()


def test_a_camera_that_is_absent_is_a_state() -> None:
    patience = Patience(pause=0.1)
    with running(CaptureRequest("/dev/video-that-is-absent"), patience=patience) as (camera, _):
        assert wait_until(lambda: camera.restarts[Failure.OPEN_FAILED] >= 2)
        assert camera.state in (CameraState.STARTING, CameraState.BACKOFF)
        assert camera.last_error is not None
        assert "is the camera plugged in" in camera.last_error


class DeviceOnPaper:
    """OpenCV's capture object, as far as the source uses it, with frames every 33 ms."""

    def __init__(self, time: FakeTime, frames: int, jpeg: bytes) -> None:
        self.time = time
        self.frames = frames
        self.jpeg = jpeg
        self.buffers: list[int] = []
        self.stamp_ns = self.next_ns = time.now_ns

    def grab(self) -> bool:
        if self.frames == 0:
            return False
        self.frames -= 1
        while self.next_ns <= self.time.now_ns:  # what the driver did meanwhile
            if len(self.buffers) < 2:
                self.buffers.append(self.next_ns)
            self.next_ns += 33_000_000
        if not self.buffers:
            self.time.now_ns = self.next_ns
            self.buffers.append(self.next_ns)
            self.next_ns += 33_000_000
        self.stamp_ns = self.buffers.pop(0)
        return True

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        return True, np.frombuffer(self.jpeg, np.uint8)[None]

    def get(self, _: int) -> float:
        return self.stamp_ns / 1e6

    def release(self) -> None:
        pass


def with_device(jpeg: bytes, frames: int = 1000) -> tuple[V4l2Source, Notes, FakeTime]:
    notes, time = Notes(), FakeTime()
    request = CaptureRequest("/dev/video9")
    source = V4l2Source(request, notes.intake, clock=time.clock, sleep=time.sleep)
    source._capture, source._format = DeviceOnPaper(time, frames, jpeg), "MJPG"
    source._width = source._height = 64
    source._interval_ns = 33_000_000
    return source, notes, time


def test_a_dead_device_is_no_busy_loop() -> None:
    source, _, time = with_device(b"", frames=0)
    begun_ns = time.now_ns
    with pytest.raises(SourceError, match="gives no frames") as caught:
        source.read(0)
    assert caught.value.reason is Failure.READ_FAILED
    assert 10_000_000 < time.now_ns - begun_ns < 1_000_000_000


def test_a_device_that_gives_only_broken_pictures_is_given_up() -> None:
    source, notes, _ = with_device(encoded(64, 64)[:-2])
    with pytest.raises(SourceError, match="50 broken pictures"):
        source.read(0)
    assert notes.counts.broken == notes.counts.captured == 50


@pytest.mark.parametrize("busy_seconds", [0.0, 0.02, 0.1, 0.5])
def test_frames_that_waited_in_the_driver_s_buffers_are_let_go(busy_seconds: float) -> None:
    source, notes, time = with_device(encoded(64, 64))
    for _ in range(20):
        picture = source.read(0)
        assert picture is not None
        assert picture.received_ns - picture.captured_ns <= 33_000_000
        time.sleep(busy_seconds)  # decoding takes its time
    counts = notes.counts
    assert counts.captured == 20 + counts.overwritten
    assert (counts.overwritten > 0) == (busy_seconds > 0.033)


def test_a_driver_that_is_always_late_loses_nothing() -> None:
    source, notes, time = with_device(encoded(64, 64))
    source._interval_ns = 0  # every frame is older than that
    for _ in range(20):
        assert source.read(0) is not None
        time.sleep(0.01)
    assert notes.counts.overwritten <= 1


@pytest.mark.skipif(
    not any(Path("/dev").glob("video*")), reason="needs a camera: modprobe vivid n_devs=1"
)
def test_a_real_device() -> None:
    path = min(str(path) for path in Path("/dev").glob("video*"))
    notes = Notes()
    source = V4l2Source(CaptureRequest(path, size=(640, 480)), notes.intake)
    granted = source.open()
    pictures = [source.read(160) for _ in range(5)]
    source.close()
    assert (granted.width, granted.height) == (640, 480)
    times = [picture.captured_ns for picture in pictures if picture is not None]
    assert times == sorted(set(times))
    assert len(times) == 5

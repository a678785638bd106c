"""What needs no camera. With one: EDGED_V4L2_DEVICE=/dev/video0 (a virtual one: modprobe vivid)."""

from __future__ import annotations

import errno
import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.capture.liveness import TimeLimits
from edged.capture.source import CaptureRequest, Failure, Granted, SourceError
from edged.capture.sources.v4l2.device import formats
from edged.capture.sources.v4l2.v4l2 import V4l2Source, format_order, stamp_ns
from edged.capture.supervisor import CameraState
from tests.rig.camera import Notes, running, wait_until
from tests.rig.pictures import encoded, prepared
from tests.rig.v4l2_camera import Rig
from tests.rig.v4l2_driver import METADATA, WEBCAM, PaperControl, PaperDriver

# What is asked for, and what is granted


@pytest.mark.parametrize(
    ("size", "fps", "best"),
    [
        (None, None, "MJPG"),  # 640x480 at 30: plain, that is 18 MB/s
        ((640, 480), 15, "YUYV"),  # 9 MB/s
        ((320, 240), None, "YUYV"),  # MJPG does not have it
        ((1280, 720), 30, "MJPG"),
        ((1280, 720), 5, "YUYV"),
        ((1920, 1080), 30, "MJPG"),
        ((800, 600), 30, "MJPG"),  # nothing has it
    ],
)
def test_the_format_that_costs_least(
    size: tuple[int, int] | None, fps: float | None, best: str
) -> None:
    offered = formats(PaperDriver(WEBCAM).ioctl)
    order = format_order(offered, size, fps)
    assert order[0] == best
    assert sorted(order) == ["MJPG", "YUYV"]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["YUYV", "UYVY", "GREY", "NV12"], ["YUYV", "UYVY", "NV12", "GREY"]),
        (["GREY", "H264", "MJPG"], ["MJPG", "GREY"]),
        (["H264", "pBAA"], []),
        ([], ["MJPG", "YUYV"]),
    ],
)
def test_formats_of_which_no_sizes_are_known(names: list[str], order: list[str]) -> None:
    offered = formats(PaperDriver({name: {} for name in names}).ioctl)
    assert format_order(offered, (640, 480), 30) == order


@pytest.mark.parametrize(
    ("wishes", "granted", "noted"),
    [
        ({}, Granted(640, 480, 30.0, "MJPG"), False),
        ({"size": (1280, 720), "fps": 60.0}, Granted(1280, 720, 60.0, "MJPG"), False),
        ({"size": (1280, 720), "fps": 30.0}, Granted(1280, 720, 30.0, "MJPG"), False),
        ({"size": (640, 480), "fps": 15.0}, Granted(640, 480, 15.0, "YUYV"), False),
        ({"size": (1300, 720), "fps": 30.0}, Granted(1280, 720, 30.0, "MJPG"), True),
        ({"size": (640, 480), "fps": 25.0}, Granted(640, 480, 30.0, "MJPG"), True),
        ({"format": "YUYV"}, Granted(640, 480, 30.0, "YUYV"), False),
        ({"format": "NV12"}, Granted(640, 480, 30.0, "MJPG"), True),
    ],
)
def test_what_is_granted_is_read_back(
    wishes: dict[str, Any], granted: Granted, noted: bool
) -> None:
    rig = Rig(**wishes)
    assert rig.source.open() == granted
    assert rig.notes == (
        [f"/dev/video9: the camera uses {granted} instead of the requested settings"]
        if noted
        else []
    )
    assert not rig.capture.converts


def test_a_rate_that_is_nearly_that_is_no_news() -> None:
    rig = Rig({"MJPG": {(640, 480): [29.97]}}, fps=30.0)
    assert rig.source.open().fps == 29.97
    assert rig.notes == []


def test_the_request_reaches_the_process_whole() -> None:
    request = CaptureRequest("/dev/video9", format="YUYV", controls={"gain": 4, "auto": "Off"})
    assert CaptureRequest.from_json(request.to_json()) == request


def test_where_mjpeg_is_refused() -> None:
    rig = Rig(WEBCAM, size=(1280, 720))
    rig.capture.offers = {"YUYV": WEBCAM["YUYV"]}
    rig.capture.format = "YUYV"
    assert rig.source.open() == Granted(1280, 720, 10.0, "YUYV")


def test_a_format_that_opencv_converts() -> None:
    bgr = np.tile(np.array([0, 0, 255], np.uint8), 640 * 480).tobytes()
    rig = Rig({"RGBP": {}}, bgr)
    rig.driver.sizes = {}  # it does not list them
    assert rig.source.open().format == "RGBP"
    assert rig.capture.converts
    picture = rig.source.read(0)
    assert picture is not None
    assert np.all(picture.pixels == [255, 0, 0])


@pytest.mark.parametrize("square", [True, False])
def test_a_plain_picture_is_cut_and_shrunk(square: bool) -> None:
    grey = np.full((720, 1280 + 64), 90, np.uint8).tobytes()
    rig = Rig({"GREY": {(1280, 720): [30.0]}}, grey, square=square, size=(1280, 720))
    rig.driver.bytes_per_line = 1280 + 64
    rig.source.open()
    picture = rig.source.read(160)
    assert picture is not None
    assert picture.pixels.shape == ((180, 180, 3) if square else (180, 320, 3))
    assert np.all(picture.pixels == 90)
    whole = rig.source.read(0)
    assert whole is not None
    assert whole.pixels.shape == ((720, 720, 3) if square else (720, 1280, 3))
    request = CaptureRequest("/dev/video9", square=square)
    assert prepared(picture.pixels, request, 160).shape == picture.pixels.shape


def test_mjpeg_comes_at_the_scale_wanted() -> None:
    rig = Rig(frame=encoded(480, 640) + b"\0" * 999)
    rig.source.open()
    picture = rig.source.read(224)
    assert picture is not None
    assert picture.pixels.shape == (240, 320, 3)
    assert np.all(picture.pixels[..., 0] > 250)


def test_controls_are_set_and_what_fails_is_noted() -> None:
    rig = Rig(controls={"gain": 7, "brightness": 300, "zoom": 1})
    gain, brightness = PaperControl("Gain"), PaperControl("Brightness")
    rig.driver.controls = [gain, brightness]
    rig.source.open()
    assert gain.value == 7
    assert brightness.value == 0
    assert rig.notes == [
        "/dev/video9: no control zoom; valid controls: gain, brightness",
        "/dev/video9: control brightness cannot be set to 300; valid values: 0 to 255",
    ]
    assert rig.driver.closed


# What goes wrong


@pytest.mark.parametrize(
    ("path", "words"),
    [("/dev/video-that-is-absent", "no such device"), ("/dev/null", "not a V4L2 device")],
)
def test_what_is_no_camera(path: str, words: str) -> None:
    source = V4l2Source(CaptureRequest(path), Notes().admission)
    with pytest.raises(SourceError, match=words):
        source.open()
    source.close()


def test_a_node_without_pictures() -> None:
    rig = Rig()
    rig.driver.node_caps = METADATA
    assert "does not capture video; use another of its nodes: edged cameras" in str(rig.fails())


def test_a_camera_without_permission() -> None:
    def denied(_: str) -> PaperDriver:
        raise OSError(errno.EACCES, "Permission denied")

    source = V4l2Source(CaptureRequest("/dev/video9"), Notes().admission, open_device=denied)
    with pytest.raises(SourceError, match="usermod -aG video"):
        source.open()


def test_a_device_in_use() -> None:
    rig = Rig()
    rig.capture.opened = False
    assert "it may be in use by another program; see which: sudo edged cameras" in str(rig.fails())


def test_a_device_that_is_taken_while_it_is_negotiated() -> None:
    rig = Rig()
    rig.capture.busy = True
    assert "it may be in use by another program" in str(rig.fails())
    assert rig.capture.released


def test_a_bare_sensor_is_told_from_a_device_in_use() -> None:
    rig = Rig({"pBAA": {}, "BG10": {}})
    rig.capture.opened = False
    error = str(rig.fails())
    assert "the camera only has raw sensor formats: pBAA, BG10" in error
    assert "picamera2" in error


def test_a_device_that_opens_but_is_dead_is_no_busy_loop() -> None:
    rig = Rig()
    rig.capture.frames = 0
    begun_ns = rig.time.now_ns
    error = rig.fails()
    assert error.reason is Failure.READ_FAILED
    assert "delivers no frames" in str(error)
    assert 10_000_000 < rig.time.now_ns - begun_ns < 1_000_000_000


def test_a_read_that_waited_in_vain_is_not_repeated() -> None:
    rig = Rig()
    rig.capture.frames, rig.capture.wait_seconds = 0, 10.0
    begun_ns = rig.time.now_ns
    assert rig.fails().reason is Failure.READ_FAILED
    assert rig.time.now_ns - begun_ns == 10_000_000_000


@pytest.mark.parametrize("frame", [encoded(64, 64)[:-2], b"", b"\xff\xd8\xff\xd9"])
def test_a_device_that_gives_only_broken_pictures_is_given_up(frame: bytes) -> None:
    rig = Rig(frame=frame)
    rig.source.open()
    with pytest.raises(SourceError, match="the camera sends no complete picture"):
        rig.source.read(0)
    assert rig.notes.counts.broken == rig.notes.counts.captured == 50


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (641, 481), (7680, 4320)])
def test_a_size_that_the_frames_do_not_have_is_broken_not_fatal(size: tuple[int, int]) -> None:
    rig = Rig({"NV12": {size: [30.0]}}, bytes(64 * 48))
    rig.source.open()
    with pytest.raises(SourceError, match="the camera sends no complete picture"):
        rig.source.read(100)


def test_a_frame_that_cannot_be_had_is_broken() -> None:
    rig = Rig()
    rig.source.open()
    answers: list[tuple[bool, NDArray[np.uint8] | None]] = [(False, None), (True, None)]
    whole = True, np.frombuffer(encoded(64, 64), np.uint8)
    rig.capture.retrieve = lambda: answers.pop() if answers else whole  # type: ignore[assignment, method-assign]
    assert rig.source.read(0) is not None
    assert rig.notes.counts.broken == 2


def test_a_camera_that_is_absent_is_a_state() -> None:
    limits = TimeLimits(pause=0.1)
    with running(CaptureRequest("/dev/video-that-is-absent"), limits=limits) as (camera, _):
        assert wait_until(lambda: camera.restarts[Failure.OPEN_FAILED] >= 2)
        assert camera.state in (CameraState.STARTING, CameraState.BACKOFF)
        assert camera.last_error is not None
        assert "is the camera plugged in" in camera.last_error


# The age of frames


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


@pytest.mark.parametrize("busy_seconds", [0.0, 0.02, 0.1, 0.5])
def test_frames_that_waited_in_the_driver_s_buffers_are_let_go(busy_seconds: float) -> None:
    rig = Rig(frame=encoded(64, 64))
    rig.source.open()
    for _ in range(20):
        picture = rig.source.read(0)
        assert picture is not None
        assert picture.received_ns - picture.captured_ns <= 34_000_000
        rig.time.sleep(busy_seconds)  # decoding takes its time
    counts = rig.notes.counts
    assert counts.captured == 20 + counts.overwritten
    assert (counts.overwritten > 0) == (busy_seconds > 0.034)


def test_a_driver_that_is_always_late_loses_nothing() -> None:
    rig = Rig({"MJPG": {(640, 480): [1e6]}}, encoded(64, 64))
    rig.source.open()  # every frame is older than its interval
    for _ in range(20):
        assert rig.source.read(0) is not None
        rig.time.sleep(0.01)
    assert rig.notes.counts.overwritten <= 1


def test_a_real_device() -> None:
    path = os.environ.get("EDGED_V4L2_DEVICE")
    if path is None:
        pytest.skip("needs a camera: set EDGED_V4L2_DEVICE to its node (modprobe vivid n_devs=1)")
    notes = Notes()
    source = V4l2Source(CaptureRequest(path, size=(640, 480)), notes.admission)
    granted = source.open()
    pictures = [source.read(160) for _ in range(5)]
    source.close()
    assert (granted.width, granted.height) == (640, 480)
    assert all(picture is not None and min(picture.pixels.shape[:2]) >= 160 for picture in pictures)
    times = [picture.captured_ns for picture in pictures if picture is not None]
    assert times == sorted(set(times))

"""Picamera2 through a stand-in: there is none without a Raspberry Pi.

Its names, arguments and results are those of github.com/raspberrypi/picamera2 (picamera2.py,
request.py, job.py, version 0.3.31).
"""

from __future__ import annotations

import concurrent.futures
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.capture.source import CaptureRequest, Failure, Granted, SourceError, ViewRequest
from edged.capture.sources.picamera2 import Mode, PicameraSource, modes_of, whole_field_mode
from tests.rig.camera import Counts, FakeTime, Notes

# What `Picamera2.sensor_modes` says of the Camera Module 2 (imx219).
IMX219 = [
    {"bit_depth": 10, "size": (640, 480), "fps": 206.65, "crop_limits": (1000, 752, 1280, 960)},
    {"bit_depth": 10, "size": (1640, 1232), "fps": 83.7, "crop_limits": (0, 0, 3280, 2464)},
    {"bit_depth": 10, "size": (1920, 1080), "fps": 47.57, "crop_limits": (680, 692, 1920, 1080)},
    {"bit_depth": 10, "size": (3280, 2464), "fps": 21.19, "crop_limits": (0, 0, 3280, 2464)},
    {"bit_depth": 8, "size": (1640, 1232), "fps": 83.7, "crop_limits": (0, 0, 3280, 2464)},
]


class StandIn:
    """The module: one `Picamera2` at a time."""

    def __init__(self, time: FakeTime, cameras: int = 2) -> None:
        self.time = time
        self.opened: list[int] = []
        self.modes: list[dict[str, Any]] = IMX219
        self.configuration: dict[str, Any] = {}
        self.started = self.closed = self.flushed = False
        self.held = 0
        """Requests that were not given back."""
        self.silent = False
        self.busy = False
        self.given_format: str | None = None
        self.stamp: int | None = 0
        """Nanoseconds before the present; None for no stamp."""
        self.sensor_resolution = (3280, 2464)
        outer = self

        class Picamera2:
            @staticmethod
            def global_camera_info() -> list[dict[str, Any]]:
                return [{"Model": "imx219", "Num": n} for n in range(cameras)]

            def __new__(cls, camera_num: int = 0) -> Any:
                if outer.busy:
                    raise RuntimeError("Camera __init__ sequence did not complete.")
                outer.opened.append(camera_num)
                return outer

        self.Picamera2 = Picamera2

    @property
    def sensor_modes(self) -> list[dict[str, Any]]:
        return self.modes

    def create_video_configuration(
        self,
        main: dict[str, Any],
        raw: dict[str, Any] | None,
        controls: dict[str, Any],
        display: str | None,
        encode: str | None,
        sensor: dict[str, Any],
    ) -> dict[str, Any]:
        return {"main": main, "raw": raw, "controls": controls, "sensor": sensor}

    def configure(self, camera_config: dict[str, Any]) -> None:
        self.configuration = camera_config
        if self.given_format is not None:
            camera_config["main"]["format"] = self.given_format

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        self.started = True

    def capture_request(self, wait: float) -> Any:
        if self.silent:
            self.time.sleep(wait)
            raise concurrent.futures.TimeoutError
        self.time.sleep(1 / 30)
        self.held += 1
        return SimpleNamespace(
            get_metadata=lambda: (
                {} if self.stamp is None else {"SensorTimestamp": self.time.now_ns - self.stamp}
            ),
            make_array=self._array,
            release=self._release,
        )

    def _array(self, name: str) -> NDArray[np.uint8]:
        assert name == "main"
        assert self.configuration["main"]["format"] == "BGR888"
        width, height = self.configuration["main"]["size"]
        return np.full((height, width, 3), (255, 0, 0), np.uint8)  # bytes R, G, B

    def _release(self) -> None:
        self.held -= 1

    def cancel_all_and_flush(self) -> None:
        self.flushed = True

    def close(self) -> None:
        self.closed = True


class Rig:
    def __init__(self, source: str = "picamera2", **request: Any) -> None:
        self.time = FakeTime()
        self.module = StandIn(self.time)
        self.notes = Notes(request.get("max_fps"))
        self.source = PicameraSource(
            CaptureRequest(source, **request),
            self.notes.admission,
            clock=self.time.clock,
            load=lambda: self.module,
        )

    def failure(self) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.source.open()
        self.source.close()
        return caught.value


def test_the_camera_shrinks_the_whole_field_and_gives_rgb() -> None:
    rig = Rig()
    assert rig.source.open() == Granted(340, 256, 30.0, "RGB from Picamera2")
    assert rig.module.opened == [0]
    assert rig.module.started
    assert rig.module.configuration == {
        "main": {"size": (340, 256), "format": "BGR888"},
        "raw": None,
        "sensor": {"output_size": (1640, 1232), "bit_depth": 10},
        "controls": {"FrameDurationLimits": (33333, 33333)},
    }
    for _ in range(3):
        picture = rig.source.read(128)
        assert picture is not None
        assert picture.pixels.shape == (256, 340, 3)
        assert picture.pixels[0, 0].tolist() == [255, 0, 0]
        assert rig.module.held == 0
    assert rig.notes.counts == Counts(captured=3)
    rig.source.close()
    assert rig.module.closed


def test_the_camera_shrinks_no_more_than_the_part_that_counts_allows() -> None:
    part = (0.25, 0.5, 0.5, 0.5)
    for wishes in ({"roi": part}, {"square": False, "views": (ViewRequest(), ViewRequest(part))}):
        rig = Rig(**wishes)
        granted = rig.source.open()
        assert (granted.width, granted.height) == (682, 512)
        rig.source.close()


def test_another_camera_shape_and_rate() -> None:
    rig = Rig("picamera2:1", size=(1280, 720), fps=60)
    assert rig.source.open() == Granted(456, 256, 60.0, "RGB from Picamera2")
    assert rig.module.opened == [1]
    assert rig.module.configuration["sensor"]["output_size"] == (1640, 1232)
    assert rig.module.configuration["controls"] == {"FrameDurationLimits": (16667, 16667)}


def test_a_usb_camera_has_no_modes_of_a_sensor() -> None:
    rig = Rig()
    rig.module.modes = [{"format": "MJPEG"}, {"format": "YUYV"}]
    rig.source.open()
    assert rig.module.configuration["sensor"] == {}


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (30, ((1640, 1232), 10)),
        (21.2, ((1640, 1232), 10)),  # the smaller one sees as much
        (83.7, ((1640, 1232), 10)),
        (100, ((640, 480), 10)),
        (500, ((640, 480), 10)),
    ],
)
def test_the_mode_that_sees_most(fps: float, expected: tuple[tuple[int, int], int]) -> None:
    mode = whole_field_mode(modes_of(IMX219), (340, 256), fps)
    assert mode is not None
    assert (mode.size, mode.bit_depth) == expected


def test_a_mode_is_not_smaller_than_the_stream() -> None:
    modes = modes_of(IMX219)
    mode = whole_field_mode(modes, (2000, 1500), 20)
    assert mode is not None
    assert mode.size == (3280, 2464)
    assert whole_field_mode([], (340, 256), 30) is None
    assert modes[0] == Mode((640, 480), 10, 1280 * 960, 206.65)


def test_a_rate_that_no_mode_has_is_the_fastest_one() -> None:
    rig = Rig(fps=240)
    assert rig.source.open().fps == 206.65
    assert rig.module.configuration["controls"] == {"FrameDurationLimits": (4839, 4839)}


@pytest.mark.parametrize(
    ("stamp", "age_ns"),
    [
        (40_000_000, 40_000_000),
        (0, 0),
        (None, 0),
        (-1, 0),  # from a clock that is ahead
        (3_600_000_000_000, 0),  # from one that is far behind
    ],
)
def test_a_frame_is_as_old_as_the_sensor_says(stamp: int | None, age_ns: int) -> None:
    rig = Rig()
    rig.module.stamp = stamp
    rig.source.open()
    picture = rig.source.read(0)
    assert picture is not None
    assert picture.received_ns - picture.captured_ns == age_ns


def test_max_fps_holds() -> None:
    rig = Rig(max_fps=10)
    rig.source.open()
    times = []
    for _ in range(5):
        picture = rig.source.read(0)
        assert picture is not None
        times.append(picture.captured_ns)
    assert (times[-1] - times[0]) / 4 == pytest.approx(1e8, rel=0.05)
    assert rig.notes.counts.skipped >= 8
    assert rig.module.held == 0


def test_a_camera_that_stops() -> None:
    rig = Rig()
    rig.source.open()
    rig.source.read(0)
    rig.module.silent = True
    with pytest.raises(SourceError, match="no frame for 5 s") as caught:
        rig.source.read(0)
    assert caught.value.reason is Failure.READ_FAILED
    assert rig.module.flushed  # before it is closed, which would wait for the frame
    rig.source.close()
    assert rig.module.closed


def test_what_cannot_be_opened() -> None:
    absent = Rig("picamera2:5").failure()
    assert "no camera 5 (got 2 cameras); rpicam-hello --list-cameras" in str(absent)
    rig = Rig()
    rig.module.busy = True
    assert "it may be in use by another program" in str(rig.failure())
    rig = Rig()
    rig.module.given_format = "XBGR8888"
    assert "does not deliver RGB (got XBGR8888); for a USB camera write its device" in str(
        rig.failure()
    )
    assert rig.module.closed


def test_a_package_that_is_not_installed_is_named() -> None:
    def absent() -> Any:
        raise ModuleNotFoundError("No module named 'picamera2'")

    source = PicameraSource(CaptureRequest("picamera2"), Notes().admission, load=absent)
    with pytest.raises(SourceError, match="No module named 'picamera2'") as caught:
        source.open()
    assert "sudo apt install python3-picamera2" in str(caught.value)
    assert "--system-site-packages" in str(caught.value)
    assert caught.value.reason is Failure.OPEN_FAILED

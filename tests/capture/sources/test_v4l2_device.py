from __future__ import annotations

import errno
import struct

import pytest

from edged.capture.source import Failure
from edged.capture.sources.v4l2.device import (
    Capability,
    FrameSize,
    bytes_per_line,
    capability,
    formats,
    fourcc_name,
    open_error,
)
from tests.rig.v4l2_driver import METADATA, WEBCAM, PaperDriver


def test_formats_sizes_and_rates_as_the_driver_lists_them() -> None:
    mjpg, yuyv = formats(PaperDriver(WEBCAM).ioctl)
    assert mjpg.name == "MJPG"
    assert [(str(size), size.rates) for size in mjpg.sizes] == [
        ("1920x1080", "30 fps"),
        ("1280x720", "60, 30 fps"),
        ("640x480", "30 fps"),
    ]
    assert yuyv.at((640, 480)) == FrameSize((640, 480), (640, 480), (30.0, 15.0))
    assert yuyv.at((800, 600)) is None


def test_ranges_of_sizes_and_rates() -> None:
    driver = PaperDriver({"NV12": {(48, 3840, 2, 32, 2160, 2): (1.0, 60.0)}})
    (nv12,) = formats(driver.ioctl)
    assert (str(nv12.sizes[0]), nv12.sizes[0].rates) == ("48x32 to 3840x2160", "60 to 1 fps")
    assert nv12.at((1280, 720)) == nv12.sizes[0]
    assert nv12.at((4096, 720)) is None


def test_a_driver_that_lists_no_sizes() -> None:
    (grey,) = formats(PaperDriver({"GREY": {}}).ioctl)
    assert grey.sizes == ()
    assert formats(PaperDriver().ioctl) == ()


def test_a_list_without_end_is_cut() -> None:
    driver = PaperDriver(WEBCAM, endless=True)
    assert [each.name for each in formats(driver.ioctl)] == ["MJPG"]
    assert len(driver.asked) < 100_000


def test_multi_planar_devices_are_asked_in_their_own_way() -> None:
    driver = PaperDriver({"NV12": {}}, node_caps=0x1000, buffer_type=9, bytes_per_line=1344)
    node = capability(driver.ioctl)
    assert node.captures
    assert [each.name for each in formats(driver.ioctl, node.buffer_type)] == ["NV12"]
    assert bytes_per_line(driver.ioctl, node.buffer_type) == 1344
    assert bytes_per_line(driver.ioctl) == 0  # refused by the driver the other type


def test_the_padding_of_rows() -> None:
    assert bytes_per_line(PaperDriver(bytes_per_line=2560).ioctl) == 2560


def described(whole: int, node: int) -> bytes:
    return struct.pack(
        "=16s32s32sIII12x", b"uvcvideo", b"HD Camera\xff\x1b[0m", b"usb-1", 0x060800, whole, node
    )


def test_what_a_driver_says_of_itself() -> None:
    camera = Capability.parse(described(0x84A00001, 0x04200001))
    assert (camera.driver, camera.captures) == ("uvcvideo", True)
    assert camera.card.startswith("HD Camera")
    assert camera.card.isprintable()
    assert not Capability.parse(described(0x84A00001, 0x04A00000)).captures  # its metadata node
    assert Capability.parse(described(0x04000001, 0)).captures  # an old driver
    assert Capability.parse(described(0x84001000, 0x04001000)).buffer_type == 9
    assert not capability(PaperDriver(node_caps=METADATA).ioctl).captures


def test_names_of_formats() -> None:
    assert fourcc_name(int.from_bytes(b"MJPG", "little")) == "MJPG"
    assert fourcc_name(int.from_bytes(b"Y16 ", "little")) == "Y16"
    assert fourcc_name(int.from_bytes(b"Y16 ", "little") | 1 << 31) == "Y16-BE"
    assert fourcc_name(0) == ""
    assert fourcc_name(-1).isprintable()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "is the camera plugged in"),
        (errno.EACCES, "usermod -aG video"),
        (errno.EACCES, "for a container: --group-add $(stat -c %g /dev/video9))"),
        (errno.EPERM, "DeviceAllow=/dev/video9"),
        (errno.EBUSY, "edged cameras"),
        (errno.ENODEV, "unplugged"),
        (errno.EIO, "cannot be opened: Input/output error"),
    ],
)
def test_why_a_device_cannot_be_opened(number: int, words: str) -> None:
    error = open_error(OSError(number, "Input/output error"), "/dev/video9")
    assert words in str(error)
    assert str(error).startswith("/dev/video9: ")
    assert error.reason is Failure.OPEN_FAILED

"""Cameras of one format each: v4l2loopback nodes, and a process that feeds one with colour bars.

python3 -m tests.device.checks.loopback /dev/video11 NV12
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.device.checks.bars import picture

NODES = {"MJPG": "/dev/video10", "NV12": "/dev/video11", "GREY": "/dev/video12"}
WIDTH, HEIGHT, FPS = 640, 480, 10
_OUTPUT = 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT, linux/videodev2.h
_S_FMT = 0xC0D05605  # _IOWR('V', 5, struct v4l2_format)
_NO_FIELD = 1
_SRGB = 8
_FORMAT = struct.Struct("=I4x2I4s5I164x")
"""type; then of v4l2_pix_format: width, height, pixelformat, field, bytesperline, sizeimage,
colorspace, priv."""


def load() -> None:
    numbers = ",".join(node.removeprefix("/dev/video") for node in NODES.values())
    options = [f"video_nr={numbers}", f"card_label={','.join(NODES)}", "exclusive_caps=1,1,1"]
    subprocess.run(["modprobe", "v4l2loopback", *options], check=True)
    subprocess.run(["udevadm", "settle", "--timeout=20"], check=True)


@contextmanager
def feeding(fourcc: str) -> Iterator[str]:
    """The path of a camera that delivers this format."""
    node = NODES[fourcc]
    feeder = subprocess.Popen([sys.executable, "-m", __name__, node, fourcc])
    try:
        yield node
    finally:
        feeder.kill()
        feeder.wait()


def encoded(pixels: NDArray[np.uint8], fourcc: str) -> bytes:
    """RGB (height, width, 3), even sides, as a camera would deliver it."""
    if fourcc == "MJPG":
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
        return bytes(jpeg)
    if fourcc == "GREY":
        return bytes(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    height, width, _ = pixels.shape
    planes = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    luma, chroma = planes[: height * width], planes[height * width :].reshape(2, -1)
    return bytes(luma) + bytes(np.ascontiguousarray(chroma.T))


def feed(node: str, fourcc: str) -> None:
    """Until it is killed."""
    frame = encoded(picture(WIDTH, HEIGHT), fourcc)
    size = WIDTH * HEIGHT * 2 if fourcc == "MJPG" else len(frame)
    fd = os.open(node, os.O_RDWR)
    wish = (WIDTH, HEIGHT, fourcc.encode(), _NO_FIELD, 0, size, _SRGB, 0)
    fcntl.ioctl(fd, _S_FMT, bytearray(_FORMAT.pack(_OUTPUT, *wish)))
    while True:
        os.write(fd, frame)
        time.sleep(1 / FPS)


if __name__ == "__main__":
    feed(*sys.argv[1:])

"""Pictures are made only while somebody waits for one."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from edged.capture.jpeg import encode_jpeg
from edged.telemetry.view import FRESH_NS, JPEG_QUALITY, STILL_NS, View
from tests.camera_rig import FakeTime, wait_until

RED = np.full((32, 48, 3), (250, 5, 5), np.uint8)


def asking(view: View, found: list[bytes | None]) -> threading.Thread:
    thread = threading.Thread(target=lambda: found.append(view.jpeg("door", 60)))
    thread.start()
    assert wait_until(lambda: view.wanted("door"))
    return thread


def test_colours_and_shape_survive() -> None:
    decoded = cv2.imdecode(
        np.frombuffer(encode_jpeg(RED, JPEG_QUALITY), np.uint8), cv2.IMREAD_COLOR
    )
    assert decoded.shape == (32, 48, 3)
    blue, _, red = decoded.reshape(-1, 3).mean(0)
    assert red > 200 > blue


def test_nobody_looks_nothing_is_kept() -> None:
    view = View(FakeTime().clock)
    view.follow(["door"])
    assert not view.wanted("door") and not view.wanted("nobody")
    view.offer("door", RED)
    assert view.jpeg("door", 0) is None


def test_one_picture_serves_all_who_ask_within_a_moment() -> None:
    time, found = FakeTime(), []
    view = View(time.clock)
    view.follow(["door"])
    thread = asking(view, found)
    pixels = RED.copy()
    view.offer("door", pixels)
    pixels[:] = 0  # the next frame comes into the same memory
    thread.join()
    assert found == [encode_jpeg(RED, JPEG_QUALITY)]
    assert not view.wanted("door")
    assert view.jpeg("door", 0) is found[0]
    time.now_ns += FRESH_NS + 1
    thread = asking(view, found)
    view.offer("door", pixels)
    thread.join()
    assert found[1] == encode_jpeg(pixels, JPEG_QUALITY)


def test_where_nothing_comes_the_last_one_serves_for_a_while() -> None:
    time, found = FakeTime(), []
    view = View(time.clock)
    view.follow(["door"])
    thread = asking(view, found)
    view.offer("door", RED)
    thread.join()
    time.now_ns += STILL_NS
    assert view.jpeg("door", 0) == found[0]
    time.now_ns += 1
    assert view.jpeg("door", 0) is None


def test_a_camera_that_is_gone() -> None:
    view = View()
    view.follow(["door"])
    view.follow(["yard"])
    with pytest.raises(KeyError):
        view.jpeg("door", 0)
    view.offer("door", RED)

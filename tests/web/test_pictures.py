"""Pictures are taken for whoever waits, and one a second; JPEG is made only for who asks."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from edged.capture.decode.jpeg import encode_jpeg
from edged.web.pictures import FRESH_NS, JPEG_QUALITY, KEEP_NS, Shown, View
from tests.rig.camera import FakeTime, wait_until
from tests.rig.results import make_result

RED = np.full((32, 48, 3), (250, 5, 5), np.uint8)


def asking(view: View, found: list[bytes]) -> threading.Thread:
    thread = threading.Thread(target=lambda: found.append(now(view, 60)))
    thread.start()
    assert wait_until(lambda: view.wanted("door"))
    return thread


def now(view: View, wait_seconds: float = 0) -> bytes:
    shown = view.jpeg("door", wait_seconds)
    assert shown is not None
    return shown.jpeg


def test_colours_and_shape_survive() -> None:
    decoded = cv2.imdecode(
        np.frombuffer(encode_jpeg(RED, JPEG_QUALITY), np.uint8), cv2.IMREAD_COLOR
    )
    assert decoded.shape == (32, 48, 3)
    blue, _, red = decoded.reshape(-1, 3).mean(0)
    assert red > 200 > blue


def test_nobody_looks_one_a_second_is_kept() -> None:
    time, view = FakeTime(), View()
    view = View(time.clock)
    view.follow(["door"])
    assert view.jpeg("door", 0) is None
    assert not view.wanted("nobody")
    view.follow(["yard", "door"])
    view.offer(make_result(camera="yard"), RED)
    for _ in range(3):
        time.now_ns += KEEP_NS - 1
        assert not view.wanted("yard")
        view.offer(make_result(camera="yard"), RED // 2)
        time.now_ns += 1
        assert view.wanted("yard")
        view.offer(make_result(camera="yard"), RED)
    assert view.jpeg("yard", 0) == Shown(
        encode_jpeg(RED, JPEG_QUALITY), make_result(camera="yard"), 0.0
    )


def test_one_picture_serves_all_who_ask_within_a_moment() -> None:
    time, found = FakeTime(), []
    view = View(time.clock)
    view.follow(["door"])
    thread = asking(view, found)
    pixels = RED.copy()
    view.offer(make_result(), pixels)
    pixels[:] = 0  # the next frame comes into the same memory
    thread.join()
    assert found == [encode_jpeg(RED, JPEG_QUALITY)]
    assert not view.wanted("door")
    assert now(view) is found[0]
    time.now_ns += FRESH_NS + 1
    thread = asking(view, found)
    view.offer(make_result(), pixels)
    thread.join()
    assert found[1] == encode_jpeg(pixels, JPEG_QUALITY)


def test_where_nothing_comes_the_last_one_serves_with_its_age() -> None:
    time = FakeTime()
    view = View(time.clock)
    view.follow(["door"])
    view.offer(make_result(), RED)
    for hours in (1, 2):
        time.now_ns += 3_600_000_000_000
        shown = Shown(encode_jpeg(RED, JPEG_QUALITY), make_result(), 3600.0 * hours)
        assert view.jpeg("door", 0) == shown
    view.offer(make_result(), RED // 2)
    shown = Shown(encode_jpeg(RED // 2, JPEG_QUALITY), make_result(), 0.0)
    assert view.jpeg("door", 0) == shown


def test_a_picture_comes_with_its_own_result_and_not_with_a_later_one() -> None:
    time = FakeTime()
    view = View(time.clock)
    view.follow(["door"])
    view.offer(make_result(sequence=1), RED)
    view.offer(make_result(sequence=2), RED // 2)  # not taken: nobody waits
    shown = view.jpeg("door", 0)
    assert shown is not None
    assert (shown.jpeg, shown.result.sequence) == (encode_jpeg(RED, JPEG_QUALITY), 1)


def test_a_camera_that_is_gone() -> None:
    view = View()
    view.follow(["door"])
    view.follow(["yard"])
    with pytest.raises(KeyError):
        view.jpeg("door", 0)
    view.offer(make_result(), RED)

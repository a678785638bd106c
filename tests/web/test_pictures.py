"""Pictures are taken for whoever waits, and one a second; JPEG is made only for who asks."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from edged.capture.decode.jpeg import encode_jpeg
from edged.web.pictures import (
    FRESH_NS,
    JPEG_QUALITY,
    KEEP_NS,
    KEEP_WHOLE_NS,
    WATCHED_NS,
    Pictures,
    Shown,
)
from tests.rig.camera import FakeTime, wait_until
from tests.rig.feed import whole
from tests.rig.results import make_result

RED = np.full((32, 48, 3), (250, 5, 5), np.uint8)


def asking(pictures: Pictures, found: list[bytes]) -> threading.Thread:
    thread = threading.Thread(target=lambda: found.append(now(pictures, 60)))
    thread.start()
    assert wait_until(lambda: pictures.wanted("door"))
    return thread


def now(pictures: Pictures, wait_seconds: float = 0) -> bytes:
    shown = pictures.jpeg("door", wait_seconds)
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
    time, pictures = FakeTime(), Pictures()
    pictures = Pictures(time.clock)
    pictures.follow(["door"])
    assert pictures.jpeg("door", 0) is None
    assert not pictures.wanted("nobody")
    pictures.follow(["yard", "door"])
    pictures.offer(make_result(view="yard"), RED)
    for _ in range(3):
        time.now_ns += KEEP_NS - 1
        assert not pictures.wanted("yard")
        pictures.offer(make_result(view="yard"), RED // 2)
        time.now_ns += 1
        assert pictures.wanted("yard")
        pictures.offer(make_result(view="yard"), RED)
    assert pictures.jpeg("yard", 0) == Shown(
        encode_jpeg(RED, JPEG_QUALITY), make_result(view="yard"), 0.0
    )


def test_one_picture_serves_all_who_ask_within_a_moment() -> None:
    time, found = FakeTime(), []
    pictures = Pictures(time.clock)
    pictures.follow(["door"])
    thread = asking(pictures, found)
    pixels = RED.copy()
    pictures.offer(make_result(), pixels)
    pixels[:] = 0  # the next frame comes into the same memory
    thread.join()
    assert found == [encode_jpeg(RED, JPEG_QUALITY)]
    assert not pictures.wanted("door")
    assert now(pictures) is found[0]
    time.now_ns += FRESH_NS + 1
    thread = asking(pictures, found)
    pictures.offer(make_result(), pixels)
    thread.join()
    assert found[1] == encode_jpeg(pixels, JPEG_QUALITY)


def test_where_nothing_comes_the_last_one_serves_with_its_age() -> None:
    time = FakeTime()
    pictures = Pictures(time.clock)
    pictures.follow(["door"])
    pictures.offer(make_result(), RED)
    for hours in (1, 2):
        time.now_ns += 3_600_000_000_000
        shown = Shown(encode_jpeg(RED, JPEG_QUALITY), make_result(), 3600.0 * hours)
        assert pictures.jpeg("door", 0) == shown
    pictures.offer(make_result(), RED // 2)
    shown = Shown(encode_jpeg(RED // 2, JPEG_QUALITY), make_result(), 0.0)
    assert pictures.jpeg("door", 0) == shown


def test_a_picture_comes_with_its_own_result_and_not_with_a_later_one() -> None:
    time = FakeTime()
    pictures = Pictures(time.clock)
    pictures.follow(["door"])
    pictures.offer(make_result(sequence=1), RED)
    pictures.offer(make_result(sequence=2), RED // 2)  # not taken: nobody waits
    shown = pictures.jpeg("door", 0)
    assert shown is not None
    assert (shown.jpeg, shown.result.sequence) == (encode_jpeg(RED, JPEG_QUALITY), 1)


def test_whole_pictures_of_a_camera_with_views_come_while_somebody_watches() -> None:
    time = FakeTime()
    pictures = Pictures(time.clock)
    pictures.follow(["yard/gate", "yard/bin", "door"])
    assert pictures.watched("yard")  # one is kept, for a client that asks later
    assert not pictures.watched("door")  # its pictures come with results
    assert not pictures.watched("nobody")
    pictures.offer_camera("yard", whole(RED))
    assert not pictures.watched("yard")

    time.now_ns += 10 * FRESH_NS
    pictures.offer_camera("yard", whole(RED // 2))  # not taken: nobody watches
    assert pictures.jpeg("yard", 0) == Shown(encode_jpeg(RED, JPEG_QUALITY), None, 1.0)
    pictures.offer_camera("yard", whole(RED // 2))
    assert pictures.jpeg("yard", 0) == Shown(encode_jpeg(RED // 2, JPEG_QUALITY), None, 0.0)
    time.now_ns += WATCHED_NS - 1
    assert pictures.watched("yard")  # the client will ask again
    time.now_ns += 1
    assert not pictures.watched("yard")

    time.now_ns += KEEP_WHOLE_NS
    assert pictures.watched("yard")  # the one that is kept is old


def test_views_and_their_camera_have_pictures_of_their_own() -> None:
    pictures = Pictures(FakeTime().clock)
    pictures.follow(["yard/gate", "yard/bin"])
    pictures.offer_camera("yard", whole(RED))
    pictures.offer(make_result(view="yard/bin"), RED // 2)
    gate, bin, yard = (pictures.jpeg(name, 0) for name in ("yard/gate", "yard/bin", "yard"))
    assert gate is None
    assert bin == Shown(encode_jpeg(RED // 2, JPEG_QUALITY), make_result(view="yard/bin"), 0.0)
    assert yard == Shown(encode_jpeg(RED, JPEG_QUALITY), None, 0.0)


def test_a_whole_picture_comes_with_the_results_of_the_views_that_saw_it() -> None:
    time = FakeTime()
    pictures = Pictures(time.clock)
    pictures.follow(["yard/gate", "yard/bin", "yard/lamp"])
    pictures.offer_camera("yard", whole(RED, 7), ["yard/gate", "yard/bin"])
    before = make_result(6, view="yard/bin")
    gate, bin, lamp = (make_result(7, view=f"yard/{name}") for name in ("gate", "bin", "lamp"))
    for result in (before, gate, lamp):
        pictures.offer(result, RED)
    shown = pictures.jpeg("yard", 0)
    assert shown is not None
    assert shown.results == (gate,)  # nobody waits any more
    pictures.offer(bin, RED)
    shown = pictures.jpeg("yard", 0)
    assert shown is not None
    assert shown.results == (gate, bin)


def test_a_request_waits_for_the_results_of_its_picture() -> None:
    """The result comes after the request, in one try at least, however slow the machine is."""
    result = make_result(7, view="yard/gate")

    def waits() -> bool:
        pictures = Pictures()
        pictures.follow(["yard/gate"])
        pictures.offer_camera("yard", whole(RED, 7), ["yard/gate"])
        later = threading.Timer(0.05, pictures.offer, (result, RED))
        later.start()
        shown = pictures.jpeg("yard", 60)
        later.join()
        assert shown is not None
        return shown.results == (result,)

    wait_until(waits)


def test_a_camera_that_gets_views_forgets_the_picture_with_its_result() -> None:
    pictures = Pictures(FakeTime().clock)
    pictures.follow(["yard"])
    pictures.offer(make_result(view="yard"), RED)
    pictures.follow(["yard/gate"])
    assert pictures.jpeg("yard", 0) is None
    pictures.offer_camera("yard", whole(RED))
    pictures.follow(["yard"])
    assert pictures.jpeg("yard", 0) is None


def test_a_camera_that_is_gone() -> None:
    pictures = Pictures()
    pictures.follow(["door"])
    pictures.follow(["yard"])
    with pytest.raises(KeyError):
        pictures.jpeg("door", 0)
    pictures.offer(make_result(), RED)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.decode.crop import centre_square, cut, shrinks_by, target_size
from edged.capture.decode.orientation import of_user
from edged.capture.frame import Place
from edged.capture.source import CaptureRequest, Flip
from tests.rig.pictures import MUCH, prepared

CORNERS = np.array([[1, 2, 2, 3], [4, 5, 5, 6]], np.uint8)[..., None].repeat(3, axis=2)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (CaptureRequest("x"), [[1, 2, 2, 3], [4, 5, 5, 6]]),
        (CaptureRequest("x", rotate=90), [[4, 1], [5, 2], [5, 2], [6, 3]]),
        (CaptureRequest("x", rotate=180), [[6, 5, 5, 4], [3, 2, 2, 1]]),
        (CaptureRequest("x", rotate=270), [[3, 6], [2, 5], [2, 5], [1, 4]]),
        (CaptureRequest("x", flip="horizontal"), [[3, 2, 2, 1], [6, 5, 5, 4]]),
        (CaptureRequest("x", flip="vertical"), [[4, 5, 5, 6], [1, 2, 2, 3]]),
        (CaptureRequest("x", rotate=90, flip="horizontal"), [[1, 4], [2, 5], [2, 5], [3, 6]]),
    ],
)
def test_rotation_is_clockwise_and_the_mirror_comes_after_it(
    request_: CaptureRequest, expected: list[list[int]]
) -> None:
    whole = replace(request_, square=False)
    assert prepared(CORNERS, whole, 0, MUCH)[..., 0].tolist() == expected


def test_the_centre_square_is_a_view() -> None:
    picture = np.arange(4 * 9 * 3, dtype=np.uint8).reshape(4, 9, 3)
    square = centre_square(picture)
    assert np.array_equal(square, picture[:, 2:6])
    assert square.base is not None
    assert np.array_equal(centre_square(picture.transpose(1, 0, 2)), square.transpose(1, 0, 2))


def test_square_or_whole_and_smaller() -> None:
    picture = np.full((480, 640, 3), (255, 0, 9), np.uint8)
    square = prepared(picture, CaptureRequest("x"), 160, MUCH)
    assert square.shape == (160, 160, 3)
    assert np.all(square == (255, 0, 9))
    assert prepared(picture, CaptureRequest("x", square=False), 160, MUCH).shape == (160, 213, 3)
    assert prepared(picture, CaptureRequest("x", square=False, rotate=90), 224, MUCH).shape == (
        320,
        240,
        3,
    )
    assert prepared(picture, CaptureRequest("x"), 0, MUCH).shape == (480, 480, 3)
    assert prepared(picture, CaptureRequest("x"), 0, 100 * 100 * 3).shape == (100, 100, 3)


@given(
    st.integers(1, 4000), st.integers(1, 4000), st.integers(0, 500), st.integers(3, 720 * 720 * 3)
)
def test_the_target_covers_what_is_wanted_and_fits(
    width: int, height: int, wanted: int, slot_bytes: int
) -> None:
    factor = shrinks_by(min(width, height), wanted)
    w, h = target_size(width, height, factor, slot_bytes)
    unlimited = target_size(width, height, factor, MUCH)
    assert 1 <= w <= width
    assert 1 <= h <= height
    assert w * h * 3 <= max(slot_bytes, 3 * max(w, h))  # one row or column is the least there is
    if wanted:
        short = min(width, height)
        assert min(unlimited) >= min(wanted, short)
        assert min(unlimited) < 2 * wanted or min(unlimited) == 1


@st.composite
def scenes(draw: st.DrawFn) -> tuple[int, int, int, dict[int, Place]]:
    """Width and height of a picture, a factor, and places that it leaves a pixel."""
    width, height = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    places = {}
    for view in range(draw(st.integers(1, 4))):
        left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        wide, high = draw(st.integers(1, width - left)), draw(st.integers(1, height - top))
        places[view] = Place(left, top, wide, high, draw(st.integers(0, 60)))
    most = min(min(place[2:4]) for place in places.values())
    return width, height, draw(st.integers(1, most)), places


@given(
    scenes(),
    st.sampled_from((0, 90, 180, 270)),
    st.sampled_from((None, "horizontal", "vertical")),
    st.booleans(),
    st.sampled_from((30_000, MUCH)),
)
def test_places_stay_inside_and_large_enough(
    scene: tuple[int, int, int, dict[int, Place]],
    rotate: int,
    flip: Flip,
    whole: bool,
    slot_bytes: int,
) -> None:
    width, height, factor, places = scene
    picture = np.zeros((height, width, 3), np.uint8)
    orientation = of_user(rotate, flip)
    pixels, moved = cut(picture, places, factor, orientation, slot_bytes, whole=whole)
    high, wide, _ = pixels.shape
    assert high * wide * 3 <= max(slot_bytes, 3 * max(high, wide))
    assert moved.keys() == places.keys()
    for view, place in moved.items():
        before = places[view]
        assert 0 <= place.left < place.left + place.width <= wide
        assert 0 <= place.top < place.top + place.height <= high
        assert place.wanted == before.wanted
        if slot_bytes == MUCH:
            short, was = min(place.width, place.height), min(before.width, before.height)
            assert was // factor <= short <= was // factor + 1
    if not whole and slot_bytes == MUCH:  # no more than the places, but for rounding
        assert min(place.left for place in moved.values()) <= 1
        assert min(place.top for place in moved.values()) <= 1

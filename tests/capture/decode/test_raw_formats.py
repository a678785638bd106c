from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.capture.decode.raw_formats import LAYOUTS, raw_to_rgb, shrink_factor
from edged.capture.sources.synthetic.scene import Scene
from tests.rig.raw_pictures import Pixels, delivered


def plain_way(raw: Pixels, name: str, size: tuple[int, int], wanted: int) -> Pixels:
    """The whole picture converted, cut to the same square, then shrunk."""
    whole = raw_to_rgb(raw, LAYOUTS[name], size, 0)
    assert whole is not None
    factor = min(size) // wanted
    side = min(size) // (2 * factor) * 2 * factor
    left, top = ((each - side) // 4 * 2 for each in size)
    cut = whole[top : top + side, left : left + side]
    return cv2.resize(cut, (side // factor,) * 2, interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module", params=["drawn", "photo"])
def picture(request: pytest.FixtureRequest) -> Pixels:
    """RGB, 768 x 432."""
    if request.param == "drawn":
        return Scene(768, 432).draw(1.5).copy()
    folder: Path = request.getfixturevalue("data")
    video = cv2.VideoCapture(str(min((folder / "video").glob("*.mp4"))))
    for _ in range(100):
        taken, bgr = video.read()
    video.release()
    assert taken
    smaller = cv2.resize(bgr, (768, 432), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(smaller, cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("wanted", [128, 96, 50])
def test_colours_are_those_of_the_whole_picture(name: str, wanted: int, picture: Pixels) -> None:
    raw = delivered(picture, name)
    seen = raw_to_rgb(raw, LAYOUTS[name], (768, 432), wanted, square=True)
    expected = plain_way(raw, name, (768, 432), wanted)
    assert seen is not None
    assert seen.shape == expected.shape
    assert wanted <= len(seen) < 2 * wanted
    off = abs(seen.astype(int) - expected.astype(int))
    # Chroma comes at half the resolution, as in any 4:2:0 picture: edges of colours may differ.
    assert off.mean() < (0.1 if name in ("GREY", "BGR3", "RGB3") else 2)
    assert np.percentile(off, 99) < 16
    assert abs(seen.mean((0, 1)) - expected.mean((0, 1))).max() < 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_without_a_wish_it_is_the_whole_picture(name: str, picture: Pixels) -> None:
    seen = raw_to_rgb(delivered(picture, name), LAYOUTS[name], (768, 432), 0)
    assert seen is not None
    assert seen.shape == picture.shape
    assert seen.dtype == np.uint8
    expected = picture
    if name == "GREY":
        expected = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    assert abs(seen.astype(int) - expected.astype(int)).mean() < 4


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("wanted", [0, 400, 200, 60])
def test_padded_rows_are_not_seen(name: str, wanted: int, picture: Pixels) -> None:
    layout, line = LAYOUTS[name], LAYOUTS[name].strides(768, 0)[0]
    plain = raw_to_rgb(delivered(picture, name), layout, (768, 432), wanted, square=True)
    seen = raw_to_rgb(
        delivered(picture, name, padding=64), layout, (768, 432), wanted,
        square=True, bytes_per_line=line + 64,
    )  # fmt: skip
    assert plain is not None
    assert seen is not None
    assert np.array_equal(seen, plain)


def test_the_square_is_the_middle(picture: Pixels) -> None:
    raw = delivered(picture, "RGB3")
    square = raw_to_rgb(raw, LAYOUTS["RGB3"], (768, 432), 0, square=True)
    assert np.array_equal(square, picture[:, 168:600])
    upright = delivered(picture.swapaxes(0, 1).copy(), "RGB3")
    portrait = raw_to_rgb(upright, LAYOUTS["RGB3"], (432, 768), 0, square=True)
    assert np.array_equal(portrait, picture.swapaxes(0, 1)[168:600])


def test_the_whole_picture_is_shrunk_where_all_of_it_counts(picture: Pixels) -> None:
    seen = raw_to_rgb(delivered(picture, "YUYV"), LAYOUTS["YUYV"], (768, 432), 100)
    assert seen is not None
    assert seen.shape == (108, 192, 3)


@pytest.mark.parametrize("name", LAYOUTS)
def test_red_is_red_in_every_format_and_size(name: str) -> None:
    red = np.tile(np.array([255, 0, 0], np.uint8), (120, 160, 1))
    for wanted in (0, 60, 40, 24):
        seen = raw_to_rgb(delivered(red, name), LAYOUTS[name], (160, 120), wanted, square=True)
        assert seen is not None
        if name != "GREY":
            assert np.all(seen[..., 0] > 250)
            assert np.all(seen[..., 1:] < 5)
        else:
            assert np.all(seen == seen[0, 0, 0])


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_incomplete_frame_is_broken_and_a_tail_is_not(name: str, picture: Pixels) -> None:
    raw, layout = delivered(picture, name), LAYOUTS[name]
    for wanted in (0, 100):
        assert raw_to_rgb(raw[:-1], layout, (768, 432), wanted) is None
        assert raw_to_rgb(raw[:0], layout, (768, 432), wanted) is None
        assert raw_to_rgb(raw, layout, (768, 432), wanted, bytes_per_line=2**31) is None
        whole = raw_to_rgb(raw, layout, (768, 432), wanted)
        tailed = raw_to_rgb(np.append(raw, raw[:999])[None], layout, (768, 432), wanted)
        assert whole is not None
        assert tailed is not None
        assert np.array_equal(whole, tailed)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.tuples(st.integers(0, 70), st.integers(0, 70)),
    st.integers(0, 80),
    st.booleans(),
    st.integers(0, 300),
)
def test_any_size_is_a_picture_or_broken(
    name: str, size: tuple[int, int], wanted: int, square: bool, bytes_per_line: int
) -> None:
    raw = np.full(70 * 300 * 3, 128, np.uint8)
    seen = raw_to_rgb(
        raw, LAYOUTS[name], size, wanted, square=square, bytes_per_line=bytes_per_line
    )
    short = min(size) // LAYOUTS[name].unit * LAYOUTS[name].unit
    if short == 0:
        assert seen is None
        return
    assert seen is not None
    assert seen.shape[2] == 3
    assert min(seen.shape[:2]) >= min(wanted, short) or wanted == 0
    assert max(seen.shape[:2]) <= max(size)
    assert not square or seen.shape[0] == seen.shape[1]


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(0, 600), st.sampled_from([1, 2]))
def test_the_largest_factor_that_covers_what_is_wanted(
    short_side: int, wanted: int, unit: int
) -> None:
    def covers(factor: int) -> bool:
        return short_side // (factor * unit) * unit >= wanted

    factor = shrink_factor(short_side, wanted, unit)
    assert factor == 1 or (3 <= factor <= 257 and covers(factor))
    if wanted and factor < 257:
        assert not any(covers(n) for n in range(max(3, factor + 1), 258))


def test_8k_is_a_picture_like_any_other() -> None:
    raw = np.full(7680 * 4320 * 2, 128, np.uint8)
    seen = raw_to_rgb(raw, LAYOUTS["YUYV"], (7680, 4320), 224, square=True)
    assert seen is not None
    assert seen.shape == (226, 226, 3)
    assert np.all(abs(seen.astype(int) - 130) < 2)
    tiny = raw_to_rgb(raw, LAYOUTS["YUYV"], (7680, 4320), 2, square=True)
    assert tiny is not None
    assert len(tiny) == 4320 // 257 // 2 * 2

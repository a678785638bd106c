"""Lit copies of pictures."""

from __future__ import annotations

import numpy as np

from edged.teach.light import lit
from edged.variants.golden import golden_picture

LIGHTS = 5


def test_copy_0_is_the_picture_itself() -> None:
    picture = golden_picture(1)
    assert lit(picture, 0) is picture


def test_a_copy_is_the_same_each_time() -> None:
    picture = golden_picture(1)
    copy = lit(picture, 1)
    assert copy.shape == picture.shape and copy.dtype == np.uint8
    assert np.array_equal(copy, lit(picture.copy(), 1))


def test_the_copies_of_a_picture_have_all_lights() -> None:
    picture = golden_picture(1)
    means = [tuple(lit(picture, copy).mean(axis=(0, 1)).round(1)) for copy in range(LIGHTS + 2)]
    assert len(set(means[1 : LIGHTS + 1])) == LIGHTS and means[LIGHTS + 1] == means[1]
    assert min(sum(each) for each in means) < 0.6 * sum(means[0])
    assert max(sum(each) for each in means) > 1.1 * sum(means[0])


def test_pictures_have_different_lights_from_the_first_copy() -> None:
    shares = set()
    for seed in range(40):
        picture = golden_picture(seed)
        red, green, blue = lit(picture, 1).mean(axis=(0, 1)) / picture.mean(axis=(0, 1))
        shares.add((round(red / green, 1), round(green, 1), round(blue / green, 1)))
    assert len(shares) >= LIGHTS


def test_a_view_of_a_larger_picture_is_lit_as_its_copy() -> None:
    part = golden_picture(1)[10:50, 20:90]
    assert np.array_equal(lit(part, 1), lit(part.copy(), 1))


def test_black_stays_black() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert not any(lit(black, copy).any() for copy in range(LIGHTS + 1))

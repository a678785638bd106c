"""The photos that come with edged for the class `none`."""

from __future__ import annotations

import re

import numpy as np

from edged.teach.none import PHOTOS, PICTURES, none_picture


def test_about_a_hundred_small_photos_are_shipped() -> None:
    assert PICTURES == len(PHOTOS) == 100
    assert sum(path.stat().st_size for path in PHOTOS) < 600_000


def test_each_photo_is_free_and_named_with_its_author_and_source() -> None:
    text = (PHOTOS[0].parent / "LICENSES.md").read_text()
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (.+) \| (.+) \| <(https://.+)> \|$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == [path.stem for path in PHOTOS]
    assert {licence for _, _, licence, _ in rows} == {"CC0-1.0", "public domain"}
    assert all(author.strip() for _, author, _, _ in rows)


def test_the_pictures_are_large_enough_for_every_resolution_and_differ() -> None:
    small = set()
    for number in range(PICTURES):
        picture = none_picture(number)
        assert picture.dtype == np.uint8 and picture.shape[2] == 3
        assert min(picture.shape[:2]) == 224 and max(picture.shape[:2]) <= 301
        assert picture.std() > 10
        small.add(picture[::40, ::40].tobytes())
    assert len(small) == PICTURES


def test_a_picture_is_the_same_each_time() -> None:
    assert np.array_equal(none_picture(3), none_picture(3))

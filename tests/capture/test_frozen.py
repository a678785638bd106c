from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.capture.frozen import FEWEST, REMEMBERED, FreezeDetector

SECOND = 1_000_000_000
FRAME = SECOND // 25


def noise(seed: int, side: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def frozen_at(freeze: FreezeDetector, pictures: list[NDArray[np.uint8]]) -> int | None:
    """The number of the first picture that is judged frozen, at 25 a second."""
    judged = (freeze.frozen(picture, n * FRAME) for n, picture in enumerate(pictures))
    return next((n for n, frozen in enumerate(judged) if frozen), None)


def test_one_picture_for_ever_is_frozen_after_the_time() -> None:
    assert frozen_at(FreezeDetector(2), [noise(0)] * 100) == 50


def test_it_counts_from_the_last_new_picture() -> None:
    pictures = [noise(n) for n in range(30)] + [noise(29)] * 100
    assert frozen_at(FreezeDetector(2), pictures) == 29 + 50


@pytest.mark.parametrize("several", [2, 4, REMEMBERED])
def test_the_same_few_in_turn_are_frozen(several: int) -> None:
    pictures = [noise(n % several) for n in range(several + 60)]
    assert frozen_at(FreezeDetector(2), pictures) == several - 1 + 50


def test_a_live_still_scene_is_not() -> None:
    """One grey value, and a sensor's noise in one pixel in a hundred."""
    random = np.random.default_rng(0)
    pictures = [
        np.where(random.random((64, 64, 3)) < 0.01, 101, 100).astype(np.uint8) for _ in range(500)
    ]
    assert frozen_at(FreezeDetector(1), pictures) is None


def test_a_key_frame_that_differs_once_in_a_while_is_news() -> None:
    pictures = [noise(n // 20) for n in range(500)]
    assert frozen_at(FreezeDetector(1), pictures) is None


def test_another_size_of_the_same_picture_is_news_only_once() -> None:
    small, large = noise(0, 16), noise(0, 32)
    pictures = [small] * 40 + [large] * 40 + [small, large] * 40
    assert frozen_at(FreezeDetector(2), pictures) == 40 + 50


def test_a_slow_source_needs_some_pictures() -> None:
    freeze = FreezeDetector(1)
    judged = [freeze.frozen(noise(0), n * 60 * SECOND) for n in range(FEWEST + 1)]
    assert judged == [False] * FEWEST + [True]


def test_views_count_by_what_they_show() -> None:
    large = noise(0, 64)
    freeze = FreezeDetector(1)
    for n in range(40):
        large[0] = n  # outside the view
        frozen = freeze.frozen(large[16:48, 16:48][:, ::-1], n * FRAME)
    assert frozen

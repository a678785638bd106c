from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edged.capture.motion import CELLS, SCALES, Motion, cells_of
from edged.capture.source import Quiet

S = 1_000_000_000
FPS = 20
Pixels = NDArray[np.uint8]


def scene(noise: float = 0.0, seed: int = 0, side: int = 160, light: float = 0.0) -> Pixels:
    """A wall with a door, as a sensor with that much noise (standard deviation) sees it."""
    picture = np.full((side, side, 3), 90.0)
    picture[side // 4 :, side // 3 : side // 2] = 160
    random = np.random.default_rng(seed)
    seen = picture + light + random.normal(0, noise, picture.shape)
    return seen.clip(0, 255).astype(np.uint8)


def visitor(picture: Pixels, left: int, side: int = 16, brightness: int = 20) -> Pixels:
    changed = picture.copy()
    changed[60 : 60 + side, left : left + side] = brightness
    return changed


class Film:
    """Pictures at a steady rate; tells which of them are delivered."""

    def __init__(self, **settings: float) -> None:
        self.motion = Motion(Quiet(**settings))
        self.frame = 0

    def show(self, *pictures: Pixels) -> list[bool]:
        told = []
        for picture in pictures:
            told.append(self.motion.delivers(picture, 1_000 * S + self.frame * S // FPS))
            self.frame += 1
        return told

    def settle(self, noise: float = 0.0, seconds: float = 4.0) -> None:
        """Until only what must be is delivered."""
        self.show(*(scene(noise, seed) for seed in range(round(seconds * FPS))))


def test_what_stands_still_is_delivered_every_few_seconds_only() -> None:
    film = Film(at_least_every_seconds=5, hold_seconds=2)
    told = film.show(*[scene()] * (30 * FPS))
    assert all(told[: 2 * FPS + 1])  # the beginning counts as motion
    later = [frame / FPS for frame, delivered in enumerate(told) if delivered][2 * FPS + 1 :]
    assert later == [7.0, 12.0, 17.0, 22.0, 27.0]


def test_the_first_picture_with_something_new_is_delivered_and_so_are_those_after_it() -> None:
    film = Film(hold_seconds=1)
    film.settle()
    told = film.show(scene(), visitor(scene(), 30), *[visitor(scene(), 30)] * (2 * FPS))
    assert told[:2] == [False, True]
    assert told[2 : 2 + FPS] == [True] * FPS
    assert not any(told[3 + FPS :])


@pytest.mark.parametrize("noise", [0, 2, 5, 12, 25])
def test_noise_is_no_motion(noise: float) -> None:
    film = Film(at_least_every_seconds=1000)
    film.settle(noise)
    told = film.show(*(scene(noise, 1000 + seed) for seed in range(20 * FPS)))
    assert not any(told)


@pytest.mark.parametrize("noise", [0, 5, 12])
def test_motion_is_seen_through_the_noise(noise: float) -> None:
    film = Film(at_least_every_seconds=1000)
    film.settle(noise)
    assert film.show(visitor(scene(noise, 99), 30)) == [True]


def test_a_cloud_over_the_whole_scene_is_no_motion() -> None:
    film = Film(at_least_every_seconds=1000)
    film.settle(2)
    told = film.show(*(scene(2, 500 + step, light=-step / 2) for step in range(60)))
    assert not any(told)


@pytest.mark.parametrize("coarse", [1, 4])
def test_motion_that_fills_the_picture_does_not_become_noise(coarse: int) -> None:
    """A conveyor belt."""
    random = np.random.default_rng(coarse)
    belt = random.integers(20, 220, (160 // coarse, 640 // coarse, 3), np.uint8)
    belt = belt.repeat(coarse, axis=0).repeat(coarse, axis=1)
    film = Film(at_least_every_seconds=1000, hold_seconds=0.2)
    film.show(*[belt[:, :160]] * FPS)
    told = film.show(*(np.roll(belt, 7 * step, axis=1)[:, :160] for step in range(1, 20 * FPS)))
    assert all(told)


def test_slow_things_add_up() -> None:
    """A shade that comes so slowly that no picture differs much from the one before."""
    film = Film(at_least_every_seconds=1000)
    film.settle()
    told = film.show(*(visitor(scene(), 30, brightness=90 + step // 3) for step in range(90)))
    assert any(told)
    assert told.index(True) > 5


def test_another_scale_is_no_motion_and_something_new_is_seen_in_it() -> None:
    film = Film(at_least_every_seconds=1000)
    film.settle()
    told = film.show(*[scene(side=224)] * 3, *[scene(side=128)] * 3, visitor(scene(side=128), 20))
    assert told == [False] * 6 + [True]


def test_what_comes_with_a_known_scale_is_seen_at_once() -> None:
    film = Film(at_least_every_seconds=1000)
    film.settle()
    small, large = [scene()] * 10, scene(side=224)
    assert not any(film.show(large, *small, large, *small))
    changed = large.copy()
    changed[:40, :40] = 20
    assert film.show(changed) == [True]


def test_no_more_than_a_few_scales_are_remembered() -> None:
    film = Film(at_least_every_seconds=1000)
    film.settle()
    assert not any(film.show(*(scene(side=side) for side in range(100, 300))))
    assert len(film.motion._delivered) == SCALES


@given(st.integers(1, 300), st.integers(1, 300))
def test_cells_are_the_means_of_parts_that_cover_the_picture(height: int, width: int) -> None:
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    cells = cells_of(picture)
    assert cells.shape == (min(CELLS, height), min(CELLS, width))
    assert cells.min() >= picture[:, :, 1].min() - 0.01
    assert cells.max() <= picture[:, :, 1].max() + 0.01
    if height % CELLS == width % CELLS == 0:
        assert cells.mean() == pytest.approx(picture[:, :, 1].mean(), abs=0.01)
    assert cells[0, 0] == pytest.approx(
        picture[: max(1, height // CELLS), : max(1, width // CELLS), 1].mean(), abs=0.01
    ) or (height % CELLS or width % CELLS)

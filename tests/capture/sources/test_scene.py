from __future__ import annotations

import numpy as np
import pytest

from edged.capture.sources.synthetic.scene import TURN_SECONDS, Scene


@pytest.mark.parametrize("size", [(320, 240), (240, 320), (97, 61), (16, 16), (600, 16)])
def test_a_scene_of_any_size(size: tuple[int, int]) -> None:
    scene = Scene(*size)
    for seconds in (0.0, 1.3, TURN_SECONDS + 1, 1e6):
        picture = scene.draw(seconds)
        assert picture.shape == (size[1], size[0], 3)
        assert picture.dtype == np.uint8


def test_a_white_ball_on_grass_then_a_canopy_in_the_sky() -> None:
    scene = Scene(320, 240)
    lawn = scene.draw(0.0).astype(int)
    ball = lawn[100:140, 145:175]
    assert ball.min(axis=2).mean() > 150  # bright, and
    assert np.ptp(ball.mean(axis=(0, 1))) < 25  # without a colour
    corner = lawn[-30:, :60].mean(axis=(0, 1))
    assert corner[1] > corner[0] > corner[2]  # green

    air = scene.draw(TURN_SECONDS).astype(int)
    edge = air[:, :20].mean(axis=(0, 1))
    assert edge[2] > edge[1] > edge[0]  # blue
    red = (air[..., 0] > 120) & (air[..., 2] < 80)
    assert 0.02 < red.mean() < 0.4
    rows, columns = np.nonzero(red)
    assert abs(columns.mean() - 160) < 30
    assert rows.mean() < 120


def test_the_subjects_stay_inside_the_centre_square() -> None:
    scene = Scene(480, 240)
    grass = np.median([scene.draw(t / 4).copy() for t in range(20)], axis=0)
    for step in range(20):
        changed = np.abs(scene.draw(step / 4).astype(int) - grass).max(axis=2) > 40
        columns = np.nonzero(changed.any(axis=0))[0]
        if len(columns):
            assert columns.min() >= 120
            assert columns.max() < 360


def test_the_same_moment_is_the_same_picture() -> None:
    one, two = Scene(100, 80), Scene(100, 80)
    for seconds in (0.0, 2.0, 7.0):
        picture = one.draw(seconds).copy()
        assert np.array_equal(picture, two.draw(seconds))
        assert np.array_equal(picture, one.draw(seconds))

"""Another scene, told by small pictures."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from edged.control.scene_change import NOVEL, SceneChange

Draw = Callable[[random.Random], bytes]


def noisy(levels: list[int], noise: int) -> Draw:
    return lambda draw: bytes(each + draw.randrange(noise + 1) for each in levels)


def anything(draw: random.Random) -> bytes:
    return bytes(draw.randrange(256) for _ in range(48))


FLOOR, YARD = noisy([90] * 48, 6), noisy([*range(0, 240, 5)], 6)


def told(*shown: tuple[Draw, int], seed: int = 3) -> Iterator[int]:
    """How many pictures in a row are another scene's, after each; a scene begins as it does."""
    draw, change = random.Random(seed), SceneChange()
    for picture, count in shown:
        for _ in range(count):
            novel = change.see(picture(draw))
            if novel == NOVEL:
                change.begin()
            yield novel


def begun(found: Iterator[int]) -> list[int]:
    """Places of the pictures with which a scene begins."""
    return [place for place, novel in enumerate(found) if novel == NOVEL]


def test_pictures_unlike_all_before_are_another_scene() -> None:
    assert begun(told((FLOOR, 40), (YARD, 40), (FLOOR, 40))) == [39 + NOVEL, 79 + NOVEL]


def test_a_camera_that_stops_shows_another_scene() -> None:
    """While it moved no two pictures were alike."""
    (place,) = begun(told((anything, 40), (YARD, 40)))
    assert 39 + NOVEL <= place <= 40 + NOVEL


def test_a_camera_that_moves_on_shows_another_scene_once() -> None:
    assert begun(told((YARD, 40), (anything, 100))) == [39 + NOVEL]


@pytest.mark.parametrize("passes", range(1, NOVEL))
def test_a_passer_by_is_no_other_scene(passes: int) -> None:
    found = told(*[(FLOOR, 40), (YARD, passes)] * 5, (FLOOR, 40))
    assert begun(found) == []


def test_a_stop_in_between_is_no_other_scene() -> None:
    assert begun(told(*[(anything, 40), (YARD, NOVEL - 1)] * 5, (anything, 40))) == []


def test_a_tour_that_rests_at_a_known_place_is_one_scene() -> None:
    draw = random.Random(3)
    places = [noisy([draw.randrange(240) for _ in range(48)], 6) for _ in range(7)]
    tour = [(place, 1) for _ in range(6) for place in places]
    assert begun(told(*tour, *[(places[3], 10), *tour] * 5)) == []


def test_pictures_that_come_again_are_no_other_scene() -> None:
    draw, change = random.Random(3), SceneChange()
    pictures = [anything(draw) for _ in range(40)]
    assert all(change.see(pictures[number * number % 40]) < NOVEL for number in range(400))


@pytest.mark.parametrize("picture", [FLOOR, anything, noisy([60] * 48, 40)])
def test_a_scene_that_goes_on_is_one(picture: Draw) -> None:
    """Seldom is it not: once in 29,000 pictures on average, of either kind."""
    assert sum(len(begun(told((picture, 2000), seed=seed))) for seed in range(5)) <= 2

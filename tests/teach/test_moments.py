"""Which pictures count as one piece of evidence."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.teach.moments import LOOK_SIDE, Look, Shot, differs, grouped, look
from edged.teach.pictures.exif import taken_unix
from tests.rig.classifiers import drawn
from tests.rig.photos_exif import with_time


def flat(level: int) -> Look:
    return np.full((LOOK_SIDE, LOOK_SIDE, 3), level, np.uint8)


def noisy(seed: int, spread: int = 40) -> Look:
    random = np.random.default_rng(seed)
    return random.integers(100, 100 + spread, (LOOK_SIDE, LOOK_SIDE, 3), dtype=np.uint8)


def test_pictures_of_a_burst_are_one_moment_whatever_they_show() -> None:
    shots = [Shot(noisy(number), unix) for number, unix in enumerate((0, 25, 55, 86, 1000))]
    assert grouped(shots) == [0, 0, 0, 1, 2]
    assert grouped([*reversed(shots)]) == [0, 1, 2, 2, 2]


def test_pictures_without_a_time_are_one_moment_if_they_look_alike() -> None:
    one, other = noisy(1), noisy(2)
    nearly = one.copy()
    nearly[0, 0] += 20
    assert grouped([Shot(one), Shot(other), Shot(nearly), Shot(one)]) == [0, 1, 0, 0]


def test_brightness_alone_makes_no_new_moment() -> None:
    one = noisy(1)
    assert grouped([Shot(one), Shot(one + 60)]) == [0, 0]


def test_a_known_moment_takes_what_belongs_to_it() -> None:
    known = [Shot(noisy(1), 100, "a"), Shot(noisy(2), 100, "b"), Shot(noisy(3), 5000, "c")]
    shots = [Shot(noisy(2)), Shot(noisy(4)), Shot(noisy(5), 5010), Shot(noisy(6), 9000)]
    found = grouped(shots, known)
    assert [known[-1 - each].moment if each < 0 else each for each in found] == ["b", 0, "c", 1]
    assert grouped([], known) == []


def test_moments_of_the_same_time_stay_apart() -> None:
    """They were added together, without a time of their own."""
    known = [Shot(noisy(number), 100, str(number)) for number in range(3)]
    found = grouped([Shot(noisy(number)) for number in range(3)], known)
    assert [known[-1 - each].moment for each in found] == ["0", "1", "2"]


def test_a_picture_that_differs_is_worth_keeping() -> None:
    assert differs(noisy(1), [])
    assert not differs(noisy(1), [noisy(2), noisy(1)])
    assert differs(noisy(3), [noisy(2), noisy(1)])
    assert differs(look(drawn(0, 0)), [look(drawn(1, 0))])
    assert look(drawn(0, 0)).shape == (LOOK_SIDE, LOOK_SIDE, 3)
    assert differs(flat(0), [noisy(1)])


def test_a_thousand_pictures_find_their_likes() -> None:
    shots = [Shot(noisy(number, 150)) for number in range(1000)]
    assert grouped(shots + shots) == [*range(1000), *range(1000)]


@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_the_time_of_a_photo(order: bytes) -> None:
    assert taken_unix(with_time(drawn(0, 0), "2026:11:30 10:15:00", order=order)) == 1796033700
    zoned = with_time(drawn(0, 0), "2026:11:30 10:15:00", "+02:00", order=order)
    assert taken_unix(zoned) == 1796033700 - 7200


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "yesterday", "", "2026:11:30 10:15:99"])
def test_a_time_that_is_none(text: str) -> None:
    assert taken_unix(with_time(drawn(0, 0), text)) is None


def test_damaged_exif_data_is_no_time() -> None:
    whole = with_time(drawn(0, 0), "2026:11:30 10:15:00")
    for end in range(20, 200, 3):
        assert taken_unix(whole[:end]) in (None, 1796033700)
    for place in range(20, 120):
        taken_unix(whole[:place] + b"\xff" + whole[place + 1 :])


@pytest.fixture(scope="module")
def clip(data: Path) -> Mapping[int, NDArray[np.uint8]]:
    import av

    labels = read_labels(data)
    found = {}
    with av.open(str(data / "video/bottle-detection.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in labels:
                found[number] = look(frame.to_ndarray(format="rgb24"))
    return found


def read_labels(data: Path) -> dict[int, tuple[str, str]]:
    with (data / "teach/bottle.csv").open() as file:
        return {int(row["frame"]): (row["label"], row["moment"]) for row in csv.DictReader(file)}


@pytest.mark.data
def test_neighbouring_frames_of_a_clip_are_alike_and_other_moments_are_not(
    clip: Mapping[int, NDArray[np.uint8]], data: Path
) -> None:
    labels = read_labels(data)
    neighbours: Counter[bool] = Counter()
    for one, other in pairwise(sorted(clip)):
        if labels[one] == labels[other]:
            neighbours[differs(clip[other], [clip[one]])] += 1
    assert neighbours[False] > 0.7 * neighbours.total()
    some = sorted(clip)[::6]
    apart = [
        differs(clip[one], [clip[other]])
        for one, other in combinations(some, 2)
        if labels[one] != labels[other]
    ]
    assert len(apart) > 2000
    assert sum(apart) > 0.999 * len(apart)

"""Pictures from outside become moments of a classifier."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edged.teach.adding import add_pictures
from edged.teach.pictures.importing import Upload, looks_of
from edged.teach.store import TeachStore
from tests.rig.classifiers import drawn, jpeg, made
from tests.rig.photos_exif import with_time


def test_pictures_are_added_in_moments(tmp_path: Path) -> None:
    classifier = made(tmp_path / "teach")
    times = ("10:15:00", "10:15:20", "10:15:45", "11:00:00")
    items = [
        Upload(each, with_time(drawn(0, number), f"2026:11:30 {each}"))
        for number, each in enumerate(times)
    ]
    added = add_pictures(classifier, "open", items)
    assert (added.pictures, len(added.moments)) == (4, 2)
    moments = TeachStore(tmp_path / "teach").open("gate").moments()
    assert [len(each.pictures) for each in moments] == [3, 1]
    assert moments[0].id.startswith("20261130T101500Z-")
    again = add_pictures(classifier, "open", items)
    assert (again.pictures, len(again.known), again.other) == (0, 4, ())
    other = add_pictures(classifier, "closed", items[:1])
    assert other.other == (("10:15:00", "open"),)


def test_equal_pictures_are_one_and_counted(tmp_path: Path) -> None:
    classifier = made(tmp_path / "teach")
    times = ("10:15:00", "11:00:00")
    items = [Upload(each, with_time(drawn(0, 0), f"2026:11:30 {each}")) for each in times]
    added = add_pictures(classifier, "open", items)
    assert (added.pictures, len(added.moments), added.same) == (1, 1, 1)


def test_what_looks_like_a_known_moment_joins_it(tmp_path: Path) -> None:
    classifier = made(tmp_path / "teach")
    add_pictures(classifier, "open", [Upload("a", jpeg(0, 0)), Upload("b", jpeg(1, 0))])
    assert len(classifier.moments()) == 2
    nearly = drawn(0, 0)
    nearly[:2, :2] = 255
    added = add_pictures(classifier, "open", [Upload("c", coded_png(nearly))])
    assert added.pictures == 1
    assert len(classifier.moments()) == 2


def coded_png(pixels: np.ndarray) -> bytes:  # type: ignore[type-arg]
    done, data = cv2.imencode(".png", pixels[:, :, ::-1])
    assert done
    return bytes(data)


def test_one_moment_is_one(tmp_path: Path) -> None:
    classifier = made(tmp_path / "teach")
    items = [Upload(str(number), jpeg(number % 2, number)) for number in range(5)]
    added = add_pictures(classifier, "open", items, one_moment=True)
    assert (added.pictures, len(added.moments)) == (5, 1)


def test_looks_of_stored_pictures() -> None:
    found = looks_of([jpeg(0, 0), b"damaged", jpeg(1, 0)])
    assert [each is None for each in found] == [False, True, False]
    assert looks_of([]) == []

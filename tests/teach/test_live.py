"""A classifier before its view: recordings, what is offered for a label, instant answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edged.errors import EdgedError, InputError
from edged.teach.live import SEEN_NS, Compared, LiveClassifier, Sight
from edged.teach.pictures.bounds import SHORT_SIDE
from edged.teach.recording import Recorder
from edged.teach.store import Classifier, Moment, TeachStore
from edged.variants.heads import HeadMatrix
from tests.rig.results import make_result

SECOND_NS = 1_000_000_000
NETWORK = "ab" * 32


class View:
    """A view with a classifier of two classes, and a clock that the test moves."""

    def __init__(self, root: Path) -> None:
        self.now_ns = SECOND_NS
        self.store = TeachStore(root)
        classifier = self.store.create("gate", "yard/gate", ("open", "closed"))
        self.recorder = Recorder()
        self.live = LiveClassifier(
            classifier, self.recorder, lambda: self.now_ns, lambda: 1.8e9 + self.now_ns / 1e9
        )

    def show(
        self,
        pixels: NDArray[np.uint8],
        rows: list[float] | None = None,
        features: list[float] | None = None,
    ) -> None:
        """A result, a fifth of a second after the one before."""
        self.now_ns += SECOND_NS // 5
        given = None if features is None else np.array(features, np.float32)
        said = None if rows is None else np.array(rows, np.float32)
        self.live.observe(Sight(make_result(view="yard/gate"), pixels, given, said, NETWORK))
        self.recorder.wait()

    @property
    def moments(self) -> list[Moment]:
        return self.store.open("gate").moments()


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    yield View(tmp_path)


def picture(seed: int, height: int = 360, width: int = 640) -> NDArray[np.uint8]:
    """Patches of colour; another seed looks different."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    drawn: NDArray[np.uint8] = cv2.resize(
        patches, (width, height), interpolation=cv2.INTER_NEAREST
    ).astype(np.uint8)
    return drawn


def test_a_recording_is_one_moment_of_pictures_that_differ(view: View) -> None:
    moment = view.live.record("open", 10, None)
    for seed in (1, 1, 1, 2, 2, 3):
        view.show(picture(seed))
    (found,) = view.moments
    assert (found.id, found.label, len(found.pictures)) == (moment, "open", 3)


def test_nothing_is_kept_before_and_after_a_recording(view: View) -> None:
    view.show(picture(1))
    view.live.record("open", 1, None)
    for seed in range(2, 12):
        view.show(picture(seed))
    (found,) = view.moments
    assert len(found.pictures) == 4  # of the first second
    assert view.live.side == 0


def test_holding_on_continues_a_moment_and_another_label_begins_one(view: View) -> None:
    moment = view.live.record("open", 0.5, None)
    view.show(picture(1))
    assert view.live.record("open", 0.5, moment) == moment
    view.show(picture(2))
    other = view.live.record("closed", 0.5, None)
    view.show(picture(3))
    assert {(each.id, each.label, len(each.pictures)) for each in view.moments} == {
        (moment, "open", 2),
        (other, "closed", 1),
    }


def test_pictures_are_stored_with_256_pixels_and_their_shape(view: View) -> None:
    view.live.record("open", 10, None)
    assert view.live.side == SHORT_SIDE
    view.show(picture(1, 720, 1280))
    (found,) = view.moments
    jpeg = view.store.open("gate").picture(found.pictures[0])
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None and decoded.shape == (256, 455, 3)


def test_a_small_picture_is_passed_over_only_until_a_larger_one_could_come(view: View) -> None:
    view.live.record("open", 10, None)
    view.show(picture(1, 128, 128))
    assert not view.moments
    for seed in range(2, 8):
        view.show(picture(seed, 128, 128))
    (found,) = view.moments
    assert len(found.pictures) == 3  # from the second second on


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([0.5, 0.3, 0.2], "uncertain"),
        ([0.1, 0.1, 0.8], "unlike anything taught"),
        ([0.9, 0.05, 0.05], ""),
    ],
)
def test_pictures_worth_a_label_are_offered(view: View, rows: list[float], reason: str) -> None:
    view.live.runs = True
    for seed in range(4):
        view.show(picture(seed), rows, [1.0, 0.0])
    assert [each.reason for each in view.moments] == ([reason] if reason else [])
    assert all(each.label is None for each in view.moments)


def test_a_changed_answer_is_offered_and_not_each_second(view: View) -> None:
    view.live.runs = True
    for seed in range(20):
        row = [0.9, 0.05, 0.05] if seed % 2 else [0.05, 0.9, 0.05]
        view.show(picture(seed), row, [1.0, 0.0])
    assert [each.reason for each in view.moments] == ["changed"]
    view.now_ns += SEEN_NS
    for seed in range(20, 24):
        row = [0.9, 0.05, 0.05] if seed % 2 else [0.05, 0.9, 0.05]
        view.show(picture(seed), row, [1.0, 0.0])
    assert len(view.moments) == 2


def test_before_there_is_a_version_only_what_looks_different_is_offered(view: View) -> None:
    view.live.runs = True
    for seed in (1, 1, 1, 2):
        for _ in range(12):
            view.show(picture(seed), [], [1.0, 0.0])
        view.now_ns += SEEN_NS
    assert len(view.moments) == 2


def test_a_view_that_runs_another_model_is_recorded_but_not_watched(view: View) -> None:
    view.show(picture(1))
    assert not view.moments
    view.live.record("closed", 5, None)
    view.show(picture(2))
    assert [each.label for each in view.moments] == ["closed"]


def test_the_nearest_mean_answers_while_pictures_come_in(view: View) -> None:
    view.live.runs = True
    assert view.live.answer() is None
    view.live.record("open", 0.5, None)
    view.show(picture(1), [], [1.0, 0.0])
    assert view.live.answer() is None  # one class has no neighbour
    view.live.record("closed", 0.5, None)
    view.show(picture(2), [], [0.0, 1.0])
    view.show(picture(3), [], [0.8, 0.3])
    assert view.live.answer() == {"label": "open", "score": None, "by": "means"}


def test_the_version_before_is_asked_for_a_day(view: View) -> None:
    view.live.runs = True
    swapped = HeadMatrix.of(np.array([[0, 9, 0], [9, 0, 0], [0, 0, -9]], np.float32))
    until = view.live.unix() + 60
    compared = Compared("gate", 1, {NETWORK: swapped}, (0, 1, 2), until)
    view.live.compared = compared
    for seed in range(3):
        view.show(picture(seed), [0.9, 0.05, 0.05], [1.0, 0.0])
    assert [each.reason for each in view.moments] == ["versions disagree"]
    assert (compared.results, compared.differing) == (3, 3)
    view.now_ns += 60 * SECOND_NS
    view.show(picture(9), [0.9, 0.05, 0.05], [1.0, 0.0])
    assert view.live.compared is None


def test_another_classifier_is_compared_by_the_names_of_its_classes(view: View) -> None:
    same = HeadMatrix.of(np.array([[0, 9, 0], [9, 0, 0], [0, 0, -9]], np.float32))
    compared = Compared("fence", 1, {NETWORK: same}, (1, 0, 2), view.live.unix() + 60)
    view.live.compared = compared
    for features in ([1.0, 0.0], [0.0, 1.0]):
        view.show(picture(1), [*(0.9 * each for each in features), 0.1], features)
    assert (compared.results, compared.differing) == (2, 0)


def test_a_recording_that_cannot_be_stored_ends_with_the_reason(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise EdgedError("the disk is full")

    monkeypatch.setattr(Classifier, "add", full)
    moment = view.live.record("open", 5, None)
    view.show(picture(1))
    with pytest.raises(InputError, match="the recording ended: the disk is full"):
        view.live.record("open", 5, moment)


def test_only_the_present_recording_is_held_on(view: View) -> None:
    view.live.record("open", 5, None)
    with pytest.raises(InputError, match="no such recording"):
        view.live.record("open", 5, "20260101T000000Z-abcd")

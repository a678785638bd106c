"""Folds, intervals and shrinkage."""

from __future__ import annotations

import numpy as np
import pytest

from edged.teach.curve import point, smaller_splits
from edged.teach.estimate import (
    Evidence,
    confusion,
    doubts,
    estimate,
    raw_shares,
    shrunken,
    wilson,
)


def evidence(*moments: int, pictures: int = 3) -> Evidence:
    """moments: of each class."""
    labels = np.repeat(np.arange(len(moments)), np.multiply(moments, pictures))
    return Evidence(labels, np.arange(sum(moments) * pictures) // pictures, len(moments))


@pytest.mark.parametrize("moments", [(2, 2), (2, 9), (5, 5, 5), (3, 20, 7), (2, 3, 4, 5)])
def test_a_moment_lies_in_one_fold_and_no_fold_takes_a_class_whole(
    moments: tuple[int, ...],
) -> None:
    shown = evidence(*moments)
    folds = shown.folds()
    assert set(folds) == set(range(min(5, max(moments))))
    for moment in range(sum(moments)):
        assert len(set(folds[shown.moments == moment])) == 1
    for fold in set(folds):
        assert set(shown.labels[folds != fold]) == set(range(len(moments)))


def test_the_moments_of_a_class_are_spread_evenly() -> None:
    shown = evidence(10, 13)
    for label in (0, 1):
        sizes = np.bincount(shown.folds()[shown.labels == label])
        assert sizes.max() - sizes.min() <= 3  # one moment


def test_classes_weigh_alike_and_their_moments() -> None:
    shown = Evidence(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 2]), 2)
    assert shown.weights().tolist() == pytest.approx([1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 2])
    kept = np.array([True, True, False, False, True])
    assert shown.weights(kept).tolist() == pytest.approx([1 / 4, 1 / 4, 0, 0, 1 / 2])


@pytest.mark.parametrize(
    ("moments", "judged", "rough"),
    [((1, 8), False, True), ((2, 8), True, True), ((3, 8), True, False)],
)
def test_the_class_with_the_fewest_moments_decides(
    moments: tuple[int, int], judged: bool, rough: bool
) -> None:
    assert evidence(*moments).judge() == (judged, rough)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [
        (0.5, 10, 0.2366, 0.7634),
        (1.0, 10, 0.7225, 1.0),
        (0.0, 5, 0.0, 0.4345),
        (0.9, 50, 0.7864, 0.9565),
    ],
)
def test_wilson(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == pytest.approx((low, high), abs=1e-4)


def test_few_moments_keep_little_of_the_differences() -> None:
    raw, priors = [0.9, 0.7], [0.5, 0.5]
    few, many = shrunken(raw, priors, 5), shrunken(raw, priors, 10_000)
    assert few[0] - few[1] == pytest.approx(0.2 * 5 / 105)
    assert many == pytest.approx(raw, abs=0.002)
    assert sum(few) / 2 == pytest.approx(0.8, abs=0.001)


def test_the_priors_order_variants_that_nothing_else_tells_apart() -> None:
    shares = shrunken([0.8, 0.8, 0.8], [0.4, 0.5, 0.7], 9)
    assert shares == sorted(shares) and 0.03 < shares[2] - shares[0] < 0.1


@pytest.mark.parametrize("raw", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
def test_extremes_stay_shares(raw: list[float]) -> None:
    assert all(0 <= each <= 1 for each in shrunken(raw, [0.01, 0.99], 4))


def test_the_interval_counts_moments_not_pictures() -> None:
    widths = []
    for pictures in (1, 50):
        shown = evidence(4, 4, pictures=pictures)
        answers = np.zeros((len(shown.labels), 1, 2), np.float32)
        answers[np.arange(len(answers)), 0, shown.labels] = 1
        share = estimate(shown, answers, [("net", 128)], [0.5]).variants["net", 128]
        widths.append(share.high - share.low)
    assert widths[0] == pytest.approx(widths[1])


def test_accuracy_is_balanced() -> None:
    shown = evidence(9, 1)
    answers = np.zeros((30, 1, 2), np.float32)
    answers[:, :, 0] = 1
    assert raw_shares(shown, answers) == [pytest.approx(0.5)]


def test_confusions_are_means_over_the_variants() -> None:
    shown = evidence(2, 2, pictures=1)
    answers = np.zeros((4, 2, 3), np.float32)
    answers[0, :, 0] = answers[1, 0, 0] = answers[1, 1, 2] = answers[2:, :, 1] = 1
    found = confusion(shown, answers, ("a", "b", "none"))
    assert found.labels == ("a", "b", "none")
    assert found.counts == ((1.5, 0, 0.5), (0, 2, 0))


def test_the_worst_pictures_come_first() -> None:
    shown = evidence(2, 2, pictures=1)
    answers = np.array([[[0.9, 0.1]], [[0.3, 0.7]], [[0.6, 0.4]], [[0.1, 0.9]]], np.float32)
    found = doubts(shown, answers, ["w", "x", "y", "z"])
    assert [(each.picture, each.label, each.said) for each in found] == [("x", 0, 1), ("y", 1, 0)]
    assert found[0].score == pytest.approx(0.3)


def test_the_learning_curve_takes_away_moments() -> None:
    shown = evidence(8, 8)
    folds = shown.folds()
    splits = smaller_splits(shown, folds)
    assert [split.held_out for split in splits] == [0, 1, 2, 3, 4] * 3
    for index, count in enumerate((1, 2, 4)):
        for split in splits[index * 5 : index * 5 + 5]:
            assert not (split.taught & (folds == split.held_out)).any()
            assert len(set(shown.moments[split.taught])) == 2 * count
    found = point(shown, splits[:5], np.eye(2, dtype=np.float32)[shown.labels][:, None])
    assert (found.moments, found.pictures, found.top1) == (2, 6, pytest.approx(1))


def test_two_moments_a_class_have_no_earlier_point() -> None:
    shown = evidence(2, 2)
    assert not smaller_splits(shown, shown.folds())

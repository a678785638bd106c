"""Thresholds for events."""

from __future__ import annotations

import numpy as np
import pytest

from edged.teach.estimate import Evidence
from edged.teach.thresholds import SCENES_PER_DAY, Threshold, thresholds

EVIDENCE = Evidence(np.repeat([0, 1], 30), np.arange(60) // 3, 2)
NOBODY = np.zeros((0, 2, 2), np.float32)


def suggested(
    own: float, other: float, strange: float | None = None, spread: float = 0.03
) -> Threshold:
    """For class 0, whose score in its own moments is near `own`."""
    random = np.random.default_rng(0)
    score = np.where(EVIDENCE.labels == 0, own, other)[:, None] + random.normal(0, spread, (60, 2))
    answers = np.stack([score, 1 - score], axis=-1)
    strangers = NOBODY
    if strange is not None:
        score = strange + random.normal(0, spread, (40, 2))
        strangers = np.stack([score, 1 - score], axis=-1)
    return thresholds(EVIDENCE, answers, strangers, ("a", "b"))["a"]


def test_a_threshold_lies_between_what_should_pass_and_what_should_not() -> None:
    found = suggested(0.9, 0.1)
    assert 0.25 < found.above < 0.85 and found.false_starts_per_day < 1


def test_mild_scores_get_a_low_threshold() -> None:
    assert suggested(0.5, 0.05).above < suggested(0.95, 0.5).above


def test_strangers_raise_it() -> None:
    assert suggested(0.9, 0.1, 0.6).above > suggested(0.9, 0.1, 0.1).above


def test_scores_that_overlap_start_events_falsely() -> None:
    clear, mixed = suggested(0.9, 0.1), suggested(0.6, 0.5, spread=0.15)
    assert clear.false_starts_per_day < mixed.false_starts_per_day <= SCENES_PER_DAY


def test_one_variant_that_scores_high_is_enough_for_a_false_start() -> None:
    answers = np.zeros((60, 2, 2), np.float32)
    answers[EVIDENCE.labels == 0, :, 0] = 0.95
    answers[EVIDENCE.labels == 1, 1, 0] = 0.7
    answers[..., 1] = 1 - answers[..., 0]
    assert thresholds(EVIDENCE, answers, NOBODY, ("a", "b"))["a"].above >= 0.7


def test_a_moment_counts_once() -> None:
    """Its pictures' scores are averaged, as smoothing does; one of three stands out."""
    answers = np.full((60, 1, 2), 0.1, np.float32)
    answers[EVIDENCE.labels == 0, :, 0] = 0.9
    answers[30::3, 0, 0] = 0.8
    assert thresholds(EVIDENCE, answers, NOBODY, ("a", "b"))["a"].above < 0.8


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scores_at_the_ends_are_taken(value: float) -> None:
    answers = np.full((60, 1, 2), value, np.float32)
    for found in thresholds(EVIDENCE, answers, NOBODY, ("a", "b")).values():
        assert 0.3 <= found.above <= 0.95 and np.isfinite(found.false_starts_per_day)

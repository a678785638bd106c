"""Fitting heads, on drawn features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.errors import InputError
from edged.teach.fit import Matrix, fit_heads, nearest_mean, scores


def clouds(
    classes: int, each: int, columns: int = 40, apart: float = 3.0, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (classes * each, columns) around a centre for each class, and the labels."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, apart / np.sqrt(columns), (classes, columns))
    labels = np.repeat(np.arange(classes), each)
    noise = random.normal(0, 1, (len(labels), columns)) / np.sqrt(columns)
    return (5 + centres[labels] + noise).astype(np.float16), labels


def fit_head(
    features: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any], rows: int, pictures: int
) -> Matrix:
    return fit_heads(features, labels, weights[None], rows, pictures)[0]


def even(labels: NDArray[Any]) -> NDArray[Any]:
    return np.full(len(labels), 1 / len(labels))


@pytest.mark.parametrize("classes", [2, 5])
def test_a_head_tells_classes_apart_that_it_was_taught(classes: int) -> None:
    features, labels = clouds(classes, 30)
    head = fit_head(features, labels, even(labels), classes, len(labels))
    assert head.dtype == np.float32 and head.shape == (classes, 41)
    asked, wanted = clouds(classes, 50, seed=1)
    answers = scores(head, asked)
    assert (answers.argmax(axis=1) == wanted).mean() > 0.95
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_a_head_is_at_the_minimum_of_its_loss() -> None:
    """Centred, of unit rms, with the penalty 1.5 / pictures on all but the bias."""
    features, labels = clouds(3, 20, columns=12)
    head = fit_head(features, labels, even(labels), 3, 60).astype(np.float64)
    seen = features.astype(np.float64)
    centre = seen.mean(axis=0)
    rms = np.sqrt(np.mean((seen - centre) ** 2))
    inner = (seen - centre) / rms
    matrix, bias = head[:, :-1] * rms, head[:, -1] + head[:, :-1] @ centre

    def loss(matrix: NDArray[Any], bias: NDArray[Any]) -> float:
        logits = inner @ matrix.T + bias
        own = logits[np.arange(len(labels)), labels]
        log_sum = np.log(np.exp(logits).sum(axis=1))
        return float(np.mean(log_sum - own) + 1.5 / 60 / 2 * (matrix**2).sum())

    least = loss(matrix, bias)
    random = np.random.default_rng(0)
    for _ in range(50):
        step = random.normal(0, 0.05, matrix.shape)
        assert loss(matrix + step, bias) > least
        assert loss(matrix, bias + random.normal(0, 0.05, 3)) > least


def test_heads_fitted_together_are_those_fitted_alone() -> None:
    features, labels = clouds(3, 20)
    weights = np.stack([even(labels), even(labels) * (np.arange(60) % 3 > 0)])
    together = fit_heads(features, labels, weights, 3, 60)
    for own, head in zip(weights, together, strict=True):
        alone = fit_head(features, labels, own, 3, 60)
        assert np.abs(scores(alone, features) - scores(head, features)).max() < 0.02


def test_what_weighs_nothing_is_not_taught() -> None:
    features, labels = clouds(2, 20)
    wrong = np.concatenate([labels, 1 - labels])
    weights = np.concatenate([even(labels), np.zeros(len(labels))])
    head = fit_head(np.concatenate([features, features]), wrong, weights, 2, 40)
    assert (scores(head, features).argmax(axis=1) == labels).mean() > 0.95


def test_equal_features_give_equal_scores() -> None:
    features = np.full((8, 16), 3, np.float16)
    head = fit_head(features, np.arange(8) % 2, np.full(8, 1 / 8), 2, 8)
    assert np.allclose(scores(head, features), 0.5, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    features, labels = clouds(2, 5)
    features[3, 2] = bad
    with pytest.raises(InputError, match="not finite"):
        fit_head(features, labels, even(labels), 2, 10)


def test_the_nearest_mean_answers_at_once() -> None:
    features, labels = clouds(4, 5)
    head = nearest_mean(features, labels, 4)
    asked, wanted = clouds(4, 50, seed=1)
    assert (scores(head, asked).argmax(axis=1) == wanted).mean() > 0.9


def test_the_nearest_mean_leaves_out_a_class_without_pictures() -> None:
    features, labels = clouds(2, 5)
    answers = scores(nearest_mean(features, labels * 2, 4), features)
    assert np.isfinite(answers).all() and not answers[:, [1, 3]].any()


def test_the_nearest_mean_of_one_picture_answers() -> None:
    features, _ = clouds(2, 1)
    answers = scores(nearest_mean(features[:1], np.array([0]), 2), features)
    assert (answers[:, 0] == 1).all()

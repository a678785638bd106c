"""Fits heads: multinomial logistic regression on features, in NumPy.

Features are centred and scaled to unit rms; the L2 penalty is PENALTY / pictures, without a search
(tests/benchmarks/teach.md). Several heads that differ only in which rows count, such as those of
folds, are fitted together: most of the time goes into reading the features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.errors import InputError

Matrix = NDArray[np.float32]

PENALTY = 1.5
_SHARPNESS = 8.0
"""Of the nearest mean: logits for a distance as large as the spread of all features."""
_MOST_STEPS = 25
_FIRST = 4.0
"""Of the first step, from the largest curvature that logistic loss can have."""
_REMEMBERED = 8
"""Steps that the curvature is taken from (L-BFGS)."""
_FLAT = 3e-4
"""Norm of the gradient at which a head is done."""
_ENOUGH = 1e-4
"""Share of the expected decrease that a step must reach (Armijo)."""


def fit_heads(
    features: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any], rows: int, pictures: int
) -> Matrix:
    """Heads, float32 (heads, rows, C + 1), the last column the bias.

    features: (n, C), float16 or float32. labels: (n,), each below `rows`. weights: (heads, n), how
    much each counts for a head. pictures: how many the features come from. Raises InputError for
    features that are not finite.
    """
    shares = np.asarray(weights, np.float32)
    shares = shares / shares.sum(axis=1, keepdims=True)
    common = shares.mean(axis=0)
    count, columns = features.shape
    inner = np.ones((count, columns + 1), np.float32)
    inner[:, :-1] = features
    centre = common @ inner[:, :-1]
    if not np.isfinite(centre).all():
        raise InputError("features are not finite")
    inner[:, :-1] -= centre
    power = float(common @ np.einsum("ij,ij->i", inner[:, :-1], inner[:, :-1]))
    rms = np.float32(np.sqrt(power / columns)) or np.float32(1)
    inner[:, :-1] /= rms
    solved = _minimise(_Loss(inner, labels, shares, rows, PENALTY / pictures))
    solved[..., :-1] /= rms
    solved[..., -1] -= solved[..., :-1] @ centre
    return solved


def nearest_mean(features: NDArray[Any], labels: NDArray[Any], rows: int) -> Matrix:
    """A head that prefers the class whose mean is nearest: (rows, C + 1), at once.

    Serves while pictures come in. A class without a picture is never preferred.
    """
    seen = np.asarray(features, np.float32)
    matrix = np.zeros((rows, seen.shape[1] + 1), np.float32)
    matrix[:, -1] = -np.inf
    spread = max(float(seen.var(axis=0).sum()), 1e-12)
    for label in np.unique(labels):
        mean = seen[labels == label].mean(axis=0)
        matrix[label] = [*mean, -mean @ mean / 2]
    matrix *= _SHARPNESS / spread
    return matrix


def scores(head: Matrix, features: NDArray[Any]) -> Matrix:
    """(..., rows), each from 0 to 1, of features (..., C) by a head (rows, C + 1)."""
    logits = np.asarray(features, np.float32) @ head[:, :-1].T + head[:, -1]
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


class _Loss:
    """Weighted log loss with its penalty, of several heads at once: (heads, rows, columns)."""

    def __init__(
        self, inner: Matrix, labels: NDArray[Any], shares: Matrix, rows: int, penalty: float
    ) -> None:
        self.shape = len(shares), rows, inner.shape[1]
        self._inner = inner
        self._shares = shares[:, None]
        self._damping = np.full(inner.shape[1], penalty, np.float32)
        self._damping[-1] = 0  # not of the bias
        self._wanted = self._shares * (labels == np.arange(rows)[:, None])
        self._pull = self._back(self._wanted)
        """The part of the gradient that does not change."""

    def __call__(self, heads: Matrix) -> tuple[Matrix, Matrix]:
        """Losses (heads,) and gradients."""
        count, rows, columns = self.shape
        # Rows before examples: sums over a few rows are then sums of long vectors.
        logits = (heads.reshape(-1, columns) @ self._inner.T).reshape(count, rows, -1)
        logits -= logits.max(axis=1, keepdims=True)
        hit = np.einsum("hrn,hrn->h", self._wanted, logits)
        powers = np.exp(logits, out=logits)
        total = powers.sum(axis=1, keepdims=True)
        losses = np.einsum("hrn,hrn->h", self._shares, np.log(total)) - hit
        powers *= self._shares / total
        damped = self._damping * heads
        losses += _dot(damped, heads) / 2
        return losses, self._back(powers) - self._pull + damped

    def _back(self, powers: Matrix) -> Matrix:
        flat = powers.reshape(-1, powers.shape[-1])
        return np.asarray((flat @ self._inner).reshape(self.shape))


def _minimise(loss: _Loss) -> Matrix:
    """L-BFGS from zero, each head with steps of its own."""
    heads = np.zeros(loss.shape, np.float32)
    losses, gradients = loss(heads)
    steps: list[tuple[Matrix, Matrix, Matrix]] = []
    for _ in range(_MOST_STEPS):
        if _dot(gradients, gradients).max() < _FLAT**2:
            break
        towards: Matrix = -_curved(gradients, steps)
        if not steps:
            towards *= _FIRST / loss.shape[2]
        slopes = _dot(gradients, towards)
        lengths = np.ones(len(heads), np.float32)
        while True:
            new = heads + lengths[:, None, None] * towards
            new_losses, new_gradients = loss(new)
            short = new_losses > losses + _ENOUGH * lengths * slopes + 1e-6
            if not short.any() or lengths.min() < 1e-3:
                break
            lengths[short] /= 2
        step, change = new - heads, new_gradients - gradients
        steps = [*steps, (step, change, np.maximum(_dot(step, change), 1e-12))][-_REMEMBERED:]
        heads, losses, gradients = new, new_losses, new_gradients
    return heads


def _curved(gradients: Matrix, steps: list[tuple[Matrix, Matrix, Matrix]]) -> Matrix:
    """The gradients by the inverse of the curvature that the last steps showed."""
    direction: Matrix = gradients.copy()
    shares: list[Matrix] = []
    for step, change, product in reversed(steps):
        shares.append(_dot(step, direction) / product)
        direction -= shares[-1][:, None, None] * change
    if steps:
        _, change, product = steps[-1]
        direction *= (product / np.maximum(_dot(change, change), 1e-12))[:, None, None]
    for step, change, product in steps:
        back = _dot(change, direction) / product
        direction += (shares.pop() - back)[:, None, None] * step
    return direction


def _dot(left: Matrix, right: Matrix) -> Matrix:
    products: Matrix = np.einsum("hrc,hrc->h", left, right)
    return products

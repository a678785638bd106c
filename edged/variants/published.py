"""The published accuracy of MobileNet v1: an order of variants where nothing was measured yet.

The figures are those of TF-Slim's float networks (official.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from edged.variants.official import ALPHAS, OFFICIAL, RESOLUTIONS, Weights
from edged.variants.variant import Precision, Variant

SOURCE = "published: ImageNet figures, interpolated"

_FLOAT = OFFICIAL["mobilenet-v1-imagenet"][Weights.FLOAT]
_TOP1: Mapping[float, Mapping[float, float]] = {
    alpha: {side: _FLOAT.accuracy(alpha, side).top1 for side in RESOLUTIONS} for alpha in ALPHAS
}
_INT8_LOSS = 0.01
"""Approximate cost of quantisation; only the sign matters: float ranks above INT8."""


def published_top1(variant: Variant) -> float:
    """The published share, or a straight line through its neighbours: an order, not a promise."""
    at_resolution = {alpha: _on_line(row, variant.resolution) for alpha, row in _TOP1.items()}
    loss = _INT8_LOSS if variant.precision is Precision.INT8 else 0.0
    return min(0.99, max(0.01, _on_line(at_resolution, variant.alpha) - loss))


def _on_line(points: Mapping[float, float], x: float) -> float:
    """Linear between the points; beyond them the outermost line goes on."""
    known = sorted(points.items())
    upper = next((i for i, (at, _) in enumerate(known) if i > 0 and at >= x), len(known) - 1)
    (x0, y0), (x1, y1) = known[upper - 1], known[upper]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)

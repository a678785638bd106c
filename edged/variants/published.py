"""The published accuracy of MobileNet v1: an order of variants where nothing was measured yet.

Source: the table of float networks in TF-Slim's mobilenet_v1.md (ImageNet validation, top-1).
"""

from __future__ import annotations

from collections.abc import Mapping

from edged.variants.variant import Precision, Variant

SOURCE = "published: ImageNet figures, interpolated"

_TOP1: Mapping[float, Mapping[float, float]] = {
    0.25: {128: 0.415, 160: 0.455, 192: 0.477, 224: 0.498},
    0.5: {128: 0.563, 160: 0.591, 192: 0.617, 224: 0.633},
    0.75: {128: 0.621, 160: 0.653, 192: 0.672, 224: 0.684},
    1.0: {128: 0.652, 160: 0.680, 192: 0.700, 224: 0.709},
}
_INT8_LOSS = 0.01
"""Roughly what quantisation costs; only the sign matters: of two twins the float one is better."""


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

"""Metric families with labels, and the labels of a view."""

from __future__ import annotations

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from edged.view import fields

VIEW = ("camera", "view")
"""Labels of a view; `view` comes last, so that it can be left out."""


def view_with(label: str) -> tuple[str, ...]:
    return "camera", label, "view"


def values(view: str, *between: str) -> list[str]:
    """Values of the labels `camera`, those between, and `view`, which is omitted where the camera
    has no views of its own."""
    camera, *name = fields(view).values()
    return [camera, *between, *name]


def counter(name: str, documentation: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, documentation, labels=labels)


def gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=labels)


def histogram(name: str, documentation: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, documentation, labels=labels)

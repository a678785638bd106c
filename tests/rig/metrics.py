"""The daemon's metrics over stand-ins for its cameras and sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from edged.capture.source import Failure
from edged.telemetry.exposition import Subjects
from edged.telemetry.metrics import Metrics
from edged.variants.variant import Variant

VARIANTS = [
    Variant(alpha, resolution)
    for alpha in (1.0, 0.75, 0.5, 0.25)
    for resolution in (224, 192, 160, 128)
]


class State(str, Enum):
    STARTING = "starting"
    STREAMING = "streaming"
    STALLED = "stalled"
    BACKOFF = "backoff"
    ENDED = "ended"


@dataclass
class Mailbox:
    captured: int = 0
    overwritten: int = 0
    skipped: int = 0
    broken: int = 0
    quiet: int = 0


@dataclass
class Camera:
    name: str
    state: State = State.STARTING
    restarts: Mapping[Failure, int] = field(default_factory=dict)
    mailbox: Mailbox = field(default_factory=Mailbox)


@dataclass
class Sink:
    name: str = "jsonl"
    delivered: int = 0
    dropped: Mapping[str, int] = field(
        default_factory=lambda: {"queue_full": 0, "write_error": 0, "closed": 0}
    )

    def __post_init__(self) -> None:
        self.observe_delivery: Callable[[float], None] = lambda seconds: None


def subjects(
    budgets_ms: Mapping[str, float] | None = None,
    cameras: Sequence[Camera] | None = None,
    sinks: Sequence[Sink] = (),
    **more: Any,
) -> Subjects:
    budgets_ms = budgets_ms or {"door": 33}
    known = {"variants": VARIANTS, "runtimes": [{"backend": "onnxruntime"}], "family": "imagenette"}
    known |= {
        "on_time": dict.fromkeys(budgets_ms, 0.95),
        "top1": dict.fromkeys(more.get("variants", VARIANTS), 0.7),
    }
    cameras = [Camera(name) for name in budgets_ms] if cameras is None else cameras
    return Subjects(budgets_ms, cameras=cameras, sinks=sinks, **{**known, **more})


def make_metrics(*about: Any, **more: Any) -> Metrics:
    metrics = Metrics("0.1.0", started_unix_seconds=1000.0)
    metrics.follow(subjects(*about, **more))
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def series_of(metrics: Metrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for metric in metrics.registry.collect()
        for sample in metric.samples
    }

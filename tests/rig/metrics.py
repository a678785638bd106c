"""The daemon's metrics over stand-ins for its cameras and sinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from edged.capture.source import Failure
from edged.telemetry.metrics import Metrics
from edged.telemetry.subjects import Subjects, ViewSubject
from edged.variants.variant import Variant
from edged.view import camera_of

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
    off: int = 0

    def counts(self, view: int) -> Mailbox:
        return self


@dataclass
class Camera:
    name: str
    state: State = State.STARTING
    restarts: Mapping[Failure, int] = field(default_factory=dict)
    decoder: str | None = None
    mailbox: Mailbox = field(default_factory=Mailbox)


@dataclass
class Sink:
    name: str = "jsonl"
    delivered: int = 0
    dropped: Mapping[str, int] = field(
        default_factory=lambda: {"queue_full": 0, "write_error": 0, "closed": 0}
    )
    trouble: str | None = None

    def __post_init__(self) -> None:
        self.observe_delivery: Callable[[float], None] = lambda seconds: None


def subjects(
    budgets_ms: Mapping[str, float] | None = None,
    cameras: Sequence[Camera] | None = None,
    sinks: Sequence[Sink] = (),
    views: Mapping[str, Any] | None = None,
    by_view: Mapping[str, Mapping[str, Any]] | None = None,
    **more: Any,
) -> Subjects:
    """budgets_ms: by view. views: values that all views have instead of the usual ones; by_view:
    one of them."""
    budgets_ms = budgets_ms or {"door": 33}
    names = dict.fromkeys(map(camera_of, budgets_ms))
    cameras = [Camera(name) for name in names] if cameras is None else cameras
    by_name = {camera.name: camera for camera in cameras}
    counted: Counter[str] = Counter()
    made = []
    for view, budget_ms in budgets_ms.items():
        camera = camera_of(view)
        own = {**(views or {}), **(by_view or {}).get(view, {})}
        made.append(view_subject(view, by_name[camera], counted[camera], budget_ms, **own))
        counted[camera] += 1
    more.setdefault("runtimes", [{"backend": "onnxruntime"}])
    return Subjects(made, cameras=cameras, sinks=sinks, **more)  # type: ignore[arg-type]


def view_subject(
    view: str, camera: object, index: int = 0, budget_ms: float = 33.0, **more: Any
) -> ViewSubject:
    variants = more.setdefault("variants", VARIANTS)
    known = {
        "on_time": 0.95,
        "max_fps": None,
        "roi": None,
        "family": "imagenette",
        "labels": ("church", "parachute"),
        "networks": dict.fromkeys(variants, ""),
        "top1": dict.fromkeys(variants, 0.7),
        "ladder": lambda: (),
    }
    return ViewSubject(view, camera, index, budget_ms, **{**known, **more})  # type: ignore[arg-type]


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

"""What the HTTP tests serve: the daemon's side of the endpoints, without a daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from prometheus_client import CollectorRegistry

from edged.capture.source import Granted
from edged.clock import monotonic_ns
from edged.telemetry.health import CameraHealth, Health
from edged.telemetry.metrics import Metrics
from edged.telemetry.subjects import Subjects
from edged.variants.runtime import Engines
from edged.variants.variant import Variant
from edged.view import camera_of
from edged.web.endpoints import Endpoints
from edged.web.history.endpoints import History
from edged.web.live import Live
from edged.web.teach import Teaching
from tests.rig.camera import FakeTime
from tests.rig.metrics import Mailbox, view_subject

NOW_NS = 1_000_000_000_000
SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)


class State(Enum):
    STARTING = "starting"
    STREAMING = "streaming"
    BACKOFF = "backoff"
    ENDED = "ended"


@dataclass
class Device:
    """The daemon's side of the health endpoints."""

    loops: dict[str, int] = field(default_factory=dict)
    cameras: list[CameraHealth] = field(default_factory=list)

    @property
    def health(self) -> Health:
        return Health(loops=lambda: self.loops, cameras=lambda: self.cameras)


@dataclass
class ShownCamera:
    name: str
    state: State = State.STREAMING
    last_error: str | None = None
    away_ns: int | None = None
    max_fps: float | None = None
    granted: Granted | None = None
    is_stream: bool = False
    mailbox: Mailbox = field(default_factory=Mailbox)


Views = Mapping[str, Mapping[str, Any]]
"""By id, what a view has instead of the usual values."""


def subjects_of(*cameras: ShownCamera, views: Views | None = None, **more: Any) -> Subjects:
    """Cameras of which no view is named are their own only views. more: of all views."""
    views, made = views or {}, []
    for camera in cameras:
        own = {view: about for view, about in views.items() if camera_of(view) == camera.name}
        for index, (view, about) in enumerate((own or {camera.name: {}}).items()):
            known = {
                "budget_ms": 20.0,
                "variants": (SMALL, LARGE),
                "max_fps": camera.max_fps,
                "labels": tuple(f"class {number}" for number in range(21)),
            }
            made.append(view_subject(view, camera, index, **{**known, **more, **about}))
    return Subjects(
        views=made,
        cameras=cameras,  # type: ignore[arg-type]
        runtimes=[{"backend": "onnxruntime"}],
        engines=lambda: Engines(building=1, of=2),
    )


def live_of(
    *cameras: ShownCamera, views: Views | None = None, clock: FakeTime | None = None
) -> Live:
    live = Live(Metrics("0", 0.0), monotonic_ns if clock is None else clock.clock)
    live.follow(subjects_of(*cameras, views=views))
    return live


def endpoints_of(
    device: Device | None = None,
    registry: CollectorRegistry | None = None,
    live: Live | None = None,
    teaching: Teaching | None = None,
    history: History | None = None,
    **more: Any,
) -> Endpoints:
    return Endpoints(
        registry or CollectorRegistry(),
        (device or Device()).health,
        live or live_of(),
        teaching,
        history,
        clock=lambda: NOW_NS,
        **more,
    )

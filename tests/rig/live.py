"""What the HTTP tests serve: the daemon's side of the endpoints, without a daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from prometheus_client import CollectorRegistry

from edged.telemetry.exposition import Subjects
from edged.telemetry.health import CameraHealth, Health
from edged.telemetry.metrics import Metrics
from edged.variants.runtime import Engines
from edged.variants.variant import Variant
from edged.web.endpoints import Endpoints
from edged.web.live import Live
from tests.rig.camera import FakeTime

NOW_NS = 1_000_000_000_000
SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)


class State(Enum):
    STREAMING = "streaming"
    BACKOFF = "backoff"


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
    max_fps: float | None = None


def subjects_of(*cameras: ShownCamera, budget_ms: float = 20.0) -> Subjects:
    return Subjects(
        budgets_ms={camera.name: budget_ms for camera in cameras},
        on_time={camera.name: 0.95 for camera in cameras},
        variants=(SMALL, LARGE),
        cameras=cameras,  # type: ignore[arg-type]
        sinks=(),
        runtimes=[{"backend": "onnxruntime"}],
        family="imagenette",
        labels=tuple(f"class {number}" for number in range(21)),
        engines=lambda: Engines(building=1, of=2),
    )


def live_of(*cameras: ShownCamera, clock: FakeTime | None = None) -> Live:
    live = Live(Metrics("0", 0.0), **({} if clock is None else {"clock": clock.clock}))
    live.follow(subjects_of(*cameras))
    return live


def endpoints_of(
    device: Device | None = None,
    registry: CollectorRegistry | None = None,
    live: Live | None = None,
) -> Endpoints:
    return Endpoints(
        registry or CollectorRegistry(),
        (device or Device()).health,
        live or live_of(),
        clock=lambda: NOW_NS,
    )

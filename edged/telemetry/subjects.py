"""What metrics, page and API describe: cameras, views, sinks and what runs.

Functions are called at each scrape or request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edged.capture.source import Roi
from edged.capture.supervisor import Camera
from edged.control.agreement import Estimate
from edged.control.profile import Candidate
from edged.events.events import EventCount
from edged.sensors.reading import Gauge as Reading
from edged.sinks.sink import Sink
from edged.switches.switch import ON, Switch
from edged.variants.runtime import Engines
from edged.variants.variant import Choice, Variant


@dataclass(frozen=True, slots=True)
class Learnt:
    """What probes have shown of a view's variants. seconds: spent on them. reference: what the
    others are compared with; None before the first probe. breaks: how often all was forgotten at
    once. score, classless: means of the reference's best score, 0 for none, and of its answers
    without a class; score is None before its first answer. spared_seconds: processor time that
    goal: power has saved so far."""

    seconds: float = 0.0
    reference: Variant | None = None
    breaks: int = 0
    estimates: Mapping[Variant, Estimate] = field(default_factory=dict)
    in_use: Mapping[Variant, float] = field(default_factory=dict)
    score: float | None = None
    classless: float = 0.0
    spared_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ViewSubject:
    """A view.

    index: of the view in `camera.mailbox`. on_time: target share. roi: its part of the upright
    picture, None for all. labels: the classes of its family. variants: all that the selector may
    choose. networks: SHA-256 of the network of each, as in `Choice.network`. top1: their accuracy
    where it is known. ladder: variants worth a run on this device. replaced: frames that the
    pipeline took and replaced by newer ones before they ran. to_teach: what a person has to do
    before it gives results; None for nothing. instead: what it runs, and why not the classifier
    that it should; None if it does. measured_ms: median time of each variant that was measured, in
    its fastest way. quiet: frames without motion give no results. square: its frames are the centre
    square of its part. off: frames dropped while it was not on. switch: whether it counts now.
    give_up: as configured; None where the goal is accuracy.
    """

    id: str
    camera: Camera
    index: int
    budget_ms: float
    on_time: float
    max_fps: float | None
    roi: Roi | None
    family: str
    labels: Sequence[str]
    variants: Sequence[Variant]
    networks: Mapping[Variant, str]
    top1: Mapping[Variant, float]
    ladder: Callable[[], Sequence[Candidate]]
    replaced: Callable[[], int] = lambda: 0
    to_teach: str | None = None
    instead: str | None = None
    measured_ms: Callable[[], Mapping[str, float]] = dict
    quiet: bool = False
    square: bool = True
    off: Callable[[], int] = lambda: 0
    switch: Callable[[], Switch] = lambda: ON
    give_up: float | None = None
    learnt: Callable[[], Learnt] = Learnt


@dataclass(frozen=True, slots=True)
class Subjects:
    """What there is, until a reload replaces it.

    runtimes: each one's own description. loading: no frame can run yet. failures: failed runs.
    power_w: the average that max_power_w limits. joules: of a result, where they are known.
    classified: pictures sent to /api/v1/classify, by what became of them. rules: of
    events, by name, and whether each counts now.
    """

    views: Sequence[ViewSubject] = ()
    cameras: Sequence[Camera] = ()
    sinks: Sequence[Sink] = ()
    runtimes: Sequence[Mapping[str, str]] = ()
    loading: Callable[[], bool] = lambda: False
    engines: Callable[[], Engines] = Engines
    max_temperature_c: float | None = None
    max_power_w: float | None = None
    sensors: Callable[[], Sequence[Reading]] = lambda: ()
    power_w: Callable[[], float | None] = lambda: None
    joules: Callable[[Choice], float | None] = lambda choice: None
    slowdown: Callable[[], float] = lambda: 1.0
    busy_share: Callable[[], float] = lambda: 1.0
    failures: Callable[[], Mapping[Choice, int]] = dict
    events: Callable[[], Sequence[EventCount]] = lambda: ()
    rules: Callable[[], Mapping[str, Switch]] = dict
    events_dropped: Callable[[], int] = lambda: 0
    snapshots_dropped: Callable[[], int] = lambda: 0
    history_dropped: Callable[[], int] = lambda: 0
    history_trouble: Callable[[], str | None] = lambda: None
    history_bytes: Callable[[], int] = lambda: 0
    classified: Callable[[], Mapping[str, int]] = dict

    @property
    def families(self) -> Mapping[str, Sequence[str]]:
        """Labels by the family's name, in the views' order."""
        return {view.family: view.labels for view in self.views}

    @property
    def runtime_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each["backend"] for each in self.runtimes))

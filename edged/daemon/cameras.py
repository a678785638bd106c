"""The cameras of a configuration, their views' queues, and what of them a reload keeps."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edged.capture.mailbox import NUMBERS, Mailbox
from edged.capture.source import CaptureRequest, ViewRequest
from edged.capture.sources.table import kind_of
from edged.capture.supervisor import Camera
from edged.config.camera import CameraConfig, ViewConfig
from edged.control.decode_times import DecodeTimes
from edged.daemon.models import Model, Models
from edged.events.events import AWAY_SECONDS
from edged.pipeline.evidence import Evidence
from edged.pipeline.output import Output
from edged.pipeline.queue import ViewQueue
from edged.sinks.options import ResultsConfig
from edged.teach.pictures.bounds import SHORT_SIDE
from edged.variants.family import Fit


@dataclass(frozen=True, slots=True)
class Attached:
    """A camera and its request.

    resolution: the largest that it was attached for. wants: short side (pixels) of the first
    picture by view's number: that of the largest variant that the view may run.
    """

    camera: Camera
    request: CaptureRequest
    resolution: int
    wants: Mapping[int, int] = field(compare=False)

    def number(self, view: ViewConfig) -> int:
        """Of the view in the mailbox."""
        return self.request.numbers[view.name or ""]

    def start(self, before: Attached | None) -> None:
        """Start the camera, or let its process go over to other views. before: the present one of
        that name, which has stopped if it is another camera."""
        mailbox = self.camera.mailbox
        if before is not None and before.camera.mailbox is mailbox and before.request.views:
            mailbox.serve(self.request.continued(before.request), self.request.edition)
            for number in self.request.numbered.keys() - before.request.numbered.keys():
                mailbox.want(self.wants[number], number)
        if before is not None and before.camera is self.camera:
            if before.request != self.request:
                self.camera.change(self.request)
            return
        if before is not None:
            self.camera.take_over(before.camera)
        self.camera.start()


WHOLE_SIDE = 2048
"""Room for the part of a picture that several views share, at the scale that the smallest region
needs; a larger one is shrunk."""
LOADING = threading.Semaphore(len(os.sched_getaffinity(0)))
"""Limits how many capture processes load their libraries at once."""


def attach(settings: CameraConfig, models: Models, before: Attached | None) -> Attached:
    """The camera, not started; with the running camera of `before`, the present one of that name,
    if at most its views differ.

    A replacement keeps the mailbox, if that is large enough, and with it the counters: it must not
    start before the other has stopped.
    """
    request = _request(settings, models)
    # The worker shrinks to below twice what is wanted, which is at most the largest resolution.
    largest = max(_largest(models.by_view[view.id]) for view in settings.views)
    largest = max(largest, SHORT_SIDE)  # a classifier may be taught at any time
    side = _side(request, largest)
    if (
        before is not None
        and bool(before.request.views) == bool(request.views)
        and _side(before.request, before.resolution) >= side
    ):
        views = _numbers(request.views, before.request.views)
        request = replace(request, views=views, edition=before.request.edition + 1)
        camera = before.camera
        if not _continued(before.request, request):
            camera = _camera(settings, request, camera.mailbox)
        wants = _wants(settings, request, models)
        after = Attached(camera, request, max(largest, before.resolution), wants)
        return before if after == before else after
    # A view that has a name may get others beside it: its frames are copies from the beginning.
    mailbox = Mailbox.create(side, views=max(2, len(request.views)) if request.views else 1)
    wants = _wants(settings, request, models)
    for number, wanted in wants.items():
        mailbox.want(wanted, number)
    return Attached(_camera(settings, request, mailbox), request, largest, wants)


def _continued(before: CaptureRequest, after: CaptureRequest) -> bool:
    """Whether the running process can go over to the other request: at most its views differ, or
    whether the only one is cut to a square, where that is not left to the source."""
    if not (before.views or after.views or kind_of(after.source).cuts):
        before = replace(before, square=after.square)
    return before.same_source(after)


def _side(request: CaptureRequest, resolution: int) -> int:
    """Longest side of what the mailbox must hold."""
    return max(2 * resolution, WHOLE_SIDE) if request.views else 2 * resolution


def _camera(settings: CameraConfig, request: CaptureRequest, mailbox: Mailbox) -> Camera:
    device = Path(request.source) if kind_of(request.source).device else None
    return Camera(settings.name, request, mailbox, device=device, turns=LOADING)


def _request(settings: CameraConfig, models: Models) -> CaptureRequest:
    """With each view's region cut as its family's networks see it; whole where it is taught."""
    request = settings.capture
    square = [
        models.by_view[view.id].family.input.fit is Fit.CROP and view.id not in models.taught
        for view in settings.views
    ]
    if not request.views:
        return replace(request, square=square[0])
    views = zip(request.views, square, strict=True)
    return replace(request, views=tuple(each and replace(each, square=cut) for each, cut in views))


def _wants(settings: CameraConfig, request: CaptureRequest, models: Models) -> dict[int, int]:
    largest = {
        view.name or "": max(each.resolution for each in models.by_view[view.id].variants)
        for view in settings.views
    }
    return {number: largest[view.name] for number, view in request.numbered.items()}


def _largest(model: Model) -> int:
    return max(variant.resolution for variant in model.family.variants())


def _numbers(
    views: Sequence[ViewRequest | None], before: Sequence[ViewRequest | None]
) -> tuple[ViewRequest | None, ...]:
    """The views at their numbers: an unchanged one keeps it, any other gets one that was free: the
    process still counts frames for the present ones."""
    if not before:
        return tuple(views)
    placed: list[ViewRequest | None] = [None] * NUMBERS
    for number, known in enumerate(before):
        if known in views:
            placed[number] = known
    free = [number for number in range(NUMBERS) if number >= len(before) or before[number] is None]
    for view in views:
        if view not in placed:
            placed[free.pop(0)] = view
    return tuple(placed[: max(number for number in range(NUMBERS) if placed[number]) + 1])


def stop_together(cameras: Iterable[Camera]) -> None:
    """Stop cameras in parallel: slow drivers cost one time-out together, not one each."""
    stopping = list(cameras)
    for camera in stopping:
        camera.begin_stop()
    for camera in stopping:
        camera.stop()


def queue_of(
    view: ViewConfig,
    number: int,
    attached: Attached,
    model: Model,
    results: ResultsConfig,
    before: ViewQueue | None,
    *,
    same_source: bool,
    same_model: bool,
) -> ViewQueue:
    """A view's queue; the state of `before`, the present queue of that id, is kept.

    number: of the view in its camera's mailbox.
    """
    values: dict[str, Any] = {
        "mailbox": attached.camera.mailbox,
        "output": Output(model.family.labels, results.top_k, results.min_score, model.heads),
        "budget_ms": view.latency_budget_ms,
        "on_time": view.on_time,
        "min_fps": view.min_fps or 0.0,
        "min_top1": view.min_top1,
        "give_up": view.give_up if view.goal == "power" else None,
        "index": number,
        "fit": model.family.input.fit,
        "paced": view.max_fps != attached.request.max_fps,
    }
    resolutions = {variant.resolution for variant in model.variants}
    if before is None:
        return ViewQueue(view.id, **values, decode_times=DecodeTimes(resolutions))
    if not same_source:
        values |= {"waiting": None, "last_ready_ns": 0, "interval_ns": 0, "period_ms": 0.0}
    if not (same_source and same_model):
        values |= {"decode_times": DecodeTimes(resolutions), "evidence": Evidence()}
    return replace(before, **values)


def away_seconds(views: Iterable[ViewConfig]) -> dict[str, float]:
    """How long each view may give no result before it counts as away."""
    return {each.id: max(AWAY_SECONDS, 2 * _slowest_seconds(each)) for each in views}


def _slowest_seconds(view: ViewConfig) -> float:
    """Between two results that max_fps and quiet ask for."""
    still = 0.0 if view.quiet is None else view.quiet.at_least_every_seconds
    return max(still, 0.0 if view.max_fps is None else 1 / view.max_fps)

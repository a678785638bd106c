"""The cameras of a configuration, their queues, and which of them a reload keeps."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edged.capture.mailbox import Mailbox
from edged.capture.source import CaptureRequest
from edged.capture.sources.table import kind_of
from edged.capture.supervisor import Camera
from edged.config.camera import CameraConfig
from edged.control.decode_times import DecodeTimes
from edged.events.events import AWAY_SECONDS
from edged.pipeline.queue import CameraQueue
from edged.variants.family import Family, Fit


@dataclass(frozen=True, slots=True)
class Attached:
    """A camera, its request, and the largest resolution that its mailbox holds."""

    camera: Camera
    request: CaptureRequest
    resolution: int


LOADING = threading.Semaphore(len(os.sched_getaffinity(0)))
"""Limits how many capture processes load their libraries at once."""


def attach(settings: CameraConfig, family: Family, before: Attached | None) -> Attached:
    """The camera, not started; `before`, the present camera of that name, if nothing changed.

    A replacement keeps the mailbox, if that is large enough, and with it the counters: it must not
    start before the other has stopped.
    """
    request = replace(settings.capture, square=family.input.fit is Fit.CROP)
    # The worker shrinks to below twice what is wanted, which is at most the largest resolution.
    largest = max(variant.resolution for variant in family.variants())
    if before is not None and before.resolution >= largest:
        if before.request == request:
            return before
        mailbox, largest = before.camera.mailbox, before.resolution
    else:
        mailbox = Mailbox.create(2 * largest)
        mailbox.want(largest)
    device = Path(request.source) if kind_of(request.source).device else None
    camera = Camera(settings.name, request, mailbox, device=device, turns=LOADING)
    return Attached(camera, request, largest)


def stop_together(cameras: Iterable[Camera]) -> None:
    """Stop cameras in parallel: slow drivers cost one time-out together, not one each."""
    stopping = list(cameras)
    for camera in stopping:
        camera.begin_stop()
    for camera in stopping:
        camera.stop()


def queue_of(
    settings: CameraConfig,
    mailbox: Mailbox,
    resolutions: set[int],
    before: CameraQueue | None,
    *,
    same_source: bool,
    same_model: bool,
) -> CameraQueue:
    """A camera's queue; the state of `before`, the present queue of that name, is kept."""
    values: dict[str, Any] = {
        "mailbox": mailbox,
        "budget_ms": settings.latency_budget_ms,
        "on_time": settings.on_time,
        "min_fps": settings.min_fps or 0.0,
        "min_top1": settings.min_top1,
    }
    if before is None:
        return CameraQueue(settings.name, **values, decode_times=DecodeTimes(resolutions))
    if not same_source:
        values |= {"waiting": None, "last_ready_ns": 0, "interval_ns": 0, "period_ms": 0.0}
    if not (same_source and same_model):
        values["decode_times"] = DecodeTimes(resolutions)
    return replace(before, **values)


def away_seconds(cameras: Iterable[CameraConfig]) -> dict[str, float]:
    """How long each camera may give no result before it counts as away."""
    return {each.name: max(AWAY_SECONDS, 2 * _slowest_seconds(each.capture)) for each in cameras}


def _slowest_seconds(request: CaptureRequest) -> float:
    """Between two results that max_fps and quiet ask for."""
    still = 0.0 if request.quiet is None else request.quiet.at_least_every_seconds
    return max(still, 0.0 if request.max_fps is None else 1 / request.max_fps)

"""The cameras of a configuration, each with what it was made from: that tells which ones a reload
leaves alone. Knows nothing of what is done with their pictures.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edged.capture.mailbox import Mailbox
from edged.capture.source import CaptureRequest
from edged.capture.sources import SourceKind, kind_of
from edged.capture.supervisor import Camera
from edged.config.config import CameraConfig
from edged.variants.family import Family, Fit


@dataclass(frozen=True, slots=True)
class Attached:
    """A camera, what is asked of it, and the largest resolution that its mailbox has room for."""

    camera: Camera
    request: CaptureRequest
    resolution: int


LOADING = threading.Semaphore(len(os.sched_getaffinity(0)))
"""So many capture processes load their libraries at once."""


def attach(settings: CameraConfig, family: Family, before: Attached | None) -> Attached:
    """The camera as it is to be, not started; `before` itself, the one of that name, if it is so.

    One that takes its place goes on with its mailbox, if that is large enough, and so with its
    counters: it must not start before the other has stopped.
    """
    request = CaptureRequest(
        source=settings.source.reveal(),
        size=settings.size,
        fps=settings.fps,
        max_fps=settings.max_fps,
        rotate=settings.rotate,
        flip=settings.flip,
        roi=settings.roi,
        quiet=settings.quiet,
        loop=settings.loop,
        square=family.input.fit is Fit.CROP,
        frozen_after_seconds=settings.frozen_after_seconds,
        stalled_after_seconds=settings.stalled_after_seconds,
        format=settings.format,
        controls=settings.controls,
        confine=settings.confine,
    )
    # The worker shrinks to below twice what is wanted, which is at most the largest resolution.
    largest = max(variant.resolution for variant in family.variants())
    if before is not None and before.resolution >= largest:
        if before.request == request:
            return before
        mailbox, largest = before.camera.mailbox, before.resolution
    else:
        mailbox = Mailbox.create(2 * largest)
        mailbox.want(largest)
    device = Path(request.source) if kind_of(request.source) is SourceKind.V4L2 else None
    camera = Camera(settings.name, request, mailbox, device=device, turns=LOADING)
    return Attached(camera, request, largest)


def stop_together(cameras: Iterable[Camera]) -> None:
    """A driver that does not let go costs its second once, not once a camera."""
    stopping = list(cameras)
    for camera in stopping:
        camera.begin_stop()
    for camera in stopping:
        camera.stop()

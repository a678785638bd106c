"""Which cameras a reload leaves alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edged.capture.mailbox import MailboxWriter
from edged.capture.source import CaptureRequest, Failure, Quiet
from edged.config.camera import CameraConfig
from edged.daemon.cameras import Attached, attach, away_seconds
from edged.variants.family import Family, Fit, InputContract
from tests.rig.families import RESOLUTIONS

DOOR = CameraConfig("door", CaptureRequest("synthetic"), 33.0, 0.95)


@pytest.fixture
def door(family: Family) -> Iterator[Attached]:
    attached = attach(DOOR, family, None)
    yield attached
    attached.camera.stop()


def test_wishes_to_the_pipeline_are_no_reason_to_disturb_a_camera(
    family: Family, door: Attached
) -> None:
    other = replace(DOOR, latency_budget_ms=50.0, on_time=0.9, min_fps=5.0, min_top1=0.5)
    assert attach(other, family, door) is door
    narrow = replace(family, networks=family.networks[:1])
    assert attach(DOOR, narrow, door) is door


@pytest.mark.parametrize(
    "change",
    [
        {"source": "synthetic:320x240"},
        {"size": (320, 240)},
        {"max_fps": 5.0},
        {"rotate": 90},
        {"frozen_after_seconds": 10.0},
        {"stalled_after_seconds": 60.0},
    ],
)
def test_one_with_other_wishes_to_its_driver_goes_on_with_the_mailbox(
    family: Family, door: Attached, change: dict[str, object]
) -> None:
    request = replace(DOOR.capture, **change)  # type: ignore[arg-type]
    changed = attach(replace(DOOR, capture=request), family, door)
    assert changed.camera is not door.camera
    assert changed.camera.mailbox is door.camera.mailbox
    changed.camera.stop()


def test_another_fit_or_larger_pictures_need_another_camera(family: Family, door: Attached) -> None:
    whole = attach(DOOR, replace(family, input=InputContract(Fit.SQUASH)), door)
    assert whole.request.square is not door.request.square
    network = replace(family.networks[0], resolutions=(*RESOLUTIONS, 2 * RESOLUTIONS[-1]))
    larger = attach(DOOR, replace(family, networks=(network,)), door)
    assert larger.camera.mailbox is not door.camera.mailbox
    assert (
        os.fstat(larger.camera.mailbox.memfd).st_size > os.fstat(door.camera.mailbox.memfd).st_size
    )
    for each in (whole, larger):
        each.camera.stop()


def test_counters_go_on_in_the_camera_that_takes_the_place(family: Family, door: Attached) -> None:
    before = door.camera
    before._restarts[Failure.STALLED] = 3
    writer = MailboxWriter.attach(before.mailbox.memfd, before.mailbox.wake_fd)
    writer.count(captured=9, overwritten=1, skipped=2, broken=3, quiet=4)
    network = replace(family.networks[0], resolutions=(*RESOLUTIONS, 2 * RESOLUTIONS[-1]))
    larger = attach(DOOR, replace(family, networks=(network,)), door).camera
    larger.take_over(before)
    mailbox = larger.mailbox
    assert mailbox is not before.mailbox
    assert larger.restarts == before.restarts
    counts = (mailbox.captured, mailbox.overwritten, mailbox.skipped, mailbox.broken, mailbox.quiet)
    assert counts == (9, 1, 2, 3, 4)
    larger.stop()


@pytest.mark.parametrize(
    ("wishes", "seconds"),
    [
        ({}, 10),
        ({"max_fps": 1.0}, 10),
        ({"max_fps": 0.01}, 200),
        ({"quiet": Quiet(at_least_every_seconds=30)}, 60),
        ({"quiet": Quiet(at_least_every_seconds=30), "max_fps": 0.01}, 200),
    ],
)
def test_a_camera_that_looks_seldom_is_not_away_between_two_looks(
    wishes: dict[str, object], seconds: float
) -> None:
    request = replace(DOOR.capture, **wishes)  # type: ignore[arg-type]
    assert away_seconds([replace(DOOR, capture=request)]) == {"door": seconds}

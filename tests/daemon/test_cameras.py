"""Which cameras a reload leaves alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edged.capture.frame import Frame
from edged.capture.mailbox import SLOTS, MailboxWriter
from edged.capture.source import CaptureRequest, Failure, Quiet, ViewRequest
from edged.clock import monotonic_ns
from edged.config.camera import CameraConfig, ViewConfig
from edged.daemon.cameras import Attached, attach, away_seconds
from edged.daemon.models import Model, Models
from edged.teach.pictures.bounds import SHORT_SIDE
from edged.variants.family import Family, Fit, InputContract
from tests.rig.camera import publish
from tests.rig.families import RESOLUTIONS

DOOR = CameraConfig(
    "door", CaptureRequest("synthetic"), (ViewConfig("door", "animals", None, 33.0, 0.95),)
)
GATE, BIN = (ViewConfig(f"yard/{name}", "animals", None, 33.0, 0.95) for name in ("gate", "bin"))


def models(family: Family, *more: tuple[str, Family]) -> Models:
    """The family for each view, except for those in `more`."""
    views = dict.fromkeys(("door", GATE.id, BIN.id), family) | dict(more)
    by_view = {view: Model(each, each.variants()) for view, each in views.items()}
    return Models(by_view, (1,), "onnxruntime", (), "a test")


def enlarged(family: Family) -> Family:
    """With pictures twice as large as those that are taught."""
    network = replace(family.networks[0], resolutions=(*RESOLUTIONS, 2 * SHORT_SIDE))
    return replace(family, networks=(network,))


def yard(*views: ViewConfig) -> CameraConfig:
    requests = tuple(
        ViewRequest(roi=each.roi, max_fps=each.max_fps, name=each.name or "") for each in views
    )
    request = CaptureRequest("synthetic", square=False, views=requests)
    return CameraConfig("yard", request, views)


@pytest.fixture
def door(family: Family) -> Iterator[Attached]:
    attached = attach(DOOR, models(family), None)
    yield attached
    attached.camera.stop()


def test_wishes_to_the_pipeline_are_no_reason_to_disturb_a_camera(
    family: Family, door: Attached
) -> None:
    (view,) = DOOR.views
    wishes = replace(view, latency_budget_ms=50.0, on_time=0.9, min_fps=5.0, min_top1=0.5)
    assert attach(replace(DOOR, views=(wishes,)), models(family), door) is door
    narrow = replace(family, networks=family.networks[:1])
    assert attach(DOOR, models(narrow), door) is door


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
    changed = attach(replace(DOOR, capture=request), models(family), door)
    assert changed.camera is not door.camera
    assert changed.camera.mailbox is door.camera.mailbox
    changed.camera.stop()


@pytest.mark.parametrize(
    ("source", "goes_on"),
    [("synthetic", True), ("rtsp://192.0.2.9/1", True), ("/dev/video0", False), ("csi", False)],
)
def test_another_fit_needs_another_camera_only_where_the_source_cuts(
    family: Family, source: str, goes_on: bool
) -> None:
    door = replace(DOOR, capture=replace(DOOR.capture, source=source))
    squared = attach(door, models(family), None)
    whole = attach(door, models(replace(family, input=InputContract(Fit.SQUASH))), squared)
    assert squared.request.square and not whole.request.square
    assert (whole.camera is squared.camera) is goes_on
    assert whole.camera.mailbox is squared.camera.mailbox
    for each in (squared, whole):
        each.camera.stop()


def test_what_is_taught_fits_into_the_mailbox_from_the_beginning(
    family: Family, door: Attached
) -> None:
    taught = attach(DOOR, replace(models(family), taught=frozenset(("door",))), door)
    assert taught.camera is door.camera
    assert not taught.request.square


def test_larger_pictures_need_another_camera(family: Family, door: Attached) -> None:
    larger = attach(DOOR, models(enlarged(family)), door)
    assert larger.camera.mailbox is not door.camera.mailbox
    assert (
        os.fstat(larger.camera.mailbox.memfd).st_size > os.fstat(door.camera.mailbox.memfd).st_size
    )
    larger.camera.stop()


def test_counters_go_on_in_the_camera_that_takes_the_place(family: Family, door: Attached) -> None:
    before = door.camera
    before._restarts[Failure.STALLED] = 3
    writer = MailboxWriter.attach(before.mailbox.memfd, before.mailbox.wake_fd)
    writer.count(captured=9, overwritten=1, skipped=2, off=5, broken=3)
    writer.count_for(0, quiet=4)
    larger = attach(DOOR, models(enlarged(family)), door).camera
    larger.take_over(before)
    mailbox = larger.mailbox
    assert mailbox is not before.mailbox
    assert larger.restarts == before.restarts
    assert (mailbox.captured, mailbox.broken, *mailbox.counts()) == (9, 3, 1, 2, 4, 5)
    larger.stop()


def test_each_region_is_cut_as_the_networks_of_its_family_see_it(family: Family) -> None:
    squash = replace(family, input=InputContract(Fit.SQUASH))
    attached = attach(yard(GATE, BIN), models(family, (BIN.id, squash)), None)
    square = {each.name: each.square for each in attached.request.numbered.values()}
    assert square == {"gate": True, "bin": False}
    attached.camera.stop()


def test_views_come_and_go_in_a_camera_that_runs_on(family: Family) -> None:
    both = attach(yard(GATE, BIN), models(family), None)
    moved = replace(BIN, roi=(0.0, 0.0, 0.5, 0.5))
    one = attach(yard(moved), models(family), both)
    assert one.camera is both.camera
    # A picture on its way is of the view that was there.
    assert one.number(moved) not in (both.number(GATE), both.number(BIN))
    again = attach(yard(GATE, moved), models(family), one)
    assert again.camera is both.camera
    assert again.number(moved) == one.number(moved)
    assert again.number(GATE) != again.number(moved)
    assert attach(yard(GATE, moved), models(family), again) is again
    assert [each.request.edition for each in (both, one, again)] == [0, 1, 2]
    # Their budgets are the pipeline's.
    wishes = replace(GATE, latency_budget_ms=1000.0)
    assert attach(yard(wishes, moved), models(family), again) is again
    both.camera.stop()


def test_a_frame_of_a_view_outlives_the_picture_it_was_in(family: Family) -> None:
    """Another view may come beside it while it waits."""
    only = attach(yard(GATE), models(family), None)
    mailbox = only.camera.mailbox
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)

    def frame(value: int) -> Frame:
        now_ns = monotonic_ns()
        publish(writer, np.full((8, 8, 3), value, np.uint8), now_ns, now_ns)
        (found,) = filter(None, mailbox.take())
        return found

    waiting = frame(7)
    for value in range(8, 8 + SLOTS):
        frame(value)
    assert np.all(waiting.pixels == 7)
    only.camera.stop()


def test_a_view_with_larger_pictures_disturbs_the_others_only_if_they_do_not_fit(
    family: Family,
) -> None:
    both = attach(yard(GATE, BIN), models(family), None)
    larger = attach(yard(GATE, BIN), models(family, (BIN.id, enlarged(family))), both)
    assert larger.camera is both.camera
    assert (both.resolution, larger.resolution) == (SHORT_SIDE, 2 * SHORT_SIDE)
    again = attach(yard(GATE, BIN), models(family), larger)
    assert again is larger
    huge = replace(family, networks=(replace(family.networks[0], resolutions=(2048,)),))
    other = attach(yard(GATE, BIN), models(family, (BIN.id, huge)), again)
    assert other.camera.mailbox is not both.camera.mailbox
    for each in (both, other):
        each.camera.stop()


def test_each_view_wants_what_its_own_variants_see(family: Family) -> None:
    small = Model(family, tuple(v for v in family.variants() if v.resolution == RESOLUTIONS[0]))
    known = models(family)
    attached = attach(
        yard(GATE, BIN), replace(known, by_view={**known.by_view, BIN.id: small}), None
    )
    mailbox = attached.camera.mailbox
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    assert [writer.wanted(view) for view in (0, 1)] == [RESOLUTIONS[-1], RESOLUTIONS[0]]
    attached.camera.stop()


def test_a_camera_that_gets_views_begins_anew(family: Family, door: Attached) -> None:
    own = replace(yard(GATE, BIN), name="door")
    divided = attach(own, models(family), door)
    assert divided.camera is not door.camera
    assert divided.camera.mailbox is not door.camera.mailbox
    whole = attach(DOOR, models(family), divided)
    assert whole.camera.mailbox is not divided.camera.mailbox
    for each in (divided, whole):
        each.camera.stop()


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
def test_a_view_that_looks_seldom_is_not_away_between_two_looks(
    wishes: dict[str, object], seconds: float
) -> None:
    view = replace(GATE, **wishes)  # type: ignore[arg-type]
    assert away_seconds([view, BIN]) == {GATE.id: seconds, BIN.id: 10}

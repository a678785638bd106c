"""Deciding, running and observing in turn, for cameras that share a backend."""

from __future__ import annotations

import random

import pytest

from edged.control.controller import CameraSettings, Controller
from edged.control.profile import Candidate
from edged.control.share import UNAVOIDABLE_PRICE
from edged.control.slowdown import Slowdown
from edged.variants.variant import Variant

LADDER = tuple(
    Candidate(Variant(alpha, 224), 1, top1, p50_ms, 1.1 * p50_ms)
    for alpha, top1, p50_ms in (
        (1.0, 0.71, 14.0),
        (0.75, 0.68, 8.6),
        (0.5, 0.63, 4.4),
        (0.25, 0.5, 1.6),
    )
)
FASTEST = LADDER[-1]


def test_cameras_share_the_slow_down_and_nothing_else() -> None:
    controller = Controller({"near": CameraSettings(20.0, 0.95), "far": CameraSettings(60.0, 0.95)})
    for _ in range(20):
        controller.observe("near", LADDER, LADDER[1], 3 * 8.6, False)
    assert controller.decide("far", LADDER, 30.0).candidate is not LADDER[0]
    assert controller.cameras["near"].share.owed > 10
    assert controller.cameras["far"].share.owed == 0
    assert controller.cameras["near"].previous is LADDER[1]
    assert controller.cameras["far"].previous is None


def test_dropped_frames_are_misses_that_no_choice_could_avoid() -> None:
    controller = Controller({"door": CameraSettings(20.0, 0.95)})
    for _ in range(2000):
        controller.dropped("door")
    share = controller.cameras["door"].share
    assert share.owed > 10
    dropped = share.owed
    for _ in range(100):
        controller.observe("door", LADDER, FASTEST, 30.0, False)
    assert share.owed == dropped
    for _ in range(20):
        controller.observe("door", LADDER, LADDER[0], 30.0, False)
    assert share.owed > dropped


def test_min_top1_rules_out_what_is_worse() -> None:
    controller = Controller({"door": CameraSettings(20.0, 0.95, min_top1=0.6)})
    assert controller.decide("door", LADDER, 2.0).candidate is LADDER[2]
    controller.observe("door", LADDER, LADDER[2], 30.0, False)  # the fastest that is allowed
    for _ in range(2000):
        controller.observe("door", LADDER, LADDER[2], 30.0, False)
    assert controller.cameras["door"].share.price < 2 * UNAVOIDABLE_PRICE


def test_the_cheapest_that_a_camera_may_use() -> None:
    settings = {"any": CameraSettings(20.0, 0.95), "good": CameraSettings(20.0, 0.95, 0.6)}
    controller = Controller(settings)
    ratio = controller.slowdown.ratio
    assert controller.cheapest_ms("any", LADDER) == 1.6 * ratio
    assert controller.cheapest_ms("good", LADDER) == 4.4 * ratio


WIDE = tuple(
    Candidate(Variant(alpha, 224), threads, top1, p50_ms, 1.1 * p50_ms)
    for alpha, threads, top1, p50_ms in (
        (1.0, 1, 0.7, 14.0),
        (1.0, 2, 0.7, 8.0),
        (0.5, 1, 0.6, 4.0),
    )
)


@pytest.mark.parametrize(
    ("slack_ms", "next_slack_ms", "threads"),
    [
        (30, 30, 1),  # both make it side by side
        (11, 30, 2),  # in a hurry, and the other can wait for it
        (11, 12, 1),  # the other cannot: a cheaper one each is more than one good one
        (11, 3, 2),  # the other is lost anyway
    ],
)
def test_to_spread_over_the_cores_or_run_side_by_side(
    slack_ms: float, next_slack_ms: float, threads: int
) -> None:
    cameras = {name: CameraSettings(40.0, 0.95) for name in ("first", "second")}
    controller = Controller(cameras, Slowdown((1, 2)))
    found = controller.threads_for(
        "first", slack_ms, "second", next_slack_ms, WIDE, free=2, waiting=1
    )
    assert found == threads


@pytest.mark.parametrize("target", [0.9, 0.95, 0.99])
def test_the_promise_is_kept_on_a_device_unlike_any_model(target: float) -> None:
    """Times from a heavy-tailed distribution that hits every variant alike."""
    controller = Controller({"door": CameraSettings(20.0, target)})
    draw, late, frames = random.Random(6), 0, 12_000
    for _ in range(frames):
        slack_ms = draw.uniform(12.0, 18.0)
        decision = controller.decide("door", LADDER, slack_ms)
        service_ms = decision.candidate.p50_ms * draw.paretovariate(2.5)
        on_time = service_ms <= slack_ms
        controller.observe("door", LADDER, decision.candidate, service_ms, on_time)
        late += not on_time
    assert late / frames <= 1 - target + 0.005


def test_another_controller_goes_on_where_the_settings_are_the_same() -> None:
    kept, tighter = CameraSettings(20.0, 0.95), CameraSettings(10.0, 0.95)
    before = Controller({"kept": kept, "changed": kept, "gone": kept})
    for name in before.cameras:
        for _ in range(50):
            before.observe(name, LADDER, LADDER[1], 3 * 8.6, False)
    after = Controller({"kept": kept, "changed": tighter, "new": kept})
    after.take_over(before, same_profile=True)
    assert after.decide("kept", LADDER, 30.0) == before.decide("kept", LADDER, 30.0)
    assert after.cameras["kept"].share.owed == before.cameras["kept"].share.owed > 0
    assert after.cameras["kept"].previous is LADDER[1]
    assert [after.cameras[name].share.owed for name in ("changed", "new")] == [0, 0]
    other = Controller({"kept": kept})
    other.take_over(before, same_profile=False)
    assert other.slowdown.ratio == Slowdown().ratio != before.slowdown.ratio
    assert other.cameras["kept"].share.owed == before.cameras["kept"].share.owed
    assert other.cameras["kept"].previous is None

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edged.control.profile import Candidate
from edged.control.selector import Decision, Reason, choose
from edged.variants.variant import Variant

LARGE = Candidate(Variant(1.0, 224), 1, 0.709, 14.0, 15.0)
MIDDLE = Candidate(Variant(0.5, 160), 1, 0.591, 2.0, 2.3)
SMALL = Candidate(Variant(0.25, 128), 1, 0.415, 0.5, 0.6)
LADDER = (LARGE, MIDDLE, SMALL)


class Device:
    """An outlook in which every run takes ratio x p50, or has the stated chance."""

    def __init__(self, ratio: float = 1.0, chances: Mapping[Candidate, float] | None = None):
        self.ratio = ratio
        self.chances = chances or {}

    def chance(self, candidate: Candidate, slack_ms: float) -> float:
        fits = 1.0 if candidate.p50_ms * self.ratio <= slack_ms else 0.0
        return self.chances.get(candidate, fits)


def decide(device: Device, slack: float, budget: float = 33, **more: object) -> Decision:
    return choose(LADDER, device, slack_ms=slack, budget_ms=budget, target=0.95, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slack", "budget", "ratio", "chosen", "reason"),
    [
        (30, 33, 1.0, LARGE, Reason.MOST_ACCURATE),
        (9, 10, 1.0, MIDDLE, Reason.BUDGET),
        (9, 33, 1.0, MIDDLE, Reason.FRAME_AGE),
        (30, 33, 3.0, MIDDLE, Reason.SLOWDOWN),
        (0.4, 33, 1.0, SMALL, Reason.NONE_FITS),
        (1, 1.5, 1.0, SMALL, Reason.BUDGET),
    ],
)
def test_the_most_accurate_that_fits_and_why_nothing_better(
    slack: float, budget: float, ratio: float, chosen: Candidate, reason: Reason
) -> None:
    decision = decide(Device(ratio), slack, budget)
    assert (decision.candidate, decision.reason) == (chosen, reason)
    assert decision.predicted_ms == pytest.approx(chosen.p50_ms * ratio)


def test_misses_are_not_spent_for_a_point_of_accuracy() -> None:
    nearly = Candidate(Variant(0.75, 224), 1, 0.700, 9.0, 9.5)
    device = Device(chances={LARGE: 0.96, nearly: 1.0})
    decision = choose((LARGE, nearly, SMALL), device, slack_ms=20, budget_ms=20, target=0.95)
    assert decision.candidate is nearly


def test_below_the_target_nothing_is_chosen_for_its_accuracy() -> None:
    device = Device(chances={LARGE: 0.94, MIDDLE: 0.951})
    assert decide(device, 20).candidate is MIDDLE


def test_a_gain_too_small_to_see_does_not_change_the_variant() -> None:
    twin = Candidate(Variant(1.0, 192), 1, 0.707, 10.0, 11.0)
    decision = choose(
        (LARGE, twin), Device(), slack_ms=30, budget_ms=33, target=0.95, previous=twin
    )
    assert (decision.candidate, decision.reason) == (twin, Reason.HOLD)


def test_what_no_longer_fits_is_not_held() -> None:
    twin = Candidate(Variant(1.0, 192), 1, 0.707, 10.0, 11.0)
    decision = choose(
        (LARGE, twin), Device(), slack_ms=12, budget_ms=33, target=0.95, previous=LARGE
    )
    assert decision.candidate is twin

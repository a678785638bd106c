"""What a view's evidence makes of the table's figures."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import numpy as np
import pytest

from edged.control.agreement import (
    EARLY_SECONDS,
    EARLY_WEIGHT,
    ENOUGH_MOMENTS,
    MOMENT_SECONDS,
    RIGHT_APART,
    Agreement,
    interval,
)
from edged.control.scene_change import NOVEL
from edged.variants.variant import Variant

BEST, GOOD, CHEAP = Variant(1.0, 224), Variant(0.5, 160), Variant(0.25, 128)
TABLE = {BEST: 0.8, GOOD: 0.73, CHEAP: 0.54}


def make() -> Agreement:
    return Agreement(TABLE, BEST)


def probe(
    agreement: Agreement, share: float, moments: int, variant: Variant = CHEAP, seed: int = 1
) -> Iterator[bool]:
    """Outcomes of which so many agree, at moments that follow each other."""
    random_ = random.Random(seed)
    now = getattr(agreement, "_pairs")[variant].at_seconds  # noqa: B009
    for _ in range(moments):
        now = max(now + 1.2 * MOMENT_SECONDS, agreement.due_seconds(variant))
        yield agreement.observe(variant, random_.random() < share, now)


@pytest.mark.parametrize(("agreed", "differed"), [(2, 2), (50, 1), (0.5, 9.5), (500, 500)])
def test_the_interval_holds_its_share_of_the_beta_distribution(
    agreed: float, differed: float
) -> None:
    """The density is integrated another way: over the angle whose squared sine is the share."""
    angles = np.linspace(1e-9, math.pi / 2 - 1e-9, 400_001)
    with np.errstate(under="ignore"):
        density = np.sin(angles) ** (2 * agreed - 1) * np.cos(angles) ** (2 * differed - 1)
    below = density.cumsum() / density.sum()
    for share in (0.95, 0.99):
        low, high = (math.asin(math.sqrt(end)) for end in interval(agreed, differed, share))
        ends = np.interp((low, high), angles, below)
        assert ends == pytest.approx(((1 - share) / 2, (1 + share) / 2), abs=0.0015)


def test_without_evidence_the_table_counts() -> None:
    agreement = make()
    assert agreement.figures() == {}
    told = agreement.estimate(CHEAP)
    assert told is not None
    assert told.accuracy == pytest.approx(TABLE[CHEAP])
    assert told.probes == 0
    assert agreement.estimate(BEST) is None  # it is what the others are compared with


def test_figures_move_to_what_agreement_means() -> None:
    agreement = make()
    changes = list(probe(agreement, 1.0, 60)) + list(probe(agreement, 0.1, 60, GOOD))
    assert True in changes
    figures = agreement.figures()
    assert figures[CHEAP] > 0.76  # as good as the reference here
    assert figures[GOOD] == pytest.approx(0.8 * (0.1 + 0.9 * RIGHT_APART), abs=0.08)
    assert agreement.breaks == 0


def test_a_figure_within_its_certainty_changes_nothing() -> None:
    agreement = make()
    told = agreement.estimate(CHEAP)
    assert told is not None
    changes = list(probe(agreement, told.agreement, 40))
    assert not any(changes)
    assert agreement.figures() == {}


def test_frames_of_one_moment_count_as_one() -> None:
    agreement = make()
    for number in range(50):
        agreement.observe(CHEAP, True, 100 + number * EARLY_SECONDS / 50)
    told = agreement.estimate(CHEAP)
    assert told is not None
    assert (told.moments, told.probes) == (1, 1)


def test_the_first_probes_come_sooner_and_weigh_less() -> None:
    agreement, now, waits = make(), 0.0, []
    for _ in range(90):
        assert agreement.due(now) == [GOOD, CHEAP]
        for variant in (GOOD, CHEAP):
            agreement.observe(variant, True, now)
        assert agreement.due(now) == []
        waits.append(agreement.due_seconds(CHEAP) - now)
        now += waits[-1]
    early = round(ENOUGH_MOMENTS / EARLY_WEIGHT) + 2
    assert max(waits[: early - 5]) < 1.5 * EARLY_SECONDS
    assert min(waits[early:]) >= MOMENT_SECONDS - 1e-6
    told = agreement.estimate(CHEAP)
    assert told is not None
    assert told.moments == pytest.approx(ENOUGH_MOMENTS + 90 - early, rel=0.1)


def test_what_was_missed_in_one_moment_comes_first_in_the_next() -> None:
    agreement = make()
    assert agreement.due(0.0) == [GOOD, CHEAP]
    agreement.observe(GOOD, True, 0.1)
    assert agreement.due(0.2) == [CHEAP]
    now = agreement.due_seconds(GOOD)
    assert agreement.due_seconds(CHEAP) < now
    assert agreement.due(now) == [CHEAP, GOOD]


def test_figures_are_made_anew_together() -> None:
    """One that has left its certainty takes along those that were asked of the same frames."""
    agreement = make()
    told = agreement.estimate(GOOD)
    assert told is not None
    for number in range(40):
        now = number * 1.2 * MOMENT_SECONDS
        agreement.observe(GOOD, number % 10 > 0, now)  # as the table says
        assert (GOOD in agreement.figures()) == (CHEAP in agreement.figures())
        agreement.observe(CHEAP, True, now)
    assert agreement.figures().keys() == {GOOD, CHEAP}


def test_probes_become_rarer_as_evidence_grows() -> None:
    agreement = make()
    assert agreement.due_seconds(CHEAP) < 0
    now, waits = 0.0, []
    for _ in range(200):
        before, now = now, max(now, agreement.due_seconds(CHEAP))
        waits.append(now - before)
        agreement.observe(CHEAP, True, now)
    assert sum(waits[1:11]) < 0.5 * sum(waits[-10:])
    assert max(waits) < 90


def test_evidence_fades() -> None:
    agreement = make()
    list(probe(agreement, 1.0, 60))
    before = agreement.estimate(CHEAP)
    agreement.observe(CHEAP, True, 8 * 3600.0)
    after = agreement.estimate(CHEAP)
    assert before is not None
    assert after is not None
    assert after.moments < before.moments / 8
    assert after.high - after.low > before.high - before.low


def test_agreement_that_breaks_is_forgotten_at_once() -> None:
    agreement = make()
    list(probe(agreement, 0.97, 100))
    assert CHEAP in agreement.figures()
    changes = list(probe(agreement, 0.08, 20, seed=2))
    assert agreement.breaks >= 1
    assert changes.index(True) < 10
    assert agreement.figures().get(CHEAP, 0.0) < 0.6


def test_false_alarms_are_rare() -> None:
    """At least 10,000 moments between two: of 6 variants with 500 moments each, hardly one."""
    breaks = 0
    for seed in range(6):
        agreement = make()
        list(probe(agreement, 0.64, 500, seed=seed))
        breaks += agreement.breaks
    assert breaks <= 1


def test_another_scene_is_forgotten_at_once_and_a_passer_by_is_not() -> None:
    agreement, random_ = make(), random.Random(3)

    def picture(level: int) -> bytes:
        return bytes(level + random_.randrange(-6, 7) for _ in range(48))

    list(probe(agreement, 1.0, 60))
    for number in range(200):
        passes = number % 50 == 40
        agreement.see(picture(190 if passes else 90), number * MOMENT_SECONDS)
    assert agreement.breaks == 0
    changes = [agreement.see(picture(40), 1e4 + number) for number in range(NOVEL)]
    assert changes == [False] * (NOVEL - 1) + [True]
    assert agreement.figures() == {}


def test_what_the_new_scene_has_shown_is_kept() -> None:
    """Between its first picture and the break, probes come as at the beginning."""
    agreement, random_ = make(), random.Random(3)
    list(probe(agreement, 1.0, 60, GOOD))
    now = getattr(agreement, "_pairs")[GOOD].at_seconds  # noqa: B009

    def see(level: int) -> None:
        agreement.see(bytes(level + random_.randrange(-6, 7) for _ in range(48)), now)

    for _ in range(60):
        now += MOMENT_SECONDS
        see(90)
    see(40)
    while agreement.breaks == 0:
        assert GOOD in agreement.due(now)
        agreement.observe(GOOD, False, now)
        now = agreement.due_seconds(GOOD)
        if now >= agreement.looks_seconds():
            see(40)
    told = agreement.estimate(GOOD)
    assert told is not None
    assert told.probes > 2 * NOVEL
    assert told.agreement < 0.25
    assert agreement.figures()[GOOD] == pytest.approx(told.accuracy)


def test_a_passer_by_leaves_the_evidence_as_it_was() -> None:
    agreement = make()
    list(probe(agreement, 1.0, 60))
    before, now = agreement.estimate(CHEAP), 1e4
    for number in range(60):
        agreement.see(bytes([90 + number % 2] * 48), now + number * MOMENT_SECONDS)
    agreement.see(bytes([190] * 48), now + 600)
    assert agreement.due(now + 600) == [GOOD, CHEAP]
    agreement.see(bytes([90] * 48), now + 610)
    assert agreement.breaks == 0
    assert agreement.estimate(CHEAP) == before


def test_a_still_scene_and_its_noise_change_nothing_for_an_hour() -> None:
    agreement, random_ = make(), random.Random(5)
    list(probe(agreement, 0.9, 150))
    start, changes = agreement.due_seconds(CHEAP), []
    for number in range(360):
        now = start + number * MOMENT_SECONDS * 1.1
        level = bytes(100 + random_.randrange(-9, 10) for _ in range(48))
        changes.append(agreement.see(level, now))
        if agreement.due_seconds(CHEAP) <= now:
            changes.append(agreement.observe(CHEAP, random_.random() < 0.9, now))
    assert agreement.breaks == 0
    assert sum(changes) <= 1  # a figure made more certain

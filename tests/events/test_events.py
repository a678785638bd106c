from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edged.errors import InputErrors
from edged.events.events import AWAY_SECONDS, Presence, Watch
from edged.events.options import EventConfig
from edged.hours import Period
from edged.result import Event

S = 1_000_000_000
NOON = 1_800_000_000 * S
"""Wall time at monotonic 0."""
RULE = EventConfig("visitor", ("cat",), ("door",), 0.6, 0.4, 1.0, 3.0, smooth_seconds=0.0)
LABELS = ("ant", "bee", "cat", "dog")


def presence(rule: EventConfig = RULE) -> Presence:
    return Presence("door", rule, (2,))


def played(
    each: Presence, scores: Mapping[float, float] | Sequence[tuple[float, float]]
) -> list[tuple[float, str]]:
    """(second of the frame, "begins" or "ends") for scores by the second of their capture."""
    told: list[tuple[float, str]] = []
    for second, score in scores.items() if isinstance(scores, Mapping) else scores:
        captured_ns = round(second * S)
        told += [
            (second, "begins" if event.ended_unix_ns is None else "ends")
            for event in each.observe(score, captured_ns, NOON + captured_ns)
        ]
    return told


def steady(score: float, begin: float, end: float, fps: float = 10) -> dict[float, float]:
    count = round((end - begin) * fps)
    return {round(begin + number / fps, 6): score for number in range(count)}


def test_an_event_begins_after_its_time_and_ends_after_another() -> None:
    scores = steady(0.1, 0, 2) | steady(0.9, 2, 5) | steady(0.1, 5, 12)
    assert played(presence(), scores) == [(3.0, "begins"), (8.0, "ends")]


def test_start_and_end_are_when_it_was_first_and_last_seen() -> None:
    each = presence()
    events: list[Event] = []
    for second, score in (steady(0.7, 2, 4) | steady(0.95, 4, 5) | steady(0.1, 5, 12)).items():
        events += each.observe(score, round(second * S), NOON + round(second * S))
    begun, ended = events
    assert begun == Event("door", "visitor", NOON + 2 * S, None, 0.7)
    assert ended == Event("door", "visitor", NOON + 2 * S, NOON + round(4.9 * S), 0.95)


def test_between_the_thresholds_nothing_changes() -> None:
    each = presence()
    assert played(each, steady(0.5, 0, 10)) == []
    assert played(each, steady(0.7, 10, 12)) == [(11.0, "begins")]
    assert played(each, steady(0.5, 12, 60)) == []


def test_what_is_there_for_a_moment_or_gone_for_one_is_no_event() -> None:
    each = presence()
    flicker = {second: 0.9 if round(second * 10) % 10 < 9 else 0.1 for second in steady(0, 0, 20)}
    assert played(each, flicker) == []
    assert played(each, steady(0.9, 20, 22)) == [(21.0, "begins")]
    gaps = {second: 0.1 if round(second * 10) % 30 < 29 else 0.9 for second in steady(0, 22, 60)}
    assert played(each, gaps) == []


@given(st.floats(1, 60), st.integers(0, 1000))
def test_smoothing_depends_on_time_alone(fps: float, seed: int) -> None:
    """Steps of a score are followed alike whatever the rate, and however frames are lost."""
    rule = replace(RULE, smooth_seconds=0.5, for_seconds=0, gone_seconds=0)
    chance = random.Random(seed)
    frames = [number / fps for number in range(1, int(30 * fps)) if chance.random() < 0.7]
    times = [0.0, *frames, 30.0]
    assume(all(later - earlier < AWAY_SECONDS for earlier, later in pairwise(times)))
    told = played(presence(rule), {second: float(5 <= second < 15) for second in times})
    assert [what for _, what in told] == ["begins", "ends"]
    # From 0 the mean of ones reaches 0.6 after 0.46 s, and from 1 it falls below 0.4 after as
    # long, counted from the last frame that was different: the first frame after that tells it.
    crossing_seconds = 0.5 * math.log(1 / 0.4)
    for (second, _), step in zip(told, (5.0, 15.0), strict=True):
        before = max(moment for moment in times if moment < step)
        assert second == next(
            moment
            for moment in times
            if moment >= step and moment - before > crossing_seconds - 1e-9
        )


def test_the_time_constant_averages_out_a_single_wild_score() -> None:
    rule = replace(RULE, smooth_seconds=1.0, for_seconds=0)
    assert played(presence(rule), steady(0.1, 0, 5) | {5.0: 1.0} | steady(0.1, 5.1, 6)) == []


def test_a_camera_that_goes_away_ends_its_event_when_it_was_last_seen() -> None:
    each = presence()
    played(each, steady(0.9, 0, 2))
    assert list(each.tick(round((1.9 + AWAY_SECONDS) * S))) == []
    (ended,) = each.tick(round((1.9 + AWAY_SECONDS) * S) + 1)
    assert ended.ended_unix_ns == NOON + round(1.9 * S)
    assert not each.active
    # What it saw before counts for nothing when it is back.
    assert played(each, steady(0.9, 100, 103)) == [(101.0, "begins")]


def test_a_gap_that_nobody_looked_into_ends_an_event_too_and_begins_none() -> None:
    each = presence()
    assert played(each, {0.0: 0.9, 50.0: 0.9}) == []
    assert played(each, {51.0: 0.9}) == [(51.0, "begins")]
    assert played(each, {100.0: 0.9, 100.5: 0.9}) == [(100.0, "ends")]


def test_a_clock_that_steps_changes_no_duration() -> None:
    each = presence()
    events: list[Event] = []
    for second, score in (steady(0.9, 0, 5) | steady(0.1, 5, 9)).items():
        wall_ns = NOON if second < 3 else NOON - 7200 * S
        events += each.observe(score, round(second * S), wall_ns + round(second * S))
    begun, ended = events
    assert begun.started_unix_ns == ended.started_unix_ns == NOON
    assert ended.ended_unix_ns == NOON + round(4.9 * S)


def test_frames_of_one_moment_and_of_the_past_do_no_harm() -> None:
    each = presence(replace(RULE, smooth_seconds=0.5))
    times = (1.0, 1.0, 0.5, 2.0, 3.5, 3.5)
    assert played(each, [(second, 0.9) for second in times]) == [(2.0, "begins")]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_a_number_begins_nothing_and_leaves_nothing_behind(
    wrong: float,
) -> None:
    each = presence(replace(RULE, for_seconds=0, smooth_seconds=0.5))
    assert played(each, steady(wrong, 0, 5)) == []
    good = presence(replace(RULE, for_seconds=0, smooth_seconds=0.5))
    assert played(each, steady(0.9, 5, 8)) == played(good, steady(0.9, 5, 8)) != []
    assert each._smoothed == good._smoothed


def test_an_event_goes_on_over_such_scores_and_ends_if_nothing_else_comes() -> None:
    each = presence()
    assert played(each, steady(0.9, 0, 2)) == [(1.0, "begins")]
    assert played(each, steady(math.nan, 2, 6) | steady(0.9, 6, 8)) == []
    nothing = played(each, steady(math.nan, 8, 30))
    assert nothing == [(pytest.approx(7.9 + AWAY_SECONDS + 0.1), "ends")]


def test_one_such_score_in_a_group_is_one_for_the_group() -> None:
    each = watch(replace(RULE, classes=("cat", "dog"), for_seconds=0))
    assert see(each, 1, 0, 0, 0.9, math.nan) == []
    assert [event.peak for event in see(each, 2, 0, 0, 0.5, 0.25)] == [0.75]


def watch(*rules: EventConfig, **away_seconds: float) -> Watch:
    cameras = {"door": AWAY_SECONDS, "yard": AWAY_SECONDS} | away_seconds
    return Watch.of(rules, dict.fromkeys(cameras, LABELS), cameras)


def see(each: Watch, second: float, *scores: float, camera: str = "door") -> list[Event]:
    array = np.array(scores, np.float32)
    return each.observe(camera, array, round(second * S), NOON + round(second * S))


def test_the_scores_of_a_group_are_added_up() -> None:
    rule = replace(RULE, classes=("cat", "dog"), for_seconds=0)
    (begun,) = see(watch(rule), 1, 0.1, 0.1, 0.45, 0.35)
    assert begun.peak == pytest.approx(0.8)
    assert see(watch(replace(rule, classes=("cat",))), 1, 0.1, 0.1, 0.45, 0.35) == []


def test_the_scores_of_a_group_add_up_to_one_at_most() -> None:
    """Each score may be a sigmoid's."""
    rule = replace(RULE, classes=("cat", "dog"), for_seconds=0)
    (begun,) = see(watch(rule), 1, 0.1, 0.1, 0.9, 0.8)
    assert begun.peak == 1.0


def test_a_label_that_stands_twice_in_the_family_counts_twice() -> None:
    rules = [replace(RULE, classes=("crane",), for_seconds=0)]
    each = Watch.of(rules, {"door": ("crane", "ant", "crane")}, {"door": 10.0})
    (begun,) = see(each, 1, 0.4, 0.2, 0.4)
    assert begun.peak == pytest.approx(0.8)


def test_each_camera_has_its_own_events() -> None:
    each = watch(replace(RULE, views=("door", "yard"), for_seconds=0))
    assert [event.view for event in see(each, 1, 0, 0, 1, 0, camera="yard")] == ["yard"]
    assert [event.view for event in see(each, 1, 0, 0, 1, 0)] == ["door"]
    assert [tuple(count) for count in each.counts()] == [
        ("door", "visitor", 1, True),
        ("yard", "visitor", 1, True),
    ]
    assert [event.view for event in each.end()] == ["door", "yard"]
    assert each.end() == []


def test_a_camera_that_nobody_asked_about_is_left_alone() -> None:
    each = watch(replace(RULE, for_seconds=0))
    assert see(each, 1, 0, 0, 1, 0, camera="yard") == []


def test_unknown_classes_are_all_named_with_what_may_be_meant() -> None:
    rule = replace(RULE, classes=("cta", "zebra", "bee"), where="x.yaml:7: events.visitor.classes")
    with pytest.raises(InputErrors) as caught:
        watch(rule, replace(rule, name="other", classes=("Bee",)))
    first, second, third = caught.value.errors
    assert str(first) == (
        "x.yaml:7: events.visitor.classes: the family has no such class (got cta); "
        "did you mean cat?"
    )
    assert str(second).endswith("(got zebra); use one of ant, bee, cat, dog")
    assert "did you mean bee?" in str(third)


def test_each_view_has_the_classes_of_its_own_family() -> None:
    rule = replace(RULE, views=("yard/gate", "yard/bin"), for_seconds=0)
    labels = {"yard/gate": ("cat", "ant"), "yard/bin": ("ant", "bee", "cat"), "door": ("fox",)}
    each = Watch.of([rule], labels, dict.fromkeys(labels, AWAY_SECONDS))
    assert see(each, 1, 0, 1, camera="yard/gate") == []
    assert [event.view for event in see(each, 2, 1, 0, camera="yard/gate")] == ["yard/gate"]
    assert [event.view for event in see(each, 3, 0, 0, 1, camera="yard/bin")] == ["yard/bin"]


def test_a_class_that_one_family_lacks_names_the_view() -> None:
    rule = replace(RULE, views=("yard/gate", "yard/bin"), where="x.yaml:7: events.visitor.class")
    labels = {"yard/gate": ("cat", "ant"), "yard/bin": ("ant", "bee")}
    with pytest.raises(InputErrors) as caught:
        Watch.of([rule], labels, dict.fromkeys(labels, AWAY_SECONDS))
    assert str(caught.value) == (
        "x.yaml:7: events.visitor.class: the family of yard/bin has no such class (got cat); "
        "watch only views whose family has it: cameras: [yard/gate]"
    )


def test_a_reload_goes_on_where_the_rule_is_the_same() -> None:
    kept, changed, gone = (replace(RULE, name=n, for_seconds=0) for n in ("kept", "other", "gone"))
    before = watch(kept, changed, gone)
    assert len(see(before, 1, 0, 0, 1, 0)) == 3
    after = watch(kept, replace(changed, above=0.7))
    assert [(event.name, event.ended_unix_ns) for event in after.take_over(before)] == [
        ("other", NOON + S),
        ("gone", NOON + S),
    ]
    assert [tuple(count)[1:] for count in after.counts()] == [
        ("kept", 1, True),
        ("other", 1, False),
    ]
    assert [event.name for event in see(after, 2, 0, 0, 1, 0)] == ["other"]


def test_a_camera_that_is_added_to_a_rule_ends_nothing_at_the_others() -> None:
    before = watch(replace(RULE, for_seconds=0))
    see(before, 1, 0, 0, 1, 0)
    rule = replace(RULE, for_seconds=0, views=("door", "yard"))
    after = watch(rule)
    assert not after.take_over(before)
    assert [(count.view, count.active) for count in after.counts()] == [
        ("door", True),
        ("yard", False),
    ]


def test_how_an_event_is_shown_does_not_end_it() -> None:
    before = watch(replace(RULE, for_seconds=0))
    see(before, 1, 0, 0, 1, 0)
    after = watch(replace(RULE, for_seconds=0, snapshot=True, device_class="motion"))
    assert not after.take_over(before)
    assert [(count.active, after.presences[0].rule.snapshot) for count in after.counts()] == [
        (True, True)
    ]


def test_another_family_with_other_places_of_the_classes_is_another_rule() -> None:
    before = watch(replace(RULE, for_seconds=0))
    see(before, 1, 0, 0, 1, 0)
    labels = {"door": ("cat", "ant")}
    after = Watch.of([replace(RULE, for_seconds=0)], labels, {"door": AWAY_SECONDS})
    assert [event.ended_unix_ns for event in after.take_over(before)] == [NOON + S]


def test_what_is_off_ends_and_does_not_begin_until_it_is_on() -> None:
    rules = [replace(RULE, name=name, views=("door", "yard"), for_seconds=0) for name in "ab"]
    each = watch(*rules)
    for camera in ("door", "yard"):
        assert len(see(each, 1, 0, 0, 1, 0, camera=camera)) == 2
    off = {("door", "a"), ("yard", "a"), ("yard", "b")}
    ended = each.switch(lambda view, event: (view, event) not in off)
    assert {(event.view, event.name) for event in ended} == off
    assert all(event.ended_unix_ns == NOON + S for event in ended)
    assert each.switch(lambda view, event: (view, event) not in off) == []
    assert see(each, 2, 0, 0, 1, 0) == see(each, 2, 0, 0, 1, 0, camera="yard") == []
    assert [count.active for count in each.counts()] == [False, False, True, False]
    assert each.switch(lambda view, event: True) == []
    begun = [*see(each, 3, 0, 0, 1, 0), *see(each, 3, 0, 0, 1, 0, camera="yard")]
    assert {(event.view, event.name) for event in begun} == off
    assert all(event.started_unix_ns == NOON + 3 * S for event in begun)


def test_a_reload_of_the_hours_keeps_an_event() -> None:
    rule = replace(RULE, for_seconds=0)
    before, after = watch(rule), watch(replace(rule, hours=(Period.of("07:00-19:00"),)))
    assert len(see(before, 1, 0, 0, 1, 0)) == 1
    assert after.take_over(before) == []
    assert [count.active for count in after.counts()] == [True]

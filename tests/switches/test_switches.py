"""What views and event rules are switched to, by whom and for how long, without a daemon."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from edged.errors import InputError
from edged.hours import Period
from edged.switches.switch import ON, Kind, State, Switch, Target
from edged.switches.switches import MOST_MINUTES, Switches

DOOR, GATE = Target(Kind.VIEW, "door"), Target(Kind.VIEW, "yard/gate")
VISITOR = Target(Kind.EVENT, "visitor")
ALWAYS: dict[Target, tuple[Period, ...]] = {DOOR: (), GATE: (), VISITOR: ()}
NOON = int(datetime(2026, 2, 2, 12, tzinfo=timezone.utc).timestamp())  # a Monday


class Now:
    """The wall clock."""

    def __init__(self, now_s: float = NOON) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def switches(now: Now) -> Switches:
    switches = Switches(unix=now)
    switches.follow(ALWAYS)
    return switches


def test_everything_is_on_until_somebody_switches_it(switches: Switches, now: Now) -> None:
    assert switches.states == dict.fromkeys(ALWAYS, ON)
    switches.change(GATE, State.OFF, "mqtt")
    off = Switch(State.OFF, None, NOON, "mqtt")
    assert switches.states == {DOOR: ON, GATE: off, VISITOR: ON}
    assert [switches.of_view(each).on for each in ("door", "yard/gate")] == [True, False]
    assert [switches.count(each, "visitor") for each in ("door", "yard/gate")] == [True, False]
    now.now_s += 5
    switches.change(GATE, State.ON, "api by anna")
    assert switches.of_view("yard/gate") == Switch(State.ON, None, NOON + 5, "api by anna")
    switches.change(VISITOR, State.OFF, "mqtt")
    assert not switches.count("door", "visitor")
    assert switches.count("door", "other")


def test_a_snooze_ends_by_itself(switches: Switches, now: Now) -> None:
    switches.change(DOOR, State.SNOOZED, "page on loopback", 10)
    snoozed = Switch(State.SNOOZED, NOON + 600, NOON, "page on loopback")
    assert switches.of_view("door") == snoozed
    now.now_s += 599.9
    switches.tick()
    assert switches.of_view("door") == snoozed
    now.now_s += 0.1
    switches.tick()
    assert switches.of_view("door") == Switch(State.ON, None, NOON + 600, "end of its snooze")


def test_a_snooze_is_prolonged_and_a_switch_ends_it(switches: Switches, now: Now) -> None:
    switches.change(DOOR, State.SNOOZED, "mqtt", 10)
    now.now_s += 300
    switches.change(DOOR, State.SNOOZED, "mqtt", 10)
    assert switches.of_view("door").until_s == NOON + 900
    switches.change(DOOR, State.OFF, "mqtt")
    now.now_s += 3600
    switches.tick()
    assert switches.of_view("door").state is State.OFF


def test_hours_count_on_the_wall_clock(switches: Switches, now: Now) -> None:
    evening = (Period.of("Mo-Fr 18:00-22:00"),)
    switches.follow({DOOR: evening, VISITOR: evening})
    assert switches.of_view("door") == Switch(State.HOURS)
    assert not switches.count("door", "visitor")
    now.now_s = NOON + 6 * 3600
    switches.tick()
    assert switches.states == {DOOR: ON, VISITOR: ON}
    now.now_s = NOON + 10 * 3600
    switches.tick()
    assert not switches.of_view("door").on


def test_a_switch_that_is_off_stays_off_in_its_hours(switches: Switches, now: Now) -> None:
    switches.follow({DOOR: (Period.of("18:00-22:00"),)})
    switches.change(DOOR, State.OFF, "mqtt")
    assert switches.of_view("door").state is State.OFF
    now.now_s = NOON + 7 * 3600
    switches.tick()
    assert switches.of_view("door").state is State.OFF
    now.now_s = NOON + 12 * 3600
    switches.change(DOOR, State.ON, "mqtt")
    on_later = Switch(State.HOURS, None, NOON + 12 * 3600, "mqtt")
    assert switches.of_view("door") == on_later


def test_each_change_is_logged_with_its_origin(
    switches: Switches, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edged.switches")
    switches.change(GATE, State.OFF, "mqtt")
    switches.change(GATE, State.OFF, "api by anna")  # changes nothing
    switches.change(VISITOR, State.SNOOZED, "page by anna", 90)
    switches.change(DOOR, State.SNOOZED, "mqtt", 60 * 24)
    now.now_s += 5400
    switches.tick()
    switches.follow({DOOR: (Period.of("18:00-22:00"),), VISITOR: ()})
    assert caplog.messages == [
        "view yard/gate: switched off (mqtt)",
        "event visitor: snoozed until 13:30 (page by anna)",
        "camera door: snoozed until 2026-02-03 12:00 (mqtt)",
        "event visitor: switched on (end of its snooze)",
        "view yard/gate is no longer configured; it was switched off (mqtt), which is forgotten",
    ]
    caplog.clear()
    switches.change(DOOR, State.ON, "mqtt")
    now.now_s = NOON + 6 * 3600
    switches.tick()
    now.now_s = NOON + 10 * 3600
    switches.tick()
    assert caplog.messages == [
        "camera door: switched on (mqtt)",
        "camera door: within its hours",
        "camera door: outside its hours",
    ]


def test_what_is_gone_and_comes_back_is_on(switches: Switches) -> None:
    switches.change(GATE, State.OFF, "mqtt")
    switches.follow({DOOR: ()})
    switches.follow(ALWAYS)
    assert switches.of_view("yard/gate") == ON


@pytest.mark.parametrize(
    ("target", "state", "minutes", "error"),
    [
        (Target(Kind.VIEW, "yard"), State.OFF, None, r"no such view \(got yard\); there are door"),
        (Target(Kind.EVENT, "door"), State.OFF, None, "no such event"),
        (DOOR, State.SNOOZED, None, f"expected 1 to {MOST_MINUTES} minutes"),
        (DOOR, State.SNOOZED, 0, "expected 1 to"),
        (DOOR, State.SNOOZED, -5, "expected 1 to"),
        (DOOR, State.SNOOZED, MOST_MINUTES + 1, "expected 1 to"),
    ],
)
def test_a_mistake_changes_nothing(
    switches: Switches, target: Target, state: State, minutes: int | None, error: str
) -> None:
    with pytest.raises(InputError, match=error):
        switches.change(target, state, "mqtt", minutes)
    assert switches.states == dict.fromkeys(ALWAYS, ON)


def test_who_follows_is_told_of_a_change_alone() -> None:
    told: list[bool] = []
    switches = Switches(unix=Now(), changed=lambda: told.append(switches.of_view("door").on))
    switches.follow(ALWAYS)
    before = switches.states
    switches.tick()
    assert switches.states is before
    switches.change(DOOR, State.OFF, "mqtt")
    switches.change(DOOR, State.OFF, "mqtt")
    assert told == [False]


@pytest.mark.parametrize("switch", [ON, Switch(State.SNOOZED, NOON, NOON - 60, "mqtt")])
def test_json_tells_all_of_it(switch: Switch) -> None:
    assert Switch.of(switch.told()) == switch
    times = {"until": "2026-02-02T12:00:00.000000Z", "changed_at": "2026-02-02T11:59:00.000000Z"}
    if switch is not ON:
        assert switch.told() == {"state": "snoozed", **times, "origin": "mqtt"}

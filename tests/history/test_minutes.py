"""What a view saw, added up by the minute."""

from __future__ import annotations

import threading

import pytest

from edged.history.minutes import MOST_CLASSES, Minute, Minutes
from edged.result import Score
from edged.variants.variant import Variant
from tests.rig.results import SMALL, make_result

LARGE = Variant(1.0, 224)
TOP1 = {"door": {SMALL.name: 0.5, LARGE.name: 0.7}, "yard/gate": {}}


class Unix:
    ms = 1000

    def __call__(self) -> int:
        return self.ms * 1_000_000


@pytest.fixture
def unix() -> Unix:
    return Unix()


@pytest.fixture
def minutes(unix: Unix) -> Minutes:
    minutes = Minutes(unix)
    minutes.follow(TOP1)
    return minutes


def see(minutes: Minutes, *labels: str, view: str = "door", **more: object) -> None:
    result = make_result(view=view, **more)  # type: ignore[arg-type]
    result = result._replace(top=tuple(Score(label, 0.5) for label in labels))
    minutes.observe(result, result.latency_ms)


def test_a_minute_says_what_was_seen_and_what_ran(minutes: Minutes, unix: Unix) -> None:
    for _ in range(3):
        see(minutes, "open", "closed", variant=LARGE, latency_ms=20)
    see(minutes, "closed", latency_ms=40)
    see(minutes, latency_ms=10)
    minutes.stale("door")
    unix.ms = 61_000
    (minute,) = minutes.take()
    assert minute == Minute(
        view="door",
        started_ms=1000,
        results=5,
        late=1,
        stale=1,
        latency_ms=pytest.approx(22),
        variant=LARGE.name,
        accuracy=pytest.approx((3 * 0.7 + 2 * 0.5) / 5),
        best_accuracy=0.7,
        classes={"open": 3, "closed": 1},
        nothing=1,
    )
    assert minutes.take() == []
    see(minutes, "open")
    assert [each.started_ms for each in minutes.take()] == [61_000]


def test_few_classes_are_named(minutes: Minutes) -> None:
    for number in range(2 * MOST_CLASSES):
        for _ in range(number + 1):
            see(minutes, f"class {number}")
    (minute,) = minutes.take()
    assert list(minute.classes.values()) == [10, 9, 8, 7, 6]
    assert minute.results == 55


def test_a_view_of_an_unknown_family_has_no_accuracy(minutes: Minutes) -> None:
    see(minutes, "open", view="yard/gate")
    (minute,) = minutes.take()
    assert (minute.accuracy, minute.best_accuracy) == (None, None)


def test_a_view_that_is_always_too_late_is_told(minutes: Minutes) -> None:
    minutes.stale("door")
    (minute,) = minutes.take()
    assert (minute.results, minute.stale, minute.latency_ms, minute.variant) == (0, 1, None, None)


def test_a_reload_loses_nothing_and_mixes_nothing(minutes: Minutes, unix: Unix) -> None:
    see(minutes, "open")
    see(minutes, "open", view="yard/gate")
    unix.ms = 31_000
    minutes.follow({"door": {SMALL.name: 0.9}})
    see(minutes, "open")
    told = [(each.view, each.started_ms, each.accuracy) for each in minutes.take()]
    assert told == [("door", 1000, 0.5), ("yard/gate", 1000, None), ("door", 31_000, 0.9)]


def test_no_result_is_lost_while_a_minute_is_taken(minutes: Minutes) -> None:
    count, taken = 20_000, 0
    thread = threading.Thread(target=lambda: [see(minutes, "open") for _ in range(count)])
    thread.start()
    while thread.is_alive():
        taken += sum(each.results for each in minutes.take())
    taken += sum(each.results for each in minutes.take())
    assert taken == count

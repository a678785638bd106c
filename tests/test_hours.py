"""Periods of the day and the week on the clock on the wall."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from edged.errors import InputError
from edged.hours import DAYS, Period, hours_of, within

NIGHT = [Period.of("22:00-06:30")]
Zone = Callable[[str], None]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    def use(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


def at(text: str, name: str = "Europe/Berlin", fold: int = 0) -> int:
    """Unix time of a local time."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(name), fold=fold)
    return int(local.timestamp())


@pytest.mark.parametrize(
    ("clock", "inside"),
    [("21:59", 0), ("22:00", 1), ("23:59", 1), ("00:00", 1), ("06:29", 1), ("06:30", 0)],
)
def test_over_midnight(zone: Zone, clock: str, inside: bool) -> None:
    zone("Europe/Berlin")
    assert within(NIGHT, at(f"2026-01-31T{clock}")) == inside


def test_several_periods_and_the_whole_day(zone: Zone) -> None:
    zone("Europe/Berlin")
    periods = [Period.of("12:00-13:00"), *NIGHT]
    hours = [hour for hour in range(24) if within(periods, at(f"2026-01-31T{hour:02}:00"))]
    assert hours == [0, 1, 2, 3, 4, 5, 6, 12, 22, 23]
    assert within([Period.of("00:00-24:00")], at("2026-01-31T23:59"))
    assert not within([Period.of("20:00-24:00")], at("2026-01-31T00:00"))
    assert not within([], at("2026-01-31T00:00"))


def test_summer_time_begins_and_ends_on_the_wall_clock(zone: Zone) -> None:
    """In Berlin the clock goes from 2:00 to 3:00 on 29 March 2026, and from 3:00 back to 2:00 on 25
    October: nights of 7.5 and 9.5 hours."""
    zone("Europe/Berlin")
    for evening, hours in (("2026-03-28", 7.5), ("2026-10-24", 9.5), ("2026-06-01", 8.5)):
        begin = at(f"{evening}T20:00")
        minutes = [begin + minute * 60 for minute in range(14 * 60)]
        assert sum(within(NIGHT, each) for each in minutes) == hours * 60
    repeated = Period.of("02:15-02:45")
    for fold in (0, 1):
        assert within([repeated], at("2026-10-25T02:30", fold=fold))
    skipped = at("2026-03-29T01:59") + 60
    assert not any(within([repeated], skipped + each * 60) for each in range(60))


def test_the_zone_is_that_of_the_device(zone: Zone) -> None:
    moment = int(datetime(2026, 1, 31, 14, 30, tzinfo=timezone.utc).timestamp())
    zone("UTC")
    assert not within(NIGHT, moment)
    zone("Asia/Tokyo")
    assert within(NIGHT, moment)


@pytest.mark.parametrize("text", ["22-6", "22:00", "24:00-06:00", "22:60-06:00", "22:00-24:01", ""])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(InputError, match="write it as 22:00-06:30"):
        Period.of(text)


def test_a_period_without_an_end() -> None:
    with pytest.raises(InputError, match="write 00:00-24:00 for the whole day"):
        Period.of("06:00-06:00")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mo-Fr 07:00-19:00", "Mo Tu We Th Fr"),
        ("Sa 07:00-19:00", "Sa"),
        ("Sa,Su 07:00-19:00", "Sa Su"),
        ("Fr-Mo,We 07:00-19:00", "Mo We Fr Sa Su"),
        ("Mo-Mo 07:00-19:00", "Mo"),
        ("07:00-19:00", "Mo Tu We Th Fr Sa Su"),
    ],
)
def test_days_of_the_week(zone: Zone, text: str, days: str) -> None:
    zone("Europe/Berlin")
    noons = [at(f"2026-02-{day:02}T12:00") for day in range(2, 9)]  # from Monday on
    period = Period.of(text)
    assert [name for name, noon in zip(DAYS, noons, strict=True) if within([period], noon)] == (
        days.split()
    )
    assert not any(within([period], at(f"2026-02-{day:02}T06:59")) for day in range(2, 9))
    assert period.text == text


def test_a_night_belongs_to_the_day_on_which_it_begins(zone: Zone) -> None:
    zone("Europe/Berlin")
    friday = [Period.of("Fr 22:00-06:00")]
    inside = [
        f"{day:02}T{hour:02}"
        for day in range(2, 10)
        for hour in range(24)
        if within(friday, at(f"2026-02-{day:02}T{hour:02}:00"))
    ]
    assert inside == ["06T22", "06T23", *(f"07T{hour:02}" for hour in range(6))]
    sunday = [Period.of("Su 22:00-06:00")]
    assert within(sunday, at("2026-02-09T05:59"))  # on Monday


@pytest.mark.parametrize("text", ["Mo-Xx 07:00-19:00", "mo 07:00-19:00", "Mo, 07:00-19:00"])
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(InputError, match="the days are Mo, Tu, We, Th, Fr, Sa, Su"):
        Period.of(text)


def test_a_section_has_one_period_or_several() -> None:
    assert hours_of({}) == ()
    assert hours_of({"hours": "07:00-19:00"}) == (Period.of("07:00-19:00"),)
    several = ["Mo 07:00-19:00", "Su 10:00-12:00"]
    assert hours_of({"hours": several}) == tuple(map(Period.of, several))


def test_the_clock_of_the_test_is_that_of_the_zone(zone: Zone) -> None:
    zone("Europe/Berlin")
    assert time.localtime(at("2026-03-29T03:00")).tm_hour == 3
    assert at("2026-03-29T03:00") - at("2026-03-29T01:00") == 3600

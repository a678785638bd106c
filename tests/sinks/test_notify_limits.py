"""Quiet hours on the clock on the wall, and at most so many messages an hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from edged.errors import InputError
from edged.sinks.notify.limits import HOUR_NS, HourlyLimit, Period, is_quiet

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
    """Unix time in nanoseconds of a local time."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(name), fold=fold)
    return int(local.timestamp()) * 10**9


@pytest.mark.parametrize(
    ("clock", "quiet"),
    [("21:59", 0), ("22:00", 1), ("23:59", 1), ("00:00", 1), ("06:29", 1), ("06:30", 0)],
)
def test_over_midnight(zone: Zone, clock: str, quiet: bool) -> None:
    zone("Europe/Berlin")
    assert is_quiet(NIGHT, at(f"2026-01-31T{clock}")) == quiet


def test_several_periods_and_the_whole_day(zone: Zone) -> None:
    zone("Europe/Berlin")
    periods = [Period.of("12:00-13:00"), *NIGHT]
    quiet = [hour for hour in range(24) if is_quiet(periods, at(f"2026-01-31T{hour:02}:00"))]
    assert quiet == [0, 1, 2, 3, 4, 5, 6, 12, 22, 23]
    assert is_quiet([Period.of("00:00-24:00")], at("2026-01-31T23:59"))
    assert not is_quiet([Period.of("20:00-24:00")], at("2026-01-31T00:00"))
    assert not is_quiet([], at("2026-01-31T00:00"))


def test_summer_time_begins_and_ends_on_the_wall_clock(zone: Zone) -> None:
    """In Berlin the clock goes from 2:00 to 3:00 on 29 March 2026, and from 3:00 back to 2:00 on 25
    October: nights of 7.5 and 9.5 hours."""
    zone("Europe/Berlin")
    for evening, hours in (("2026-03-28", 7.5), ("2026-10-24", 9.5), ("2026-06-01", 8.5)):
        begin = at(f"{evening}T20:00")
        minutes = [begin + minute * 60 * 10**9 for minute in range(14 * 60)]
        assert sum(is_quiet(NIGHT, each) for each in minutes) == hours * 60
    repeated = Period.of("02:15-02:45")
    for fold in (0, 1):
        assert is_quiet([repeated], at("2026-10-25T02:30", fold=fold))
    skipped = at("2026-03-29T01:59") + 60 * 10**9
    assert not any(is_quiet([repeated], skipped + each * 60 * 10**9) for each in range(60))


def test_the_zone_is_that_of_the_device(zone: Zone) -> None:
    moment = int(datetime(2026, 1, 31, 14, 30, tzinfo=timezone.utc).timestamp()) * 10**9
    zone("UTC")
    assert not is_quiet(NIGHT, moment)
    zone("Asia/Tokyo")
    assert is_quiet(NIGHT, moment)


@pytest.mark.parametrize("text", ["22-6", "22:00", "24:00-06:00", "22:60-06:00", "22:00-24:01", ""])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(InputError, match="write it as 22:00-06:30"):
        Period.of(text)


def test_a_period_without_an_end() -> None:
    with pytest.raises(InputError, match="write 00:00-24:00 for the whole day"):
        Period.of("06:00-06:00")


def test_no_hour_has_more_than_the_limit() -> None:
    limit, minute_ns = HourlyLimit(3), HOUR_NS // 60
    sent = []
    for minute in range(0, 600, 7):
        now_ns = minute * minute_ns
        if limit.admits(now_ns):
            limit.note_sent(now_ns)
            sent.append(now_ns)
    for start in sent:
        assert sum(start <= each < start + HOUR_NS for each in sent) <= 3
    assert len(sent) == 3 * 10  # and no less


def test_what_was_left_out_is_kept_until_it_is_told() -> None:
    limit = HourlyLimit(1)
    limit.note_sent(0)
    limit.leave_out(5)
    limit.leave_out(7)
    assert (limit.left_out, limit.since_unix_ns) == (2, 5)
    after = HourlyLimit(2)  # a reload raised it
    after.continue_from(limit)
    assert after.admits(1)
    assert (after.left_out, after.since_unix_ns) == (2, 5)
    after.note_sent(1)
    assert after.left_out == 0
    assert not after.admits(2)
    assert after.admits(HOUR_NS)
    fewer = HourlyLimit(1)
    fewer.continue_from(after)
    assert not fewer.admits(HOUR_NS)  # the latest one counts


def test_the_clock_of_the_test_is_that_of_the_zone(zone: Zone) -> None:
    zone("Europe/Berlin")
    assert time.localtime(at("2026-03-29T03:00") / 1e9).tm_hour == 3
    assert timedelta(seconds=(at("2026-03-29T03:00") - at("2026-03-29T01:00")) / 1e9) == timedelta(
        hours=1
    )

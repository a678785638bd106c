"""At most so many messages an hour."""

from __future__ import annotations

from edged.sinks.notify.limits import HOUR_NS, HourlyLimit


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

"""The last minutes of one camera, second by second, in a bounded space."""

from __future__ import annotations

from edged.web.seconds import MOST_RESULTS, SECONDS, Seconds

SECOND_NS = 1_000_000_000
BEGIN_NS = 1000 * SECOND_NS


def test_nothing_yet() -> None:
    seconds = Seconds()
    assert seconds.complete(BEGIN_NS) == []
    summary = seconds.summary(BEGIN_NS)
    assert (summary.p50_ms, summary.p95_ms, summary.on_time, summary.fps) == (None, None, None, 0)


def test_a_second_is_told_when_it_is_over() -> None:
    seconds = Seconds()
    for latency_ms in range(1, 102):
        seconds.observe(BEGIN_NS + latency_ms, float(latency_ms), 95.0, "small")
    seconds.stale(BEGIN_NS + 500, 95.0)
    assert seconds.complete(BEGIN_NS + 999_999_999) == []
    (second,) = seconds.complete(BEGIN_NS + SECOND_NS)
    assert (second.p50_ms, second.p95_ms, second.most_ms) == (51, 96, 101)
    assert (second.results, second.late, second.stale) == (101, 6, 1)
    assert (second.budget_ms, second.variant) == (95.0, "small")


def test_frames_that_came_too_late_count_as_not_on_time() -> None:
    seconds = Seconds()
    seconds.observe(BEGIN_NS, 10, 20, "small")
    seconds.observe(BEGIN_NS, 30, 20, "small")
    for _ in range(2):
        seconds.stale(BEGIN_NS, 20)
    assert seconds.summary(BEGIN_NS + SECOND_NS).on_time == 0.25


def test_a_second_of_frames_that_came_too_late_knows_their_budget() -> None:
    seconds = Seconds()
    seconds.stale(BEGIN_NS, 20.0)
    (second,) = seconds.complete(BEGIN_NS + SECOND_NS)
    assert (second.stale, second.budget_ms, second.variant) == (1, 20.0, None)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    seconds = Seconds()
    for number in range(20):
        for _ in range(30 if number >= 10 else 1):
            seconds.observe(BEGIN_NS + number * SECOND_NS, 10, 20, "small")
    assert seconds.summary(BEGIN_NS + 20 * SECOND_NS).fps == 30
    young = Seconds()
    for number in range(2):
        for _ in range(30):
            young.observe(BEGIN_NS + number * SECOND_NS, 10, 20, "small")
    assert young.summary(BEGIN_NS + 2 * SECOND_NS).fps == 30


def test_old_seconds_go_whether_or_not_new_ones_come() -> None:
    seconds = Seconds()
    for number in range(2 * SECONDS):
        seconds.observe(BEGIN_NS + number * SECOND_NS, float(number), 20, "small")
    now_ns = BEGIN_NS + 2 * SECONDS * SECOND_NS
    kept = seconds.complete(now_ns)
    assert [each.p50_ms for each in kept] == list(range(SECONDS, 2 * SECONDS))
    assert len(seconds.complete(now_ns + 10 * SECOND_NS)) == SECONDS - 10
    assert seconds.complete(now_ns + SECONDS * SECOND_NS) == []


def test_a_flood_of_results_takes_no_more_room() -> None:
    seconds = Seconds()
    for _ in range(3 * MOST_RESULTS):
        seconds.observe(BEGIN_NS, 10, 20, "small")
    (second,) = seconds.complete(BEGIN_NS + SECOND_NS)
    assert second.results == 3 * MOST_RESULTS
    assert len(second.latencies_ms) == MOST_RESULTS


def test_the_variant_is_the_last_of_its_second() -> None:
    seconds = Seconds()
    for variant in ("small", "large"):
        seconds.observe(BEGIN_NS, 10, 20, variant)
    assert seconds.complete(BEGIN_NS + SECOND_NS)[0].variant == "large"

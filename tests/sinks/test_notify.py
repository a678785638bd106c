"""The sink of messages: what it sends to whom, what it tries again, and what it leaves out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from edged.hours import Period
from edged.secret import Secret
from edged.sinks.notify.limits import HOUR_NS
from edged.sinks.notify.messenger import Patience
from edged.sinks.notify.notify import MOST_ATTEMPTS, MOST_WAITING, Notify, composed
from edged.sinks.notify.options import Destination
from edged.sinks.worker import Timing
from tests.rig.messages import ADDRESS, EVENT, TAKEN, Script, failed, lost, started
from tests.rig.results import make_result
from tests.rig.waiting import eventually
from tests.rig.webhook import told

PHONE = Destination("phone", ADDRESS)
ENDED = replace(EVENT, ended_unix_ns=EVENT.started_unix_ns + 60 * 10**9, snapshot=None)


class Clock:
    """Monotonic or wall time that a test sets."""

    def __init__(self, ns: int = 10**18) -> None:
        self.ns = ns

    def __call__(self) -> int:
        return self.ns


def wall(clock: str) -> int:
    """Today, in local time."""
    return int(datetime.fromisoformat(f"2026-01-31T{clock}").timestamp()) * 10**9


def test_the_texts() -> None:
    begun = time.strftime("%H:%M", time.localtime(EVENT.started_unix_ns // 10**9))
    ended = time.strftime("%H:%M", time.localtime(EVENT.started_unix_ns // 10**9 + 60))
    message = composed(replace(PHONE, title="edged"), replace(EVENT, view="yard/gate"))
    assert message == ("edged", f"yard/gate: visitor since {begun}, 93 %", b"picture")
    assert composed(PHONE, ENDED).text == f"door: visitor from {begun} to {ended}, 93 %"
    own = replace(PHONE, title="$event!", text="$event at $place ($score %)", picture=False)
    assert composed(own, EVENT) == ("visitor!", "visitor at door (93 %)", None)


def test_each_destination_gets_what_it_asked_for(tmp_path: Path) -> None:
    script = Script(tmp_path, TAKEN)
    destinations = [
        Destination("all", Secret("x://all"), text="all $state"),
        Destination("gate", Secret("x://gate"), events=("gate",), text="gate $event"),
        Destination("ends", Secret("x://ends"), ends=True, picture=False, text="ends $state"),
    ]
    with started(*destinations, messenger=script.messenger()) as sink:
        seconds: list[float] = []
        sink.observe_delivery = seconds.append
        sink.publish(make_result(1))
        sink.publish_event(EVENT)
        sink.publish_event(ENDED)
        sink.publish_event(replace(EVENT, name="gate"))
        eventually(lambda: sink.delivered == 6)
    got = {(each["address"], each["text"], each["picture"] is None) for each in script.orders}
    assert got == {
        ("x://all", "all started", False),
        ("x://gate", "gate gate", False),
        ("x://ends", "ends started", True),
        ("x://ends", "ends ended", True),
    }
    assert len(seconds) == len(script.orders) == 6
    assert lost(sink) == {}


def test_a_failure_is_tried_again_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    why = "topic t0pic of anna: no route"
    script = Script(tmp_path, *[failed(why)] * 4, TAKEN)
    timing = Timing(0.01, 0.02, lasting_seconds=0.05)
    with started(PHONE, messenger=script.messenger(), timing=timing) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 1)
        eventually(lambda: "works again" in caplog.text)
    assert told(caplog)[0] == "notify: phone: topic *** of ***: no route"
    assert told(caplog)[-1] == "notify: phone works again"
    assert len(script.orders) == 5
    assert lost(sink) == {}
    assert "t0pic" not in caplog.text


def test_a_refusal_is_one_line_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(tmp_path, failed("error=401.", final=True))
    with started(PHONE, messenger=script.messenger()) as sink:
        for _ in range(3):
            sink.publish_event(EVENT)
        eventually(lambda: sink.dropped["refused"] == 3)
    assert len(script.orders) == 3
    assert told(caplog) == ["notify: phone: error=401.; not retried"]
    assert lost(sink) == {"refused": 3}


@pytest.mark.parametrize("step", ["crash", failed("Apprise failed: KeyError", suspect=True)])
def test_a_message_that_is_to_blame_does_not_hold_up_the_others(
    tmp_path: Path, step: object, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(tmp_path, *[step] * MOST_ATTEMPTS, TAKEN)
    with started(PHONE, messenger=script.messenger()) as sink:
        sink.publish_event(EVENT)
        sink.publish_event(replace(EVENT, name="next"))
        eventually(lambda: sink.delivered == 1)
    assert len(script.orders) == MOST_ATTEMPTS + 1
    assert "next" in script.texts[-1]
    assert lost(sink) == {"given_up": 1}


def test_after_an_hour_a_message_is_out_of_date(tmp_path: Path) -> None:
    script, clock = Script(tmp_path, *[failed()] * 3, TAKEN), Clock()
    timing = Timing(0.01, 0.01, clock=clock)
    with started(PHONE, messenger=script.messenger(), timing=timing) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: len(script.orders) >= 1)
        clock.ns += HOUR_NS
        eventually(lambda: lost(sink) == {"given_up": 1} or sink.delivered)
        assert sink.delivered + sink.dropped["given_up"] == 1


def test_one_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.mkdir()
    good.mkdir()
    script = Script(bad, failed())
    other = Destination("other", Secret("x://other"))
    with started(PHONE, other, messenger=script.messenger(), timing=Timing(600)) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: {each["address"] for each in script.orders} == {
            ADDRESS.reveal(),
            "x://other",
        })  # fmt: skip


def test_a_full_queue_drops_the_oldest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = Script(tmp_path, failed())
    with started(PHONE, messenger=script.messenger(), timing=Timing(600, 600)) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: script.orders)
        for number in range(3 * MOST_WAITING):
            sink.publish_event(replace(EVENT, name=f"event{number}"))
        eventually(lambda: sink.dropped["queue_full"] >= 2 * MOST_WAITING)
        (waiting,) = sink._queues.values()
        assert len(waiting._backlog) == MOST_WAITING
    assert sink.dropped["closed"] == MOST_WAITING
    assert sum(sink.dropped.values()) == 3 * MOST_WAITING + 1
    assert sink.delivered == 0


def test_publishing_never_waits_for_a_child_that_hangs(tmp_path: Path) -> None:
    script = Script(tmp_path, "hang")
    with started(PHONE, messenger=script.messenger(Patience(answer_seconds=600))) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: script.orders)
        publisher = threading.Thread(
            target=lambda: [sink.publish_event(EVENT) for _ in range(1000)], daemon=True
        )
        publisher.start()
        publisher.join(60)
        assert not publisher.is_alive()
        sink.close(0.1)
    assert sum(sink.dropped.values()) == 1001


def test_nothing_is_sent_in_quiet_hours(tmp_path: Path) -> None:
    script, clock = Script(tmp_path, TAKEN), Clock(wall("21:59:59"))
    quiet = replace(PHONE, quiet=(Period.of("22:00-06:30"),))
    with started(quiet, messenger=script.messenger(), wall_clock=clock) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 1)
        for count, moment in enumerate(("22:00", "23:59", "00:00", "06:29"), 1):
            clock.ns = wall(moment)
            sink.publish_event(EVENT)
            eventually(lambda count=count: sink.dropped["quiet_hours"] == count)
        clock.ns = wall("06:30")
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 2)
    assert len(script.orders) == 2
    assert lost(sink) == {"quiet_hours": 4}


def test_a_message_that_waits_into_the_quiet_hours_is_left_out(tmp_path: Path) -> None:
    script, clock = Script(tmp_path, failed()), Clock(wall("21:59"))
    quiet = replace(PHONE, quiet=(Period.of("22:00-06:30"),))
    with started(quiet, messenger=script.messenger(), wall_clock=clock) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: script.orders)
        clock.ns = wall("22:00")
        eventually(lambda: sink.dropped["quiet_hours"] == 1)
    assert lost(sink) == {"quiet_hours": 1}


def test_what_the_hourly_limit_left_out_is_told_in_the_next_message(tmp_path: Path) -> None:
    script, clock = Script(tmp_path, TAKEN), Clock()
    limited = replace(PHONE, per_hour=2, text="$event")
    timing = Timing(0.01, 0.01, clock=clock)
    with started(limited, messenger=script.messenger(), timing=timing) as sink:
        for number in range(5):
            later = EVENT.started_unix_ns + number * 600 * 10**9
            sink.publish_event(replace(EVENT, name=f"n{number}", started_unix_ns=later))
        eventually(lambda: sink.dropped["hourly_limit"] == 3)
        assert sink.delivered == 2
        clock.ns += HOUR_NS
        sink.publish_event(replace(EVENT, name="next"))
        sink.publish_event(replace(EVENT, name="last"))
        eventually(lambda: sink.delivered == 4)
    since = time.strftime("%H:%M", time.localtime(EVENT.started_unix_ns // 10**9 + 1200))
    assert script.texts == ["n0", "n1", f"next\n3 more since {since}", "last"]
    assert lost(sink) == {"hourly_limit": 3}


def test_what_was_left_out_stays_to_be_told_if_the_message_fails(tmp_path: Path) -> None:
    script, clock = Script(tmp_path, TAKEN, failed(), TAKEN), Clock()
    limited = replace(PHONE, per_hour=1, text="$event")
    timing = Timing(0.01, 0.01, clock=clock)
    with started(limited, messenger=script.messenger(), timing=timing) as sink:
        sink.publish_event(EVENT)
        sink.publish_event(EVENT)
        eventually(lambda: sink.dropped["hourly_limit"] == 1)
        clock.ns += HOUR_NS
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 2)
    assert [text.count("1 more since") for text in script.texts] == [0, 1, 1]


def test_a_message_without_its_picture_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(tmp_path, TAKEN | {"why": "sent without the picture: error=413."})
    with started(PHONE, messenger=script.messenger()) as sink:
        sink.publish_event(EVENT)
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 2)
    assert told(caplog) == ["notify: phone: sent without the picture: error=413."]


def replaced(before: Notify, *destinations: Destination, script: Script) -> Notify:
    """As a reload does."""
    after = Notify(destinations, Timing(0.01, 0.02), script.messenger())
    after.take_over(before)
    after.start()
    before.close(1)
    return after


def counts(sinks: Sequence[Notify]) -> int:
    return sum(each.delivered + sum(each.dropped.values()) for each in sinks)


def test_a_reload_loses_nothing_and_keeps_the_limit(tmp_path: Path) -> None:
    script = Script(tmp_path, *[failed()] * 2, TAKEN)
    before = Notify((PHONE, Destination("gone", ADDRESS)), Timing(600), script.messenger())
    before.start()
    for number in range(5):
        before.publish_event(replace(EVENT, name=f"n{number}"))
    eventually(lambda: len(script.orders) == 2)  # one of each fails, and waits
    after = replaced(before, replace(PHONE, text="$event", per_hour=4), script=script)
    eventually(lambda: after.delivered == 4 and after.dropped["hourly_limit"] == 1)
    again = replaced(after, replace(PHONE, text="$event", per_hour=4), script=script)
    again.publish_event(EVENT)
    eventually(lambda: again.dropped["hourly_limit"] == 1)
    again.close(5)
    assert script.texts[2:] == ["n0", "n1", "n2", "n3"]
    assert before.dropped["closed"] == 5  # of the destination that is gone
    assert counts([before, after, again]) == 11


def test_a_reload_does_not_cut_off_a_message(tmp_path: Path) -> None:
    script = Script(tmp_path, "hang", TAKEN)
    before = Notify((PHONE,), Timing(0.01), script.messenger(Patience(answer_seconds=4)))
    before.start()
    before.publish_event(EVENT)
    eventually(lambda: script.orders)
    after = replaced(before, replace(PHONE, per_hour=3), script=script)
    eventually(lambda: after.delivered == 1)  # it timed out, and was sent again
    after.close(5)
    assert before.dropped["closed"] == 0
    assert len(script.orders) == 2


def test_what_is_queued_at_the_end_is_sent_in_time_or_counted(tmp_path: Path) -> None:
    script = Script(tmp_path, TAKEN)
    sink = Notify((PHONE,), Timing(0.01), script.messenger())
    sink.start()
    for _ in range(5):
        sink.publish_event(EVENT)
    sink.close(60)
    assert (sink.delivered, lost(sink)) == (5, {})
    unstarted = Notify((PHONE,), Timing(0.01), script.messenger())
    unstarted.publish_event(EVENT)
    unstarted.close(0.1)
    assert lost(unstarted) == {"closed": 1}

"""What the webhook makes of answers that refuse, and of a server that is down."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from edged.result import event_to_json
from edged.sinks.webhook.webhook import Webhook
from edged.sinks.worker import Timing
from tests.rig.waiting import eventually
from tests.rig.webhook import EVENT, config_for, serving, started, told


@pytest.mark.parametrize(("status", "in_order_from"), [(503, 0), (404, 0), (500, 2)])
def test_a_failing_server_is_asked_until_it_accepts_and_the_order_stays(
    status: int, in_order_from: int
) -> None:
    """After many answers 500, the second one may come first: they are tried in turn."""
    with serving(*[status] * 30, 200) as server:
        ended = threading.Event()
        sink = Webhook(
            config_for(server.server_port), Timing(wait=lambda seconds: ended.wait(0.001))
        )
        sink.start()
        events = [replace(EVENT, started_unix_ns=10**18 + number * 10**9) for number in range(5)]
        for event in events:
            sink.publish_event(event)
        eventually(lambda: sink.delivered == 5)
        sink.close(5)
    accepted = [json.loads(body)["started_at"] for _, _, body in server.got[30:]]
    assert sorted(accepted) == sorted({each["started_at"] for each in map(event_to_json, events)})
    assert accepted[in_order_from:] == sorted(accepted)[in_order_from:]
    assert not any(sink.dropped.values())


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_message_that_is_refused_is_lost_alone_and_at_once(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(status, 200) as server, started(config_for(server.server_port)) as sink:
        sink.publish_event(EVENT)
        sink.publish_event(replace(EVENT, ended_unix_ns=10**18 + 1))
        eventually(lambda: sink.delivered == 1)
        assert len(server.got) == 2
    assert sink.dropped["refused"] == sum(sink.dropped.values()) == 1
    (line,) = told(caplog)
    assert line.endswith(f"the server answered with status {status}; not retried")


def test_a_refusal_is_no_reason_to_leave_the_others_at_the_end() -> None:
    with serving(413, 200) as server:
        sink = Webhook(config_for(server.server_port))
        for _ in range(5):
            sink.publish_event(EVENT)
        sink.start()
        sink.close(10)
    assert (sink.delivered, sink.dropped["refused"]) == (4, 1)


def test_a_message_that_alone_fails_again_and_again_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def judge(body: bytes) -> int:
        return 500 if b"2001-09-09T01:46:40" in body else 200

    with serving(judge=judge) as server, started(config_for(server.server_port)) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: len(server.got) > 3)
        for second in range(1, 4):
            sink.publish_event(replace(EVENT, started_unix_ns=10**18 + second * 10**9))
        eventually(lambda: sink.delivered == 3)
        assert sink.dropped["given_up"] == sum(sink.dropped.values()) == 1
    assert told(caplog)[-1] == (
        "webhook: dropped, as others are accepted: the server answered with status 500"
    )


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (401, {}, "the server answered with status 401; check authorization"),
        (404, {}, "the server answered with status 404; check the path of the url"),
        (
            302,
            {"Location": "https://other.example:8443/hook/s3cret"},
            "to https://other.example:8443; redirects are not followed, set url to the new address",
        ),
        (307, {"Location": "/hook/s3cret/"}, "the server redirects with status 307; redirects are"),
        (
            302,
            {"Location": "https://[::/s3cret"},
            "the server redirects with status 302; redirects are",
        ),
        (304, {}, "the server answered with status 304"),
    ],
)
def test_what_a_person_can_mend_waits_and_is_named(
    status: int, headers: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(status, headers=headers) as server:
        before = Webhook(config_for(server.server_port), Timing(0.01))
        before.start()
        before.publish_event(EVENT)
        eventually(lambda: len(server.got) > 1)
    with serving(200) as server:
        after = Webhook(config_for(server.server_port))
        after.take_over(before)  # as a reload does it
        after.start()
        before.close(5)
        eventually(lambda: after.delivered == 1)
        after.close(5)
    assert not any((before.dropped | after.dropped).values())
    (line,) = told(caplog)
    assert said in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        ("99999999999999999999", 300.0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 300.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.01),
        ("soon", 0.01),
        ("-5", 0.01),
    ],
)
def test_it_waits_as_long_as_the_server_asks_within_reason(asked: str, seconds: float) -> None:
    waited: list[float] = []
    ended = threading.Event()

    def wait(pause_seconds: float) -> bool:
        waited.append(pause_seconds)
        return ended.wait(0.001)

    with serving(503, 200, headers={"Retry-After": asked}) as server:
        sink = Webhook(config_for(server.server_port), Timing(0.01, wait=wait))
        sink.start()
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 1)
        sink.close(5)
    assert len(waited) == 1
    assert waited[0] <= seconds
    assert waited[0] == seconds or seconds < 1

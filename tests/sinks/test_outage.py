"""Five minutes in which a webhook answers 503, the broker is down and the disk is full.

Here with a clock that is handed in; `make test-outage` has the real minutes and a real daemon.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edged.result import Event, event_to_json
from edged.sinks.backlog import MOST_EVENTS, MOST_RESULTS
from edged.sinks.jsonl.jsonl import TIMING, Lines, open_lines
from edged.sinks.mqtt.mqtt import Mqtt
from edged.sinks.webhook.webhook import Webhook
from edged.sinks.worker import Timing, Worker
from tests.rig.broker import Broker, Listener, needs_mosquitto
from tests.rig.mqtt import EVENT, RESULT, RULES
from tests.rig.mqtt import config_for as mqtt_config
from tests.rig.results import make_result
from tests.rig.small_disk import fill, mounted
from tests.rig.waiting import eventually
from tests.rig.webhook import config_for as webhook_config
from tests.rig.webhook import serving

SECONDS = 300
EXCESS = 7


class Minutes:
    """The time, which only passes while somebody waits, once it has begun. over: called when the
    outage is over."""

    def __init__(self, over: Callable[[], object] = lambda: None) -> None:
        self.now_ns = 0
        self.waits: list[float] = []
        self.is_over = False
        self.begun = threading.Event()
        self._over = over

    def clock(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> bool:
        assert self.begun.wait(30)
        self.waits.append(seconds)
        self.now_ns += int(seconds * 1e9)
        if not self.is_over and self.now_ns >= SECONDS * 1e9:
            self.is_over = True
            self._over()
        return False


EVENTS = [
    Event("door", "visitor", 10**18 + 10**9 * number, ended, 0.7)
    for number in range(MOST_EVENTS // 2 + EXCESS)
    for ended in (None, 10**18 + 10**9 * number + 1)
]


def published(sink: Worker, minutes: Minutes, results: int, excess: int) -> list[Event]:
    """Events that fill the backlog, and these too many; the ones that are to arrive."""
    kept = MOST_EVENTS + excess
    for number in range(results):
        sink.publish(make_result(number))
    for event in EVENTS[:kept]:
        sink.publish_event(event)
    minutes.begun.set()
    return EVENTS[excess:kept]


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name.startswith("edged")]


def check(
    sink: Worker, minutes: Minutes, excess: int, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """Nothing is lost for which there was room; what was is counted and told once."""
    assert minutes.is_over
    assert len(minutes.waits) < 120
    assert max(minutes.waits) <= 30
    assert sink.dropped["queue_full"] == sum(sink.dropped.values()) == excess
    first, *told = [each for each in lines_of(caplog) if "connected" not in each]
    assert trouble in first
    if excess:
        assert told.pop(0).endswith(": backlog full, dropping the oldest entries")
    ends = f"works again, {excess} results and events were lost" if excess else "works again"
    assert all(each.endswith(ends) for each in told)
    assert len(told) <= 1  # if it has lasted


@pytest.mark.parametrize("excess", [0, EXCESS])
def test_a_webhook_that_answers_503(excess: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    minutes = Minutes()
    with serving(judge=lambda body: 200 if minutes.is_over else 503) as server:
        config = webhook_config(server.server_port)
        sink = Webhook(config, Timing(clock=minutes.clock, wait=minutes.wait))
        expected = published(sink, minutes, 0, excess)
        sink.start()
        eventually(lambda: sink.delivered == MOST_EVENTS)
        sink.close(5)
        assert [json.loads(body) for _, _, body in server.got[-MOST_EVENTS:]] == [
            event_to_json(event) for event in expected
        ]
    check(sink, minutes, excess, caplog, "the server answered with status 503")


@pytest.mark.servers
@needs_mosquitto
@pytest.mark.parametrize("excess", [0, EXCESS])
def test_a_broker_that_is_down(
    tmp_path: Path, excess: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = Broker(tmp_path)
    listeners: list[Listener] = []

    def up() -> None:
        broker.start()
        listeners.append(Listener(broker.port, "edged/#").__enter__())

    minutes = Minutes(up)
    sink = Mqtt(mqtt_config(broker), RULES, None, Timing(clock=minutes.clock, wait=minutes.wait))
    try:
        expected = published(sink, minutes, MOST_RESULTS, excess)
        sink.start()
        eventually(lambda: sink.delivered == MOST_RESULTS + MOST_EVENTS)
        (listener,) = listeners
        eventually(lambda: len(listener.of(RESULT)) == MOST_RESULTS)
        arrived = listener.json(EVENT)
        assert [each["sequence"] for each in listener.json(RESULT)] == list(range(MOST_RESULTS))
    finally:
        sink.close(5)
        for each in listeners:
            each.__exit__()
        broker.stop()
    assert arrived[-MOST_EVENTS:] == [event_to_json(event) for event in expected]
    check(sink, minutes, excess, caplog, "connection refused")


@pytest.mark.parametrize("excess", [0, EXCESS])
def test_a_disk_that_is_full(tmp_path: Path, excess: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with mounted(tmp_path / "disk", "size=2m") as disk:
        path = disk / "results.jsonl"
        sink_file = open_lines(path)
        ballast = fill(disk)
        minutes = Minutes(ballast.unlink)
        sink = Lines(sink_file, timing=replace(TIMING, clock=minutes.clock, wait=minutes.wait))
        expected = published(sink, minutes, MOST_RESULTS, excess)
        eventually(lambda: sink.delivered == MOST_RESULTS + MOST_EVENTS)
        sink.close(5)
        written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each for each in written if "event" in each] == [
        event_to_json(event) for event in expected
    ]
    results = [each["sequence"] for each in written if "event" not in each]
    assert results == list(range(MOST_RESULTS))
    check(sink, minutes, excess, caplog, "cannot write: No space left on device")

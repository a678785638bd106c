"""The MQTT sink and a real Mosquitto: what arrives, what stays, and what a lost broker costs."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edged.result import Event
from edged.secret import Secret
from edged.sinks.backlog import MOST_EVENTS, MOST_RESULTS
from edged.sinks.mqtt.connection import MOST_FOUND
from edged.sinks.mqtt.mqtt import Mqtt
from edged.sinks.sink import Rule, Rules
from edged.sinks.tls import TlsClient
from tests.rig.broker import Broker, Listener, needs_mosquitto, running_broker, sending
from tests.rig.certificates import Authority
from tests.rig.mqtt import (
    CAMERA_STATUS,
    EVENT,
    RESULT,
    ROOT,
    RULES,
    STATE,
    STATUS,
    config_for,
    started,
)
from tests.rig.results import make_result
from tests.rig.waiting import eventually

pytestmark = [pytest.mark.servers, needs_mosquitto]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_results_events_states(broker: Broker, version: str, qos: int) -> None:
    config = replace(config_for(broker), version=version, qos=qos)
    seconds: list[float] = []
    with Listener(broker.port) as listener, started(config) as sink:
        sink.observe_delivery = seconds.append
        for sequence in range(100):
            sink.publish(make_result(sequence))
        eventually(lambda: len(listener.of(RESULT)) == 100)
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, b"\xff\xd8picture"))
        listener.wait_for(f"{EVENT}/snapshot", b"\xff\xd8picture")
        sink.publish_event(Event("door", "visitor", 10**18, 10**18 + 10**9, 0.9))
        eventually(lambda: len(listener.of(EVENT)) == 3)
        eventually(lambda: sink.delivered == 102)
    assert [each["sequence"] for each in listener.json(RESULT)] == list(range(100))
    before, begun, ended = listener.json(EVENT)
    assert (before["state"], before["started_at"]) == ("ended", None)
    assert begun == {
        "event": "visitor",
        "camera": "door",
        "state": "started",
        "started_at": "2001-09-09T01:46:40.000000Z",
        "ended_at": None,
        "peak": 0.7,
    }
    assert (ended["state"], ended["ended_at"]) == ("ended", "2001-09-09T01:46:41.000000Z")
    state = listener.json(STATE)[-1]
    assert state["class"] == "line\nbreak"
    assert state["on_time_percent"] == 100
    assert state["variant"] == "mobilenet_v1_0.25_128"
    assert len(seconds) == 102
    assert not any(sink.dropped.values())


def test_a_newcomer_gets_what_is_retained(broker: Broker) -> None:
    with started(config_for(broker)) as sink:
        sink.publish(make_result(1))
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, b"picture"))
        with Listener(broker.port) as early:
            eventually(lambda: early.of(STATE) and early.of(f"{EVENT}/snapshot"))
        with Listener(broker.port) as listener:
            listener.wait_for(f"{EVENT}/snapshot", b"picture")
            eventually(lambda: listener.of(STATE) and listener.of(STATUS))
            assert listener.of(STATUS) == [b"online"]
            assert listener.json(EVENT)[0]["state"] == "started"
            assert listener.of(RESULT) == []
            assert all(each.retain for each in listener.messages)


def test_states_come_once_a_second_at_most_and_the_last_one_does(broker: Broker) -> None:
    with Listener(broker.port) as listener, started(config_for(broker)) as sink:
        for sequence in range(200):
            sink.publish(make_result(sequence, score=0.25))
        eventually(lambda: len(listener.of(STATE)) == 1)
        sink.publish(make_result(200, score=0.75))
        eventually(lambda: sink.delivered == 201)
        eventually(lambda: [each["score"] for each in listener.json(STATE)][-1] == 0.75)
        assert len(listener.of(STATE)) == 2


def test_only_states_where_results_are_not_wanted(broker: Broker) -> None:
    config = replace(config_for(broker), results=False, home_assistant=None)
    with Listener(broker.port) as listener, started(config) as sink:
        sink.publish(make_result(1))
        eventually(lambda: listener.of(STATE))
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7))
        eventually(lambda: sink.delivered == 1)
    assert {each.topic for each in listener.messages} == {STATUS, CAMERA_STATUS, STATE, EVENT}
    assert not any(sink.dropped.values())


def test_the_will_tells_when_the_process_is_killed(broker: Broker) -> None:
    script = """
import sys, time
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.mqtt.mqtt import Mqtt
sink = Mqtt(MqttConfig("127.0.0.1", int(sys.argv[1]), None, "pi"), {})
sink.start()
time.sleep(300)
"""
    with Listener(broker.port) as listener:
        client = subprocess.Popen([sys.executable, "-c", script, str(broker.port)])
        try:
            listener.wait_for(STATUS, b"online")
        finally:
            client.kill()
            client.wait(30)
        listener.wait_for(STATUS, b"offline")
    with Listener(broker.port) as newcomer:
        newcomer.wait_for(STATUS, b"offline")
        assert newcomer.messages[0].retain


def test_a_good_end_says_offline_too_and_delivers_what_waits(broker: Broker) -> None:
    with Listener(broker.port) as listener:
        with started(config_for(broker)) as sink:
            sink.observe_cameras({"door": True})
            listener.wait_for(CAMERA_STATUS, b"online")
            for sequence in range(500):
                sink.publish(make_result(sequence))
        listener.wait_for(STATUS, b"offline")
        eventually(lambda: listener.of(CAMERA_STATUS)[-1] == b"offline")
        assert sink.delivered == 500
        eventually(lambda: len(listener.of(RESULT)) == 500)
        assert not any(sink.dropped.values())


def test_a_broker_that_goes_and_comes_costs_the_oldest_results_and_no_event(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with started(config_for(broker)) as sink:
        sink.publish(make_result(0))
        eventually(lambda: sink.delivered == 1)
        broker.stop()
        eventually(lambda: "the connection was lost" in caplog.text)
        for sequence in range(1, 5 * MOST_RESULTS):
            sink.publish(make_result(sequence))
        for number in range(MOST_EVENTS):
            sink.publish_event(Event("door", "visitor", 10**18 + number, None, 0.7))
        assert sink.dropped["queue_full"] == 4 * MOST_RESULTS - 1
        broker.start()
        with Listener(broker.port) as listener:
            eventually(lambda: sink.delivered == 1 + MOST_RESULTS + MOST_EVENTS)
            eventually(lambda: listener.json(RESULT)[-1]["sequence"] == 5 * MOST_RESULTS - 1)
    assert sum(sink.dropped.values()) == 4 * MOST_RESULTS - 1
    lines = [each.getMessage() for each in caplog.records if each.name == "edged.sinks.mqtt"]
    assert "mqtt: connected to" in lines[0]
    assert f"works again, {4 * MOST_RESULTS - 1} results and events were lost" in lines[-1]
    assert sum("backlog full, dropping the oldest entries" in each for each in lines) <= 1
    assert len(lines) <= 5  # connected, lost, refused, full, again


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_stands_still_blocks_nobody(broker: Broker, qos: int) -> None:
    with started(replace(config_for(broker), qos=qos)) as sink:
        sink.publish(make_result(0))
        eventually(lambda: sink.delivered == 1)
        broker.signal(signal.SIGSTOP)
        count = 30_000
        publisher = threading.Thread(
            target=lambda: [sink.publish(make_result(each)) for each in range(1, count)],
            daemon=True,
        )
        publisher.start()
        publisher.join(60)
        assert not publisher.is_alive()
        assert sink.dropped["queue_full"] > 0
        broker.signal(signal.SIGCONT)
        eventually(lambda: sink.delivered + sum(sink.dropped.values()) == count)


def test_a_wrong_password_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "edged", "right-one"], check=True)
    with running_broker(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        config = replace(config_for(broker), user="edged", password=Secret("wrong-one"))
        for version in ("5", "3.1.1"):
            caplog.clear()
            with started(replace(config, version=version)) as sink:
                sink.publish(make_result(1))
                eventually(
                    lambda: "the broker refused the connection: not authorized" in caplog.text
                )
            assert sink.dropped["closed"] == 1
            assert len(caplog.records) == 1
            assert "wrong-one" not in caplog.text
        with started(replace(config, password=Secret("right-one"))) as sink:
            sink.publish(make_result(1))
            eventually(lambda: sink.delivered == 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_a_client_certificate_and_what_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    good, old = authority.certificate("good"), authority.certificate("old", expired=True)
    client = authority.certificate("client")
    for server in (good, old):
        settings = (
            *("allow_anonymous true", "require_certificate true", f"cafile {authority.ca}"),
            *(f"certfile {server.certificate}", f"keyfile {server.key}"),
        )
        with running_broker(tmp_path, *settings) as broker:
            tls = TlsClient(authority.ca, client.certificate, client.key)
            config = replace(config_for(broker), tls=tls)
            with started(config) as sink:
                sink.publish(make_result(1))
                if server is good:
                    eventually(lambda: sink.delivered == 1)
                else:
                    eventually(lambda: "certificate has expired" in caplog.text)
            if server is good:
                with started(replace(config, tls=TlsClient())):
                    eventually(lambda: "certificate verification failed" in caplog.text)
                with started(replace(config, tls=TlsClient(authority.ca))):
                    eventually(lambda: "the broker closed" in caplog.text)


def test_no_broker_is_a_state(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO)
    broker = Broker(tmp_path)  # never started
    with started(config_for(broker)) as sink:
        eventually(lambda: caplog.records)
        sink.publish(make_result(1))
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert f"127.0.0.1:{broker.port}: connection refused" in caplog.text
    assert sink.dropped["closed"] == 1


def test_it_gives_back_what_it_opened(broker: Broker) -> None:
    with started(config_for(broker)) as sink:
        eventually(lambda: sink.delivered == 0 and sink.dropped)
    gc.collect()  # what earlier tests have left
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with started(config_for(broker)) as sink:
            sink.publish(make_result(1))
            eventually(lambda: sink.delivered == 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


_AGREED = b"\x20\x03\x00\x00\x00"


@pytest.mark.parametrize(
    "packets",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x20\x05\x00\x00\x02\x21\x00",  # agreed, with half a property
        b"\x20\x03\x00\xff\x00",  # a reason that is not known
        _AGREED + b"\x31\x06\x00\x01\xff\x00hi",  # a retained topic that is no UTF-8
        _AGREED + b"\x31\x06\x00\x01#\x00hi",  # or a wildcard
        _AGREED + b"\x30\x03\x00\x09a",  # or longer than its packet
        _AGREED + b"\x40\x03\x00\x01\xee",
        _AGREED + b"\xe0\x01\xfe",
        _AGREED + b"\x90\x04\x00\x01\x00\xee",
        _AGREED + b"\x30\xff\xff\xff\xff\xff",
    ],
)
def test_whatever_a_broker_sends_the_thread_goes_on_and_tells_it_once(
    packets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with sending(packets) as (port, connections), started(config_for(port), {}, 600) as sink:
        sink.publish(make_result(1))
        eventually(lambda: len(connections) >= 3)
        assert sink._thread.is_alive()
    told = [each for each in caplog.records if each.name.startswith("edged")]
    assert [each.levelname for each in told if each.levelname != "INFO"] == ["WARNING"]
    assert len(told) <= 2  # connected, once
    assert sum(sink.dropped.values()) == 1


@pytest.mark.parametrize("is_started", [True, False])
@pytest.mark.parametrize("results", [True, False])
def test_after_the_end_all_is_accounted_for(is_started: bool, results: bool) -> None:
    """Also where a broker takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = Mqtt(replace(config_for(silent.getsockname()[1]), results=results), RULES)
        for sequence in range(2 * MOST_RESULTS):
            sink.publish(make_result(sequence))
        if is_started:
            sink.start()
            client = silent.accept()[0]
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, b"picture"))
        sink.close(0.6)
        assert sink.delivered == 0
        assert sink.dropped["closed"] == MOST_RESULTS + 1
        assert sum(sink.dropped.values()) == 2 * MOST_RESULTS + 1
        if is_started:
            client.close()
            sink._thread.join(30)


def test_what_is_no_json_is_lost_alone(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with started(config_for(broker)) as sink:
        for score in (0.5, float("nan"), 0.5):
            sink.publish(make_result(1, score))
        for started_unix_ns, peak in ((10**30, 0.5), (1, float("nan"))):
            sink.publish_event(Event("door", "visitor", started_unix_ns, None, peak))
        eventually(lambda: sink.delivered == 2 and sink.dropped["refused"] == 3)
    assert sum(sink.dropped.values()) == 3
    assert caplog.records == []


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("prefix", ["homeassistant", None])
def test_what_is_gone_does_not_stay_retained(
    broker: Broker, version: str, prefix: str | None
) -> None:
    config = replace(config_for(broker), version=version, home_assistant=prefix)
    before: Rules = {
        "door": (Rule("visitor", True), Rule("dog", True), Rule("parcel", True)),
        "yard": (Rule("cat", True),),
    }
    with started(config, before) as sink, Listener(broker.port, f"{ROOT}/#") as listener:
        for camera, rules in before.items():
            sink.publish(make_result(1)._replace(view=camera))
            for name, *_ in rules:
                sink.publish_event(Event(camera, name, 10**18, None, 0.7, b"picture"))
                eventually(lambda: listener.of(f"{ROOT}/{camera}/event/{name}/snapshot"))  # noqa: B023
            eventually(lambda: listener.of(f"{ROOT}/{camera}/state"))  # noqa: B023
        listener.keep("edged/other/yard/state", b"{}")
        listener.keep("edged/other/yard/event/cat", b"{}")
    kept = {
        *(f"{ROOT}/door/{what}" for what in ("state", "event/visitor", "event/visitor/snapshot")),
        *(STATUS, CAMERA_STATUS, f"{ROOT}/door/event/parcel"),
        *("edged/other/yard/state", "edged/other/yard/event/cat"),
    }
    after: Rules = {"door": (Rule("visitor", True), Rule("parcel", False))}
    with Listener(broker.port, "edged/#") as listener, started(config, after) as sink:
        for gone in (
            *("door/event/dog", "door/event/dog/snapshot", "door/event/parcel/snapshot"),
            *("yard/state", "yard/event/cat", "yard/event/cat/snapshot"),
        ):
            listener.wait_for(f"{ROOT}/{gone}", b"")
        # What was under way when the configuration changed comes, and does not stay.
        sink.publish_event(Event("yard", "cat", 10**18, 10**18, 0.7))
        sink.publish(make_result(2)._replace(view="yard"))
        eventually(lambda: sink.delivered == 2)
    with Listener(broker.port, "edged/#") as newcomer:
        eventually(lambda: {each.topic for each in newcomer.messages} == kept)


def test_no_more_is_cleared_than_a_bound(broker: Broker) -> None:
    topics = {f"{ROOT}/ghost-{number}/state" for number in range(MOST_FOUND + 100)}
    with Listener(broker.port, f"{ROOT}/#") as listener:
        for topic in topics:
            listener.keep(topic, b"{}")
        eventually(lambda: {each.topic for each in listener.messages} == topics)
        with started(config_for(broker), {}):
            eventually(lambda: sum(not each.payload for each in listener.messages) >= MOST_FOUND)
        listener.wait_for(STATUS, b"offline")
        assert sum(not each.payload for each in listener.messages) == MOST_FOUND


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_to_whom_speaks_none_and_the_other_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Authority(tmp_path).certificate("good")
    secure = ("allow_anonymous true", f"certfile {pair.certificate}", f"keyfile {pair.key}")
    for settings, tls, said in (
        ((), TlsClient(), "does not use TLS, write mqtt://"),
        (secure, None, "write mqtts:// if that port uses TLS"),
        (secure, TlsClient(), "set ca_file to it"),
    ):
        caplog.clear()
        with running_broker(tmp_path, *settings) as broker:
            with started(replace(config_for(broker), tls=tls), lasting_seconds=600):
                eventually(lambda: caplog.records)
            assert said in caplog.text

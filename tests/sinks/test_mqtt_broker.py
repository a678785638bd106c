"""What an MQTT broker may refuse or send, and what it is told of cameras; with a real Mosquitto."""

from __future__ import annotations

import struct
import time
import tracemalloc
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from edged.result import Event
from edged.sinks.mqtt.connection import IN_FLIGHT, MOST_PACKET_BYTES
from edged.sinks.mqtt.messages import Messages
from tests.rig.broker import Broker, Listener, needs_mosquitto, running_broker, sending
from tests.rig.mqtt import (
    CAMERA_STATUS,
    EVENT,
    RESULT,
    ROOT,
    RULES,
    STATE,
    STATUS,
    config_for,
    retained,
    started,
)
from tests.rig.results import make_result
from tests.rig.waiting import eventually

pytestmark = [pytest.mark.servers, needs_mosquitto]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "edged.sinks.mqtt"]


def test_a_camera_that_delivers_no_pictures_is_offline(broker: Broker) -> None:
    with Listener(broker.port) as listener, started(config_for(broker)) as sink:
        listener.wait_for(CAMERA_STATUS, b"offline")
        for _ in range(3):
            sink.observe_cameras({"door": True})
        listener.wait_for(CAMERA_STATUS, b"online")
        sink.observe_cameras({"door": False})
        listener.wait_for(CAMERA_STATUS, b"offline")
        with Listener(broker.port) as newcomer:
            newcomer.wait_for(CAMERA_STATUS, b"offline")
        assert listener.of(CAMERA_STATUS) == [b"offline", b"online", b"offline"]
        assert listener.of(STATUS) == [b"online"]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_at_the_end_all_cameras_are_offline(broker: Broker, qos: int) -> None:
    """More than may be unacknowledged at a time."""
    cameras = [f"camera{number}" for number in range(2 * IN_FLIGHT)]
    config = replace(config_for(broker), qos=qos, home_assistant=None)
    for _ in range(5):
        with (
            Listener(broker.port) as listener,
            started(config, dict.fromkeys(cameras, ())) as sink,
        ):
            sink.observe_cameras(dict.fromkeys(cameras, True))
            for camera in cameras:
                listener.wait_for(f"{ROOT}/{camera}/status", b"online")
        kept = retained(broker.port, f"{ROOT}/#")
        assert len(kept) == len(cameras) + 1
        assert set(kept.values()) == {b"offline"}


def test_a_broker_that_has_forgotten_everything_is_told_of_cameras_again(broker: Broker) -> None:
    with started(config_for(broker)) as sink:
        sink.observe_cameras({"door": True})
        for _ in range(2):
            with Listener(broker.port) as listener:
                listener.wait_for(CAMERA_STATUS, b"online")
            broker.stop()
            broker.start()


def test_states_come_as_often_as_is_asked() -> None:
    config = replace(config_for(1), state_seconds=20)
    messages = Messages(config, RULES)
    second = 10**9
    sent = []
    for number in range(200):  # one result a second, the first of each ten being late
        messages.of(make_result(number, latency_ms=10.0 if number % 10 else 100.0), 0)
        sent += [(number, each) for each in messages.due(number * second)]
    assert [number for number, _ in sent] == list(range(0, 200, 20))
    assert b'"on_time_percent":90.0' in sent[-1][1].payload  # of the last minute
    assert messages.next_due_ns() == 200 * second


def test_what_the_broker_lets_nobody_write_is_told_once_with_its_topic(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rights = tmp_path / "rights"
    allowed = (STATUS, CAMERA_STATUS, STATE, f"{EVENT}/#", "homeassistant/#")
    rights.write_text("".join(f"topic readwrite {each}\n" for each in allowed))
    rights.chmod(0o700)
    with (
        running_broker(tmp_path, "allow_anonymous true", f"acl_file {rights}") as broker,
        started(config_for(broker)) as sink,
    ):
        for number in range(5):
            sink.publish(make_result(number))
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7))
        eventually(lambda: sink.delivered == 1 and sink.dropped["refused"] == 5)
    (refused,) = [each for each in told(caplog) if "refuses" in each]
    assert refused == (
        f"mqtt: 127.0.0.1:{broker.port} refuses writing {RESULT}: not authorized; allow "
        f"anonymous clients to read and write {ROOT}/# and homeassistant/device/edged-pi/#"
    )


@pytest.mark.parametrize(("version", "qos"), [("3.1.1", 1), ("5", 0), ("3.1.1", 2)])
def test_a_broker_that_refuses_without_a_word_is_found_out(
    tmp_path: Path, version: str, qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    rights = tmp_path / "rights"
    for allowed, lasting_seconds in (("homeassistant/#", 0.0), ("#", 0.2)):
        rights.write_text(f"topic readwrite {allowed}\n")
        rights.chmod(0o700)
        caplog.clear()
        settings = ("allow_anonymous true", f"acl_file {rights}")
        with running_broker(tmp_path, *settings) as broker:
            config = replace(config_for(broker), version=version, qos=qos)
            with started(config, lasting_seconds=lasting_seconds):
                if allowed == "#":
                    time.sleep(0.4)  # longer than it takes to be found out
                else:
                    eventually(lambda: "refuses" in caplog.text)
        refusals = [each for each in told(caplog) if "refuses" in each]
        assert len(refusals) == (allowed != "#")
        assert all(
            f"writing or reading {STATUS}: the message does not" in each for each in refusals
        )


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_two_devices_of_one_name_are_told_so(
    broker: Broker, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(config_for(broker), version=version)
    with started(config), started(config):
        said = "another client uses the"
        eventually(lambda: any(said in each for each in told(caplog)))
    assert any("device" in each for each in told(caplog) if said in each)


def test_a_broker_that_dies_again_and_again_costs_nothing() -> None:
    """It is none of the messages that it has died of, as it has answered none."""
    with sending(b"\x20\x03\x00\x00\x00") as (port, connections), started(config_for(port)) as sink:
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7))
        eventually(lambda: len(connections) >= 5)
        assert not any(sink.dropped.values())


def test_a_broker_says_how_much_it_takes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = ("allow_anonymous true", "max_packet_size 8000")
    with (
        running_broker(tmp_path, *settings) as broker,
        Listener(broker.port) as listener,
        started(replace(config_for(broker), home_assistant=None)) as sink,
    ):
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, bytes(9000)))
        sink.publish_event(Event("door", "visitor", 10**18, 10**18 + 1, 0.7))
        eventually(
            lambda: [each["state"] for each in listener.json(EVENT)][-2:] == ["started", "ended"]
        )
        assert listener.of(f"{EVENT}/snapshot") == []
    (refused,) = [each for each in told(caplog) if "refuses" in each]
    assert f"refuses writing {EVENT}/snapshot: 90" in refused
    assert "bytes exceed the broker's packet limit of 8000" in refused


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_packet_that_is_too_large_is_never_taken_in(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    agreed = b"\x20\x03\x00\x00\x00" if version == "5" else b"\x20\x02\x00\x00"
    packets = agreed + b"\x31\xff\xff\xff\x7f" + bytes(100_000)  # retained, 268 MB
    with ExitStack() as stack:
        port, connections = stack.enter_context(sending(packets))
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        stack.enter_context(started(replace(config_for(port), version=version), {}, 600))
        eventually(lambda: len(connections) >= 3)
        peak = tracemalloc.get_traced_memory()[1]
    assert peak < 20e6
    assert "the broker sent a packet of 268435455 bytes; the limit is 1048576" in caplog.text
    limit = b"\x27" + struct.pack(">I", MOST_PACKET_BYTES)  # property 39
    assert (limit in connections[0]) == (version == "5")


def test_the_picture_is_there_when_the_event_comes(broker: Broker) -> None:
    with Listener(broker.port, f"{EVENT}/#") as listener, started(config_for(broker)) as sink:
        eventually(lambda: len(listener.messages) == 1)
        sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, b"picture"))
        eventually(lambda: len(listener.messages) == 3)
    assert [each.topic for each in listener.messages] == [EVENT, f"{EVENT}/snapshot", EVENT]


def test_what_is_lost_again_and_again_is_given_up(tmp_path: Path) -> None:
    """Too large for this broker, which ends the connection for it; all else arrives."""
    settings = ("allow_anonymous true", "message_size_limit 5000")
    with running_broker(tmp_path, *settings) as broker, Listener(broker.port) as listener:
        config = replace(config_for(broker), home_assistant=None)
        with started(config) as sink:
            sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, bytes(9000)))
            sink.publish(make_result(1))
            eventually(lambda: listener.of(RESULT) and sink.delivered == 2)
            assert listener.json(EVENT)[-1]["state"] == "started"
            assert listener.of(f"{EVENT}/snapshot") == []


def test_what_is_too_large_for_a_broker_that_says_so_is_no_matter_of_permission(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ("allow_anonymous true", "max_packet_size 5000")
    with running_broker(tmp_path, *settings) as broker, Listener(broker.port) as listener:
        config = replace(config_for(broker), home_assistant=None)
        with started(config) as sink:
            sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, bytes(9000)))
            eventually(lambda: sink.delivered == 1 and caplog.records != [])
            assert listener.of(f"{EVENT}/snapshot") == []
    (told,) = [each.getMessage() for each in caplog.records]
    what = f"writing {EVENT}/snapshot: 9036 bytes exceed the broker's packet limit of 5000"
    assert told == f"mqtt: 127.0.0.1:{broker.port} refuses {what}"


def test_a_broker_that_ends_the_connection_for_a_large_picture_gets_all_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of version 3.1.1 cannot say what it takes, nor which message it means."""
    settings = ("allow_anonymous true", "max_packet_size 5000")
    with (
        running_broker(tmp_path, *settings) as broker,
        Listener(broker.port) as listener,
        started(replace(config_for(broker), version="3.1.1")) as sink,
    ):
        for number in range(1, 5):
            sink.publish_event(Event("door", "visitor", 10**18, None, 0.7, bytes(9000)))
            sink.publish(make_result(number))
        eventually(lambda: sink.delivered == 8)
        assert listener.of(f"{EVENT}/snapshot") == []
    assert sum(sink.dropped.values()) == 0
    why = "the connection ended; snapshots of 9000 bytes or more are not sent"
    assert f"refuses writing {EVENT}/snapshot: {why}" in caplog.text

"""Results, states and events to an MQTT broker, with reconnection.

One thread sends. Entries wait in a bounded backlog; messages that are unacknowledged when a
connection is lost are sent again over the next one.

Refusals are logged once per topic. Only version 5 with QoS 1 or 2 reports them; otherwise the sink
checks whether its own status message comes back from the broker.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path

from edged.atomic_file import read_file, write_whole
from edged.sinks.backlog import Entry
from edged.sinks.mqtt.commands import Commands
from edged.sinks.mqtt.connection import IN_FLIGHT, BrokerError, Connection
from edged.sinks.mqtt.home_assistant import (
    discovery,
    discovery_topics,
    is_own_discovery,
    withdrawals,
)
from edged.sinks.mqtt.messages import Message, Messages, kept_topics, root_of, status_topic
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rules
from edged.sinks.worker import TIMING, Timing, Worker
from edged.switches.switch import Switched
from edged.switches.switches import Switches

MOST_LOSSES = 3
"""A message in flight at this many lost connections is dropped: it may be the cause."""
SHORT_SECONDS = 60.0
MOST_SHORT = 3
"""This many consecutive connections shorter than SHORT_SECONDS suggest a duplicate client name."""
MOST_REFUSALS_LOGGED = 8
_TURN_SECONDS = 1.0
_LEAVE_SECONDS = 0.5
_LARGEST_MEMORY_BYTES = 4096
_NAME = re.compile(r"[\w./-]+")
"""A device with its topic, without wildcards."""


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # broker unreachable or too slow; drops the oldest
    CONNECTION_LOST = "connection_lost"  # in flight, with QoS 0 or for the third time
    REFUSED = "refused"  # by the broker, or not encodable as JSON
    CLOSED = "closed"  # not sent before the daemon ended


class Mqtt(Worker):
    """The sink. rules: view → its event rules. Counts results and events, not messages.

    memory: file with the device's last name at a broker, so that retained messages of an earlier
    name can be cleared.
    """

    def __init__(
        self,
        config: MqttConfig,
        rules: Rules,
        memory: Path | None = None,
        timing: Timing = TIMING,
    ) -> None:
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._address = f"{config.host}:{config.port}"
        wake = partial(os.eventfd_write, self._wake_fd, 1)
        super().__init__("mqtt", self._address, DropReason, timing, wake=wake)
        self._config = config
        self._memory = memory
        self._messages = Messages(config, rules)
        self._status = Message(status_topic(config), b"online", retain=True)
        self._introductions = list(discovery(config, rules))
        self._outbox: deque[Message] = deque()
        """Messages to send next; refilled from the backlog when empty."""
        self._streaming: Mapping[str, bool] = {}
        self._switches = Switches()
        self._switched: Switched = {}
        """What was on when the thread was last woken for that."""
        self._commands = Commands(config, rules, self._log, self._clock)
        self._stays = False
        """A successor uses the same identity, so `offline` is not published."""
        self._former: MqttConfig | None = None
        """The device's earlier name at this broker, if it has changed."""
        self._is_remembered = False
        self._has_settled = False
        """The current connection has delivered a message."""
        self._opened_ns: int | None = None
        """When the last connection was established; None if it failed."""
        self._short = 0
        self._suspects = 0
        """Number of messages to send one at a time: one of them may end the connection."""
        self._too_large: int | None = None
        """Bytes of the smallest snapshot with which connections were lost."""
        self._has_connected = False
        self._refusals_logged: set[str] = set()

    def observe_cameras(self, streaming: Mapping[str, bool]) -> None:
        if streaming != self._streaming:
            self._streaming = dict(streaming)
            self._wake()

    def observe_switches(self, switches: Switches) -> None:
        self._switches = switches
        if switches.states is not self._switched:
            self._switched = switches.states
            self._wake()

    def take_over(self, before: object) -> None:
        if isinstance(before, Mqtt):
            own = self._config
            keys = ("qos", "results", "state_seconds", "home_assistant", "commands")
            same = {key: getattr(own, key) for key in keys}
            before._stays = replace(before._config, **same) == own
            self._streaming = before._streaming
        super().take_over(before)

    def close(self, timeout_seconds: float) -> None:
        """Send what is queued; the last part of the time is for disconnecting."""
        super().close(timeout_seconds)
        if not self._thread.is_alive():
            os.close(self._wake_fd)

    def _end(self, send_seconds: float = 0.0) -> None:
        super()._end(max(0.0, send_seconds - _LEAVE_SECONDS))

    def _inherit(self, before: Worker) -> None:
        if isinstance(before, Mqtt):
            self._messages.take_over(before._messages)

    def _run(self) -> None:
        while not self._closing.is_set():
            begun_ns, self._opened_ns = self._clock(), None
            try:
                self._serve()
            except BrokerError as error:
                self._outage.failed(self._lost_of(str(error)))
            except Exception as error:  # whatever a broker sends, the thread continues
                self._outage.failed(f"invalid data from the broker ({type(error).__name__})")
            if self._clock() - begun_ns > self._timing.longest_pause_seconds * 1e9:
                self._pause_seconds = self._timing.first_pause_seconds
            self._wait(self._next_pause())
        for message in reversed(self._outbox):
            if message.entry is not None and message.put_ns is not None:
                self._backlog.put_back(message.put_ns, message.entry)

    def _lost_of(self, trouble: str) -> str:
        """The reason, with a hint if connections are lost repeatedly."""
        if self._opened_ns is None:
            return trouble
        is_short = self._clock() - self._opened_ns < SHORT_SECONDS * 1e9
        self._short = self._short + 1 if is_short else 0
        if self._short >= MOST_SHORT and "see device" not in trouble:
            name = self._config.device
            trouble += f"; if another client uses the name {name}, change the device of one"
        return trouble

    def _serve(self) -> None:
        """Connect, and send until the sink ends. Raises BrokerError when the connection is lost."""
        self._has_settled = False
        offline = replace(self._status, payload=b"offline")
        connection = Connection(self._config, offline)
        try:
            connection.open(self._wake_fd)
            since_ns = self._opened_ns = self._clock()
            if not self._has_connected:
                self._has_connected = True
                self._log.info("mqtt: connected to %s", self._address)
            self._introduce(connection)
            self._feed(connection)
            connection.subscribe(self._status.topic)  # after it has been published
            if self._commands.targets:
                connection.subscribe_commands(self._commands.targets.keys())
            while self._goes_on(connection):
                self._outage.worked()
                self._once_it_lasts(connection, since_ns)
                self._feed(connection)
                connection.turn(self._wake_fd, self._turn_seconds(connection))
                self._settle(connection)
                self._clear(connection)
                self._obey(connection)
            self._leave(connection, () if self._stays else (offline, *self._messages.statuses({})))
        finally:
            self._settle(connection)
            self._take_back(connection)
            connection.drop()

    def _goes_on(self, connection: Connection) -> bool:
        if connection.ended is not None:
            raise BrokerError(connection.ended)
        if not self._closing.is_set():
            return True
        left = self._outbox or connection.in_flight or len(self._backlog)
        return bool(left) and self._clock() < self._send_until_ns

    def _leave(self, connection: Connection, messages: Iterable[Message]) -> None:
        """Send the last messages and disconnect."""
        until_ns = self._clock() + int(_LEAVE_SECONDS * 1e9)
        last = deque(messages)
        while last and connection.ended is None and self._clock() < until_ns:
            while last and connection.has_room:
                connection.publish(last.popleft())
            connection.turn(self._wake_fd, 0 if connection.has_settled else _LEAVE_SECONDS / 5)
            self._settle(connection)
        connection.close(self._wake_fd, max(0.0, (until_ns - self._clock()) / 1e9))

    def _introduce(self, connection: Connection) -> None:
        self._former = self._remembered()
        if self._former is not None:
            connection.subscribe(status_topic(self._former))
        for config in filter(None, (self._former, self._config)):
            for topics in (*kept_topics(config), *discovery_topics(config)):
                connection.subscribe(topics)
        # The present state comes last, so that a message sent again does not stay retained.
        first, last = [self._status, *self._introductions], self._messages.all_retained()
        self._suspects += len(first) if self._suspects else 0
        self._outbox = deque([*first, *self._outbox, *last])

    def _remembered(self) -> MqttConfig | None:
        """The configuration with the device's earlier name at this broker; None if unchanged."""
        if self._memory is None:
            return None
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            kept = json.loads(read_file(self._memory, _LARGEST_MEMORY_BYTES))
            topic, device = kept["topic"], kept["device"]
            if kept["broker"] == self._address and _NAME.fullmatch(f"{topic}/{device}"):
                former = replace(self._config, topic=topic, device=device)
                return None if root_of(former) == root_of(self._config) else former
        return None

    def _once_it_lasts(self, connection: Connection, since_ns: int) -> None:
        if self._clock() - since_ns < self._timing.lasting_seconds * 1e9:
            return
        has_reasons = self._config.version == "5" and self._config.qos > 0
        if not has_reasons and self._status.topic not in connection.seen:
            what = f"writing or reading {self._status.topic}"
            self._log_refused(what, "the message does not come back")
        if self._memory is not None and not self._is_remembered:
            self._remember(self._memory)

    def _remember(self, memory: Path) -> None:
        """Store the present name; retained messages of the earlier one have been cleared."""
        self._is_remembered = True
        config = self._config
        now = {"broker": self._address, "topic": config.topic, "device": config.device}
        content = json.dumps(now).encode()
        with suppress(OSError):
            if read_file(memory, _LARGEST_MEMORY_BYTES) == content:
                return
        with suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_whole(memory, content)

    def _feed(self, connection: Connection) -> None:
        connection.most_in_flight = 1 if self._suspects else IN_FLIGHT
        while connection.has_room:
            if not self._outbox:
                waiting = self._backlog.take()
                if waiting is not None:
                    put_ns, entry = waiting
                    self._outbox.extend(self._messages_of(entry, put_ns))
                self._outbox.extend(self._messages.statuses(self._streaming))
                self._outbox.extend(self._messages.switched(self._switched))
                self._outbox.extend(self._messages.due(self._clock()))
                if waiting is not None and not self._outbox:
                    continue
            if not self._outbox:
                return
            message = self._outbox.popleft()
            if self._too_large and message.is_picture and len(message.payload) >= self._too_large:
                self._log_lost_with(message)
            else:
                connection.publish(message)

    def _messages_of(self, entry: Entry, put_ns: int) -> list[Message]:
        try:
            messages = self._messages.of(entry, put_ns)
        except Exception:  # a score is NaN, or a time is out of range
            self._counts[DropReason.REFUSED.value] += 1
            return []
        self._set_aside += not messages
        return messages

    def _turn_seconds(self, connection: Connection) -> float:
        if connection.has_settled:
            return 0
        due_ns = self._messages.next_due_ns()
        if due_ns is None or not connection.has_room:
            return _TURN_SECONDS
        return min(_TURN_SECONDS, max(0.0, (due_ns - self._clock()) / 1e9) + 0.001)

    def _settle(self, connection: Connection) -> None:
        for message, refusal in connection.settled():
            self._has_settled = True
            self._suspects = max(0, self._suspects - 1)
            if refusal is not None:
                self._counts[DropReason.REFUSED.value] += message.counts
                too_large = connection.is_too_large(message)
                self._log_refused(f"writing {message.topic}", refusal, too_large=too_large)
            elif message.counts and message.put_ns is not None:
                self._deliver(message.put_ns)
        while connection.refused:
            topics = connection.refused.pop()
            if topics in self._commands.targets:
                self._log_refused(f"reading {topics}", "commands do not arrive")
            elif not topics.startswith("+/"):  # those are optional
                self._log_refused(f"reading {topics}", "retained messages cannot be cleared")

    def _log_refused(self, what: str, why: str, *, too_large: bool = False) -> None:
        """Once per topic."""
        if what in self._refusals_logged or len(self._refusals_logged) >= MOST_REFUSALS_LOGGED:
            return
        self._refusals_logged.add(what)
        if too_large:
            self._log.warning("mqtt: %s refuses %s: %s", self._address, what, why)
            return
        user = "anonymous clients" if self._config.user is None else self._config.user
        self._log.warning(
            "mqtt: %s refuses %s: %s; allow %s to read and write %s/# and %s/#",
            *(self._address, what, why.lower(), user, root_of(self._config)),
            f"{self._config.home_assistant or 'homeassistant'}/device/edged-{self._config.device}",
        )

    def _log_lost_with(self, message: Message) -> None:
        what, size = f"writing {message.topic}", len(message.payload)
        why = f"the connection ended; snapshots of {size} bytes or more are not sent"
        self._log_refused(what, why, too_large=True)

    def _take_back(self, connection: Connection) -> None:
        """Queue unacknowledged messages again, except those that each connection creates."""
        again = []
        for index, message in enumerate(connection.in_flight.values()):
            # Brokers acknowledge in order: the first unacknowledged message may have ended the
            # connection, unless nothing was acknowledged at all.
            losses = message.losses + (index == 0 and self._has_settled)
            if message.put_ns is None:
                continue
            if self._config.qos == 0 or losses >= MOST_LOSSES:
                self._counts[DropReason.CONNECTION_LOST.value] += message.counts
                if self._config.qos and message.is_picture:  # so would the next ones be
                    self._too_large = len(message.payload)
                    self._log_lost_with(message)
            else:
                again.append(replace(message, losses=losses))
        if connection.in_flight:
            self._suspects = len(again)
        waiting = [message for message in self._outbox if message.put_ns is not None]
        self._outbox = deque([*again, *waiting])

    def _clear(self, connection: Connection) -> None:
        """Clear retained messages of cameras, views, events and snapshots that no longer exist."""
        introductions = {message.topic: message for message in self._introductions}
        while connection.found:
            topic, payload = connection.found.pop(0)
            if topic == self._status.topic:
                continue
            if topic in introductions:
                self._outbox.extend(withdrawals(introductions[topic], payload))
            elif topic.startswith(f"{root_of(self._config)}/"):
                self._outbox.extend(self._messages.left_over(topic))
            elif is_own_discovery(self._config, topic, payload):
                self._outbox.append(Message(topic, b"", retain=True))
            elif self._former is not None:
                self._outbox.extend(self._left_of(self._former, topic, payload))

    def _obey(self, connection: Connection) -> None:
        while connection.commands:
            self._commands.obey(*connection.commands.pop(0), self._switches)

    def _left_of(self, former: MqttConfig, topic: str, payload: bytes) -> list[Message]:
        """Messages that clear those of the earlier name, unless another device uses it now."""
        if topic == status_topic(former) and payload == b"online":
            self._log.info(
                "mqtt: another device is now named %s; keeping its retained messages", former.device
            )
            self._former, self._is_remembered = None, True
            return []
        if topic.startswith(f"{root_of(former)}/"):
            beside = [f"{topic}/snapshot"] if topic.split("/")[-2] == "event" else []
            return [Message(each, b"", retain=True) for each in (topic, *beside)]
        if is_own_discovery(former, topic, payload):
            return [Message(topic, b"", retain=True)]
        return []

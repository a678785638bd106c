"""Results, states and events to an MQTT broker; a broker that is away is waited for.

One thread sends. What it cannot send waits in a bounded backlog; what the broker has not answered
for when a connection is lost is sent again over the next one. Only the thread waits, for whatever.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from edged.clock import Clock, monotonic_ns
from edged.config.results import MqttConfig
from edged.frame import Event, Result
from edged.sinks.backlog import MOST_RESULTS, Backlog
from edged.sinks.home_assistant import discovery, discovery_topics, withdrawals
from edged.sinks.mqtt_connection import BrokerError, Connection
from edged.sinks.mqtt_messages import Message, Messages, Rules, kept_topics, root_of, status_topic

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""Between two connections; a connection that lasted as long begins with the first pause again."""
LASTING_SECONDS = 10.0
"""A connection that lasts as long ends a trouble; and another trouble is told after as long."""
MOST_LOSSES = 3
"""Connections that one message may be lost with: it may be what they are lost of."""
_TURN_SECONDS = 1.0
_LEAVE_SECONDS = 0.5

log = logging.getLogger(__name__)


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # the broker is away or too slow: the oldest gave way
    CONNECTION_LOST = "connection_lost"  # on the way, with QoS 0 or for the third time
    REFUSED = "refused"  # by the broker, or it is no JSON
    CLOSED = "closed"  # the daemon ended before it was sent


class Mqtt:
    """The sink. rules: camera → its event rules. Counts results and events, not messages."""

    def __init__(
        self,
        config: MqttConfig,
        rules: Rules,
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        lasting_seconds: float = LASTING_SECONDS,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.name = "mqtt"
        self.observe_delivery: Callable[[float], None] = lambda seconds: None
        self.delivered = 0
        self._dropped = dict.fromkeys(DropReason, 0)
        self._config = config
        self._rules = rules
        self._messages = Messages(config, rules)
        self._status = Message(status_topic(config), b"online", retain=True)
        self._introductions = list(discovery(config, rules)) if config.home_assistant else []
        self._first_pause_seconds = first_pause_seconds
        self._lasting_seconds = lasting_seconds
        self._clock = clock
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._backlog = Backlog(lambda: os.eventfd_write(self._wake_fd, 1), clock=clock)
        self._outbox: deque[Message] = deque()
        """What goes next; refilled from the backlog only when it is empty."""
        self._closing = threading.Event()
        self._send_until_ns = 0
        self._in_states = 0
        """Results that only states tell of: neither delivered nor dropped."""
        self._told: str | None = ""
        """The trouble that has been told and has not ended; empty before the first connection."""
        self._told_ns = 0
        self._told_dropped = 0
        self._thread = threading.Thread(target=self._run, name="sink-mqtt", daemon=True)

    @property
    def dropped(self) -> dict[str, int]:
        counts = {reason.value: count for reason, count in self._dropped.items()}
        counts[DropReason.QUEUE_FULL.value] = self._backlog.dropped
        return counts

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def publish(self, result: Result) -> None:
        self._backlog.put(result)

    def publish_event(self, event: Event) -> None:
        self._backlog.put(event)

    def close(self, timeout_seconds: float) -> None:
        """Send what waits; the last of the time is for taking leave of the broker."""
        send_seconds = max(0.0, timeout_seconds - _LEAVE_SECONDS)
        self._send_until_ns = self._clock() + int(send_seconds * 1e9)
        self._closing.set()
        os.eventfd_write(self._wake_fd, 1)
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        settled = self.delivered + self._in_states + sum(self.dropped.values())
        self._dropped[DropReason.CLOSED] += self._backlog.received - settled
        if not self._thread.is_alive():
            os.close(self._wake_fd)

    def _run(self) -> None:
        pause_seconds = self._first_pause_seconds
        while not self._closing.is_set():
            begun_ns = self._clock()
            try:
                self._session()
            except BrokerError as error:
                self._tell_trouble(str(error))
            except Exception as error:  # whatever a broker sends, the thread goes on
                self._tell_trouble(f"what it sends is not understood ({type(error).__name__})")
            if self._clock() - begun_ns > LONGEST_PAUSE_SECONDS * 1e9:
                pause_seconds = self._first_pause_seconds
            # Not all devices of a fleet at the same moment, when their broker comes back.
            self._closing.wait(pause_seconds * random.uniform(0.5, 1))
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _session(self) -> None:
        """From a connection to the end of the sink, or to its loss, which is a BrokerError."""
        offline = replace(self._status, payload=b"offline")
        connection = Connection(self._config, offline)
        try:
            connection.open(self._wake_fd)
            since_ns = self._clock()
            self._introduce(connection)
            while self._goes_on(connection):
                self._tell_connected(since_ns)
                self._feed(connection)
                connection.turn(self._wake_fd, self._turn_seconds(connection))
                self._settle(connection)
                self._clear(connection)
            if connection.has_room:
                connection.publish(offline)
            connection.close(self._wake_fd, _LEAVE_SECONDS)
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

    def _introduce(self, connection: Connection) -> None:
        for topics in kept_topics(self._config):
            connection.subscribe(topics)
        if self._introductions:
            connection.subscribe(discovery_topics(self._config))
        # The present state comes last: what is sent again must not stay as the retained one.
        first, last = [self._status, *self._introductions], self._messages.all_retained()
        self._outbox = deque([*first, *self._outbox, *last])

    def _feed(self, connection: Connection) -> None:
        while connection.has_room:
            if not self._outbox:
                waiting = self._backlog.take()
                if waiting is not None:
                    put_ns, entry = waiting
                    self._outbox.extend(self._messages_of(entry, put_ns))
                self._outbox.extend(self._messages.due(self._clock()))
                if waiting is not None and not self._outbox:
                    continue
            if not self._outbox:
                return
            connection.publish(self._outbox.popleft())

    def _messages_of(self, entry: Result | Event, put_ns: int) -> list[Message]:
        try:
            messages = self._messages.of(entry, put_ns)
        except ValueError:  # a score is no number: JSON cannot tell it
            self._dropped[DropReason.REFUSED] += 1
            return []
        self._in_states += not messages
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
            if refusal is not None:
                log.debug("mqtt: %s: %s", message.topic, refusal)
                self._dropped[DropReason.REFUSED] += message.counts
            elif message.counts and message.put_ns is not None:
                self.delivered += 1
                self.observe_delivery((self._clock() - message.put_ns) / 1e9)

    def _take_back(self, connection: Connection) -> None:
        """What was under way, and is not made anew for each connection."""
        again = []
        for index, message in enumerate(connection.in_flight.values()):
            # A broker answers in turn: the first one without an answer may be why it has gone.
            losses = message.losses + (index == 0)
            if message.put_ns is None:
                continue
            if self._config.qos == 0 or losses >= MOST_LOSSES:
                self._dropped[DropReason.CONNECTION_LOST] += message.counts
            else:
                again.append(replace(message, losses=losses))
        waiting = [message for message in self._outbox if message.put_ns is not None]
        self._outbox = deque([*again, *waiting])

    def _clear(self, connection: Connection) -> None:
        """Cameras, events and pictures that this device once had and has no longer."""
        introductions = {message.topic: message for message in self._introductions}
        while connection.found:
            topic, payload = connection.found.pop()
            if topic in introductions:
                self._outbox.extend(withdrawals(introductions[topic], payload))
            elif topic.startswith(f"{root_of(self._config)}/"):
                self._outbox.extend(self._messages.left_over(topic))
            else:
                self._outbox.append(Message(topic, b"", retain=True))

    def _tell_trouble(self, trouble: str) -> None:
        """One line for each change of state that lasts."""
        now_ns = self._clock()
        lasts = not self._told or now_ns - self._told_ns >= self._lasting_seconds * 1e9
        if trouble != self._told and lasts:
            self._told, self._told_ns = trouble, now_ns
            address = f"{self._config.host}:{self._config.port}"
            log.warning("mqtt: %s: %s; up to %d results wait", address, trouble, MOST_RESULTS)

    def _tell_connected(self, since_ns: int) -> None:
        if self._told is None or (
            self._told and self._clock() - since_ns < self._lasting_seconds * 1e9
        ):
            return
        self._told = None
        lost = sum(self.dropped.values()) - self._told_dropped
        self._told_dropped += lost
        address = f"{self._config.host}:{self._config.port}"
        log.info("mqtt: connected to %s%s", address, f", {lost} results were lost" if lost else "")

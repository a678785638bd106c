"""One connection to an MQTT broker; each attempt makes a new one. For one thread.

Only this module uses paho-mqtt, and keeps its queues almost empty: at most IN_FLIGHT messages are
unacknowledged, and nothing is added while bytes wait to be written.
"""

from __future__ import annotations

import os
import select
import ssl
import time
from collections.abc import Collection, Iterator
from typing import Any

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edged.errors import EdgedError
from edged.sinks.lookup import LookupTimeoutError, addresses
from edged.sinks.mqtt.messages import Message
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.tls import tls_context, tls_trouble

IN_FLIGHT = 20
KEEPALIVE_SECONDS = 20
"""The connection counts as lost after twice this time without data."""
CONNECT_SECONDS = 10
"""Time-out of each of TCP, TLS and the broker's acknowledgement."""
MOST_FOUND = 500
"""Limit of retained messages that are read."""
MOST_COMMANDS = 500
"""Limit of those that wait to be carried out."""
MOST_PACKET_BYTES = 1024 * 1024
"""Limit of a packet from the broker; a discovery payload takes up to 57 kB a view."""
_HEADER_BYTES = 16
"""Upper bound of a packet without topic and payload."""


class BrokerError(Exception):
    """Why the connection failed or was lost."""


class _Client(Client):
    """Refuses large packets before allocating memory for them."""

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MOST_PACKET_BYTES:
            what = f"the broker sent a packet of {bufsize} bytes; the limit is {MOST_PACKET_BYTES}"
            raise BrokerError(what)
        return super()._sock_recv(bufsize)


class Connection:
    """will: the message that the broker publishes if the connection is lost."""

    def __init__(self, config: MqttConfig, will: Message) -> None:
        """Raises BrokerError if files of the configuration cannot be used."""
        self.in_flight: dict[int, Message] = {}
        """Message identifier → unacknowledged message."""
        self.ended: str | None = None
        """The reason, once the connection has ended."""
        self.found: list[tuple[str, bytes]] = []
        """(topic, payload) of retained messages received after `subscribe`."""
        self.seen: set[str] = set()
        """Topics of `found`; filters may overlap."""
        self.most_in_flight = IN_FLIGHT
        self.refused: list[str] = []
        """Filters whose subscription the broker refused."""
        self.commands: list[tuple[str, bytes, bool]] = []
        """(topic, payload, retained) of messages to the topics of `subscribe_commands`."""
        self._command_topics: frozenset[str] = frozenset()
        self._filters: dict[int | None, str] = {}
        """Message identifier → filter of a pending subscription."""
        self._subscribed: list[str] = []
        self._is_silent = False
        """The broker has ended all subscriptions."""
        self._most_bytes: int | None = None
        """The broker's Maximum Packet Size, if it states one."""
        self._config = config
        self._connected = False
        self._secure = config.tls is not None
        self._settled: list[tuple[Message, str | None]] = []
        self._client = client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"edged-{config.device}",
            protocol=(
                MQTTProtocolVersion.MQTTv5
                if config.version == "5"
                else MQTTProtocolVersion.MQTTv311
            ),
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_SECONDS
        client.max_inflight_messages = IN_FLIGHT
        client.will_set(will.topic, will.payload, config.qos, retain=True)
        if config.user is not None:
            password = config.password
            client.username_pw_set(config.user, None if password is None else password.reveal())
        if config.tls is not None:
            try:
                client.tls_set_context(tls_context(config.tls))
            except EdgedError as error:
                raise BrokerError(str(error)) from None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe

    def open(self, stop_fd: int) -> None:
        """Connect, and wait until the broker accepts. Raises BrokerError. stop_fd: see `turn`."""
        config, properties = self._config, None
        if config.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MOST_PACKET_BYTES
        try:
            addresses(config.host, config.port, CONNECT_SECONDS)  # paho's lookup has no time-out
            self._client.connect(config.host, config.port, KEEPALIVE_SECONDS, properties=properties)
        except (OSError, ValueError) as error:
            raise BrokerError(_why(error, self._secure)) from None
        deadline = time.monotonic() + CONNECT_SECONDS
        while not self._connected:
            if self.ended is not None:
                raise BrokerError(self.ended)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise BrokerError("the broker did not respond")
            self.turn(stop_fd, min(remaining, 1.0))

    @property
    def has_room(self) -> bool:
        if self.ended is not None or self._client.want_write():
            return False
        return len(self.in_flight) + len(self._settled) < self.most_in_flight

    @property
    def has_settled(self) -> bool:
        return bool(self._settled)

    def is_too_large(self, message: Message) -> bool:
        """Whether the message exceeds the broker's Maximum Packet Size."""
        most = self._most_bytes
        return most is not None and _size(message) + _HEADER_BYTES > most

    def publish(self, message: Message) -> None:
        """Call only while `has_room`. `settled` reports the outcome."""
        if self.is_too_large(message):
            what = f"{_size(message)} bytes exceed the broker's packet limit of {self._most_bytes}"
            self._settled.append((message, what))
            return
        info = self._client.publish(
            message.topic, message.payload, self._config.qos, message.retain
        )
        self.in_flight[info.mid] = message
        self._settle_written()

    def settled(self) -> Iterator[tuple[Message, str | None]]:
        """(message, None), or (message, the broker's reason) if it refused it; each once."""
        self._settle_written()
        while self._settled:
            yield self._settled.pop(0)

    def _settle_written(self) -> None:
        """With QoS 0 a written message is settled."""
        if self._config.qos == 0 and self.ended is None and not self._client.want_write():
            self._settled += [(message, None) for message in self.in_flight.values()]
            self.in_flight.clear()

    def subscribe(self, topics: str) -> None:
        self._filters[self._client.subscribe(topics)[1]] = topics
        self._subscribed.append(topics)

    def subscribe_commands(self, topics: Collection[str]) -> None:
        """Version 5 tells what was retained also while connected."""
        qos = self._config.qos
        options = SubscribeOptions(qos, retainAsPublished=True)
        self._command_topics = frozenset(topics)
        self._subscribed += topics
        several: Any = [(each, options if self._config.version == "5" else qos) for each in topics]
        self._filters[self._client.subscribe(several)[1]] = next(iter(topics))

    def turn(self, stop_fd: int, timeout_seconds: float) -> None:
        """Wait for the socket or for `stop_fd` (an eventfd, which is reset), and process events."""
        socket = self._client.socket()
        if socket is None:
            self.ended = self.ended or "the connection was lost"
            return
        if isinstance(socket, ssl.SSLSocket) and socket.pending():
            timeout_seconds = 0
        writing = [socket] if self._client.want_write() else []
        readable, writable, _ = select.select([socket, stop_fd], writing, [], timeout_seconds)
        if stop_fd in readable:
            os.eventfd_read(stop_fd)
        if socket in readable or timeout_seconds == 0:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()

    def close(self, stop_fd: int, timeout_seconds: float) -> None:
        """Disconnect properly, so that the broker does not publish the will.

        Before that it must have read everything and have nothing more to send: paho closes the
        socket at once, unread data resets the connection, and the broker then drops what it has not
        read.
        """
        if self.ended is None and self._connected:
            deadline = time.monotonic() + timeout_seconds
            self._client.unsubscribe(self._subscribed)
            while self.in_flight or not self._is_silent:
                if self.ended is not None or time.monotonic() >= deadline:
                    break
                self.turn(stop_fd, 0.1)
            self._client.disconnect()
            while self._client.socket() is not None and time.monotonic() < deadline:
                self.turn(stop_fd, 0.1)
        self.drop()

    def drop(self) -> None:
        """Close the socket without disconnecting from the broker."""
        self._client.on_disconnect = None
        socket = self._client.socket()
        if socket is not None:
            socket.close()

    def _on_connect(
        self, client: Client, data: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            self.ended = f"the broker refused the connection: {_in_words(reason)}"
        else:
            self._connected = True
            self._most_bytes = getattr(properties, "MaximumPacketSize", None)

    def _on_subscribe(
        self, client: Client, data: Any, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        topics = self._filters.pop(mid, None)
        if topics is not None and any(reason.is_failure for reason in reasons):
            self.refused.append(topics)

    def _on_unsubscribe(
        self, client: Client, data: Any, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        self._is_silent = True

    def _on_disconnect(
        self, client: Client, data: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        if self.ended is not None:
            return
        if flags.is_disconnect_packet_from_server:
            self.ended = f"the broker closed the connection: {_in_words(reason)}"
        elif not self._connected:
            self.ended = "the broker closed the connection without a reply; see its log"
            if not self._secure:
                self.ended += ", or write mqtts:// if that port uses TLS"
        else:
            self.ended = "the connection was lost"

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        if message.topic in self._command_topics:
            if len(self.commands) < MOST_COMMANDS:
                self.commands.append((message.topic, bytes(message.payload), message.retain))
            return
        if not message.retain or message.topic in self.seen:  # not retained: our own message
            return
        if len(self.seen) < MOST_FOUND:
            self.seen.add(message.topic)
            self.found.append((message.topic, bytes(message.payload)))

    def _on_publish(
        self, client: Client, data: Any, mid: int, reason: ReasonCode, properties: Any
    ) -> None:
        message = self.in_flight.pop(mid, None)  # None if `publish` itself wrote it
        if message is not None:
            self._settled.append((message, str(reason) if reason.is_failure else None))


def _size(message: Message) -> int:
    return len(message.topic.encode()) + len(message.payload)


def _in_words(reason: ReasonCode) -> str:
    known = str(reason).lower()
    if known in ("bad user name or password", "not authorized"):
        known += "; check user, password and the broker's access rules for that user"
    if known == "session taken over":
        known += "; another client uses the same name, see device"
    return known


def _why(error: OSError | ValueError, secure: bool) -> str:
    if isinstance(error, LookupTimeoutError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return tls_trouble(error, "mqtt://")
    if isinstance(error, ConnectionResetError) and secure:
        return "connection reset by peer; if that port does not use TLS, write mqtt://"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__

"""A real Mosquitto for tests, and a subscriber."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.rig.ports import free_port
from tests.rig.waiting import eventually

_FOUND = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_mosquitto = pytest.mark.skipif(
    _FOUND is None, reason="needs a real broker: apt-get install mosquitto"
)


class Broker:
    """settings: lines of its configuration beyond the listener, which is on a free port."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        lines = [f"listener {self.port} 127.0.0.1", *(settings or ["allow_anonymous true"])]
        if os.geteuid() == 0:
            lines.append("user root")  # else it could not read what is in the folder
        self._config.write_text("\n".join([*lines, ""]))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert _FOUND is not None
        self.process = subprocess.Popen(
            [_FOUND, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@contextmanager
def running_broker(folder: Path, *settings: str) -> Iterator[Broker]:
    broker = Broker(folder, *settings)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def sending(packets: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers the first packet of each connection with these bytes and closes it.

    Its port, and those first packets.
    """
    received: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            received.append(self.request.recv(65536))
            with suppress(OSError):
                self.request.sendall(packets)
                self.request.settimeout(0.2)
                while self.request.recv(65536):
                    pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], received
        finally:
            server.shutdown()
            thread.join(30)


class Listener:
    """Records all messages from the broker, in order; use it in a `with`."""

    def __init__(self, port: int, topics: str = "#", qos: int = 1) -> None:
        self._qos = qos
        self.messages: list[MQTTMessage] = []
        self._subscribed = threading.Event()
        self._client = client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=True)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: self.subscribe(topics)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = lambda _client, _data, message: self.messages.append(message)
        client.connect("127.0.0.1", port)

    def __enter__(self) -> Listener:
        self._client.loop_start()
        assert self._subscribed.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topics: str) -> None:
        self._client.subscribe(topics, self._qos)

    def keep(self, topic: str, payload: bytes) -> None:
        """Have it retained."""
        self._client.publish(topic, payload, 1, retain=True)

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1)

    def of(self, topic: str) -> list[bytes]:
        return [each.payload for each in list(self.messages) if each.topic == topic]

    def json(self, topic: str) -> list[Any]:
        return [json.loads(payload) for payload in self.of(topic)]

    def wait_for(self, topic: str, payload: bytes) -> None:
        eventually(lambda: self.of(topic)[-1:] == [payload])

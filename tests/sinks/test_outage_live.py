"""`make test-outage`: a real daemon while nobody takes what it publishes, for five real minutes.

In one test the webhook answers 503, the broker is dead and the disk full; in the other nobody
reads. No frame may notice, and no event is lost. test_outage.py has the same with a clock that is
handed in.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from edged.sinks.backlog import MOST_EVENTS, MOST_RESULTS
from tests.rig.broker import Listener, needs_mosquitto, running_broker
from tests.rig.daemon import RunningDaemon, pss_mb
from tests.rig.rules import ANY
from tests.rig.small_disk import fill, mounted
from tests.rig.webhook import serving

SECONDS = int(os.environ.get("EDGED_OUTAGE_SECONDS", "0"))
FPS = 30
MOST_GROWTH_MB = 12
"""For each sink wait 1,000 results of 1 KB, and 64 KB in each socket and pipe. The rest is what a
minute changes in a process of this size."""

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not SECONDS, reason="takes real minutes: make test-outage"),
    pytest.mark.timeout(SECONDS + 240),
    needs_mosquitto,
]

CONFIG = """
variants: [mobilenet_v1_0.25_128]
latency_budget_ms: 100
cameras: {{door: {{source: synthetic, size: 320x240, fps: {fps}}}}}
http: {{listen: 127.0.0.1:0}}
results:
  jsonl: {jsonl}
  mqtt: {{broker: 'mqtt://127.0.0.1:{broker}', device: gate}}
  webhook: {{url: 'http://127.0.0.1:{webhook}/', send: {send}, timeout_seconds: 5}}
"""
LOST = 'edged_sink_dropped_total{{reason="{}",sink="{}"}}'
DELIVERED = 'edged_sink_delivered_total{{sink="{}"}}'
RESULTS = 'edged_results_total{camera="door"}'
MISSES = 'edged_deadline_misses_total{camera="door"}'


def events_of(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in lines if "event" in each]


def test_no_event_is_lost_while_there_is_room(tmp_path: Path) -> None:
    """Each reload with another threshold ends the event that runs, and begins the next."""
    cycles = MOST_EVENTS // 2 - 4
    is_over = False
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(tmp_path / "disk", "size=2m"))
        server = stack.enter_context(serving(judge=lambda body: 200 if is_over else 503))
        broker = stack.enter_context(running_broker(tmp_path))
        lines = disk / "results.jsonl"

        def config(number: int) -> str:
            ways = CONFIG.format(
                fps=10, jsonl=lines, broker=broker.port, webhook=server.server_port, send="[events]"
            )
            rule = f"{{{ANY}, for_seconds: 0, above: {0.5 + number / 1000}}}"
            return f"events: {{any: {rule}}}\n{ways}"

        daemon = stack.enter_context(RunningDaemon(tmp_path, config(0)))
        daemon.wait_for(lambda: daemon.metric(DELIVERED.format("mqtt")) > 20)
        broker.stop()
        ballast = fill(disk)
        begun = time.monotonic()
        for number in range(1, cycles + 1):
            assert daemon.reload(config(number)) == "configuration reloaded: events"
            while time.monotonic() - begun < SECONDS * number / cycles:
                time.sleep(0.1)
        assert daemon.metric(DELIVERED.format("webhook")) == 0

        is_over = True
        broker.start()
        ballast.unlink()
        listener = stack.enter_context(Listener(broker.port, "edged/gate/door/event/any"))
        expected = 2 * cycles + 1
        daemon.wait_for(lambda: daemon.metric(DELIVERED.format("webhook")) == expected, 60)
        posted = [json.loads(body) for _, _, body in server.got[-expected:]]
        daemon.wait_for(
            lambda: (
                daemon.metric(DELIVERED.format("mqtt"))
                + daemon.metric(LOST.format("queue_full", "mqtt"))
                > daemon.metric(RESULTS)
            ),
            60,
        )
        daemon.wait_for(lambda: len(events_of(read(lines))) == expected, 60)
        assert [each["state"] for each in posted] == ["started", *["ended", "started"] * cycles]
        assert events_of(read(lines)) == posted
        arrived = listener.json("edged/gate/door/event/any")
        for event in posted[2:]:  # the first two may have come before the outage
            assert event in arrived
        for sink in ("jsonl", "mqtt", "webhook"):
            for reason in ("queue_full", "closed", "write_error", "refused", "connection_lost"):
                if reason == "queue_full" and sink != "webhook":
                    # Of results only; those that the outage was too long for.
                    lost = daemon.metric(LOST.format(reason, sink))
                    assert abs(lost - max(0, 10 * SECONDS - MOST_RESULTS)) < 200
                elif f'reason="{reason}",sink="{sink}"' in daemon.get("/metrics")[1]:
                    assert daemon.metric(LOST.format(reason, sink)) == 0
        told = [line for line in daemon.log if "backlog full" in line]
        assert len(told) == (2 if 10 * SECONDS > MOST_RESULTS + 200 else 0)
        assert daemon.stop()[0] == 0


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nobody_takes_anything(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ExitStack() as stack:
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)  # and never reads
        stack.callback(os.close, reader)
        webhook = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))  # nor this
        broker = stack.enter_context(running_broker(tmp_path))
        port = webhook.getsockname()[1]
        config = CONFIG.format(
            fps=FPS, jsonl="pipe", broker=broker.port, webhook=port, send="[results, events]"
        )
        daemon = stack.enter_context(RunningDaemon(tmp_path, config))
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
        stream.sendall(b"GET /api/v1/results HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")  # nor this
        daemon.wait_for(lambda: daemon.metric(DELIVERED.format("mqtt")) > 5 * FPS)

        broker.stop()
        before = {name: daemon.metric(name) for name in (RESULTS, MISSES)}
        delivered = daemon.metric(DELIVERED.format("mqtt"))
        begun, least_mb, most_mb = time.monotonic(), pss_mb(daemon.process.pid), 0.0
        while time.monotonic() - begun < max(60, SECONDS / 5):
            time.sleep(2)
            most_mb = max(most_mb, pss_mb(daemon.process.pid))
        seconds = time.monotonic() - begun
        ran = daemon.metric(RESULTS) - before[RESULTS]
        missed = daemon.metric(MISSES) - before[MISSES]
        assert ran > 0.95 * FPS * seconds
        assert missed < 0.02 * ran
        assert most_mb - least_mb < MOST_GROWTH_MB
        for sink in ("jsonl", "webhook"):
            assert daemon.metric(LOST.format("queue_full", sink)) > 0
        assert daemon.metric(DELIVERED.format("webhook")) == 0

        broker.start()
        with Listener(broker.port) as listener:
            daemon.wait_for(
                lambda: daemon.metric(DELIVERED.format("mqtt")) > delivered + MOST_RESULTS
            )
            lost = daemon.metric(LOST.format("queue_full", "mqtt"))
            total = daemon.metric(RESULTS)
            assert 0 <= total - lost - daemon.metric(DELIVERED.format("mqtt")) < FPS
            assert abs(total - before[RESULTS] - MOST_RESULTS - lost) < 5 * FPS
            arrived = [each["sequence"] for each in listener.json("edged/gate/door/result")]
        assert daemon.stop()[0] == 0
    assert arrived == sorted(set(arrived))
    kept = arrived[-MOST_RESULTS // 2 :]  # before it may stand what was under way when it went
    # Without gaps, but for frames that a busy machine gave no result.
    assert len(kept) > 0.95 * (kept[-1] - kept[0])

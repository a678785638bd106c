"""A minute in which nobody takes what a real daemon publishes: the broker is dead, and whoever else
listens stands still. No frame may notice.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

from edged.sinks.backlog import MOST_RESULTS
from tests.broker import Listener, needs_mosquitto, running_broker
from tests.e2e.daemon import RunningDaemon, pss_mb

FPS = 30
SECONDS = 60
MOST_GROWTH_MB = 12
"""1,000 results of 1 KB wait for the broker, as many for the webhook; 256 for the file, 64 KB in
each socket and pipe. The rest is what a minute changes in a process of this size."""

CONFIG = """
variants: [mobilenet_v1_0.25_128]
latency_budget_ms: 100
cameras: {{door: {{source: synthetic, size: 320x240, fps: {fps}}}}}
http: {{listen: 127.0.0.1:0}}
results:
  jsonl: pipe
  mqtt: {{broker: 'mqtt://127.0.0.1:{broker}', device: gate}}
  webhook: {{url: 'http://127.0.0.1:{webhook}/', send: [results, events], timeout_seconds: 5}}
"""
LOST = 'edged_sink_dropped_total{{reason="queue_full",sink="{}"}}'
DELIVERED = 'edged_sink_delivered_total{{sink="{}"}}'
RESULTS = 'edged_results_total{camera="door"}'
MISSES = 'edged_deadline_misses_total{camera="door"}'


@needs_mosquitto
def test_nobody_takes_anything_for_a_minute(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ExitStack() as stack:
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)  # and never reads
        stack.callback(os.close, reader)
        webhook = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))  # nor this
        broker = stack.enter_context(running_broker(tmp_path))
        config = CONFIG.format(fps=FPS, broker=broker.port, webhook=webhook.getsockname()[1])
        daemon = stack.enter_context(RunningDaemon(tmp_path, config))
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
        stream.sendall(b"GET /api/v1/results HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")  # nor this
        daemon.wait_for(lambda: daemon.metric(DELIVERED.format("mqtt")) > 5 * FPS)

        broker.stop()
        before = {name: daemon.metric(name) for name in (RESULTS, MISSES)}
        delivered = daemon.metric(DELIVERED.format("mqtt"))
        begun, least_mb, most_mb = time.monotonic(), pss_mb(daemon.process.pid), 0.0
        while time.monotonic() - begun < SECONDS:
            time.sleep(2)
            most_mb = max(most_mb, pss_mb(daemon.process.pid))
        ran = daemon.metric(RESULTS) - before[RESULTS]
        missed = daemon.metric(MISSES) - before[MISSES]
        assert ran > 0.95 * FPS * SECONDS
        assert missed < 0.02 * ran
        assert most_mb - least_mb < MOST_GROWTH_MB
        for sink in ("jsonl", "webhook"):
            assert daemon.metric(LOST.format(sink)) > 0
        assert daemon.metric(DELIVERED.format("webhook")) == 0

        broker.start()
        with Listener(broker.port) as listener:
            daemon.wait_for(
                lambda: daemon.metric(DELIVERED.format("mqtt")) > delivered + MOST_RESULTS
            )
            lost = daemon.metric(LOST.format("mqtt"))
            total = daemon.metric(RESULTS)
            assert 0 <= total - lost - daemon.metric(DELIVERED.format("mqtt")) < FPS
            assert abs(total - before[RESULTS] - MOST_RESULTS - lost) < 5 * FPS
            arrived = [each["sequence"] for each in listener.json("edged/gate/door/result")]
        assert daemon.stop()[0] == 0
    assert arrived == sorted(set(arrived))
    kept = arrived[-MOST_RESULTS // 2 :]  # before it may stand what was under way when it went
    assert kept == list(range(kept[0], kept[0] + MOST_RESULTS // 2))

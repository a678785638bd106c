"""Capture processes that are killed leave nothing in the daemon."""

from __future__ import annotations

import os
import signal
import statistics
import time
from pathlib import Path

import pytest

from edged.capture.liveness import TimeLimits
from tests.rig.camera import descriptors_of
from tests.rig.daemon import RunningDaemon, pss_mb

SYNTHETIC = """
variants: [mobilenet_v1_0.25_128]
latency_budget_ms: 200
cameras:
  door: {source: "synthetic:64x64@240", max_fps: 30}
http: {listen: 127.0.0.1:0}
"""


KILLS = 6


@pytest.mark.timeout(300)
def test_kills_leave_nothing_in_the_daemon(tmp_path: Path) -> None:
    """Prints how long results were away, and what the daemon grew by."""
    with RunningDaemon(tmp_path, SYNTHETIC) as daemon:
        daemon.wait_for_results(30)
        pid = daemon.process.pid
        before, begun_mb = descriptors_of(pid), pss_mb(daemon.process.pid)
        captured = 'edged_frames_captured_total{camera="door"}'
        away = []
        for _ in range(KILLS):
            # After so many good frames the kill before is forgotten, and the first pause is short.
            good = daemon.metric(captured) + TimeLimits().good_frames + 60
            daemon.wait_for(lambda good=good: daemon.metric(captured) > good, 60)
            (child,) = daemon.capture_processes()
            os.kill(child, signal.SIGKILL)
            killed = time.monotonic()
            daemon.wait_for(lambda child=child: daemon.capture_processes() not in ([child], []))
            daemon.wait_for_results(len(daemon.results) + 1, 60)
            away.append(time.monotonic() - killed)
        daemon.wait_for(lambda: descriptors_of(pid) == before)
        assert len(daemon.capture_processes()) == 1
        restarts = 'edged_source_restarts_total{camera="door",reason="killed"}'
        assert daemon.metric(restarts) == KILLS
        grown_mb = pss_mb(daemon.process.pid) - begun_mb
        daemon.stop()
    print(  # noqa: T201
        f"results were away for {statistics.median(away):.2f} s, at most {max(away):.2f} s; "
        f"the daemon grew by {grown_mb:+.1f} MB in {KILLS} rounds"
    )

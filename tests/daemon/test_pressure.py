"""A daemon that is short of descriptors, and one that a crowd of clients hangs on."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.rig.daemon import RunningDaemon, pss_mb, quick_config
from tests.rig.damage import MANY

CAMERAS = {
    "door": "{source: synthetic, size: 320x240, fps: 10, stalled_after_seconds: 60}",
    "yard": "{source: synthetic, size: 160x120, fps: 10, stalled_after_seconds: 60}",
}
CLIENTS = 1000


@contextmanager
def descriptors_at_most(pid: int, most: int) -> Iterator[None]:
    """Of a process that runs; what it has open already stays."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_without_descriptors_the_cameras_that_run_go_on_and_the_others_come_back(
    tmp_path: Path,
) -> None:
    with RunningDaemon(tmp_path, quick_config(CAMERAS)) as daemon:
        for camera in CAMERAS:
            daemon.more_results(camera)
        port, pid = daemon.port, daemon.process.pid
        daemon.wait_for(lambda: daemon.get("/readyz")[0] == 200)
        held = daemon.holds()[0]
        lines = len(daemon.log)
        with (
            ExitStack() as open_ones,
            descriptors_at_most(pid, 3),  # none more can be opened, whatever is closed
        ):
            killed = daemon.capture_processes()[0]
            os.kill(killed, signal.SIGKILL)
            waiting = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
            waiting.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            daemon.wait_for(lambda: "Too many open files" in daemon.text)
            (other,) = daemon.capture_processes()
            assert other != killed
            counts = {camera: len(daemon.results_of(camera)) for camera in CAMERAS}
            daemon.wait_for(
                lambda: any(len(daemon.results_of(c)) >= n + 3 for c, n in counts.items())
            )
        for camera in CAMERAS:
            daemon.more_results(camera)
        daemon.wait_for(lambda: daemon.get("/healthz")[0] == 200)
        daemon.wait_for(lambda: daemon.get("/readyz")[0] == 200)
        assert len(daemon.log) - lines < 20
        assert "Traceback" not in daemon.text
        daemon.wait_for(lambda: daemon.holds()[0] == held)
        assert daemon.stop()[0] == 0


BEGINNINGS = (
    b"",
    b"G",
    b"GET /metrics HTTP/1.1\r\nX:",
    b"GET /api/v1/results HTTP/1.1\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n\r\n" * 50,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


@pytest.mark.skipif(
    not MANY, reason="`make fuzz` runs it; tests/web/test_server_clients.py has 200"
)
def test_a_thousand_clients_that_hang_keep_nobody_out(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * CLIENTS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * CLIENTS), hard))
    with RunningDaemon(tmp_path, quick_config(CAMERAS)) as daemon, ExitStack() as hanging:
        for camera in CAMERAS:
            daemon.more_results(camera)
        assert daemon.get("/healthz")[0] == 200
        pid = daemon.process.pid
        before, size_mb = daemon.holds(), pss_mb(pid)
        dice = random.Random(0)
        clients = []
        for number in range(CLIENTS):
            client = socket.create_connection(("127.0.0.1", daemon.port), timeout=10)
            clients.append(hanging.enter_context(client))
            slow(client, BEGINNINGS[number % len(BEGINNINGS)])
            slow(dice.choice(clients), b"y")
            if number % 100 == 99:
                assert daemon.get("/healthz")[0] == 200
                assert daemon.get("/metrics")[0] == 200
        for camera in CAMERAS:
            daemon.more_results(camera)
        crowded = daemon.holds()
        assert crowded[0] - before[0] < 100
        assert crowded[1] - before[1] < 100
        assert pss_mb(pid) - size_mb < 50
        hanging.close()
        daemon.wait_for(
            lambda: all(now <= then for now, then in zip(daemon.holds(), before, strict=True))
        )
        assert "Traceback" not in daemon.text
        assert daemon.stop()[0] == 0


def slow(client: socket.socket, piece: bytes) -> None:
    """Send it, to a server that may have ended the connection."""
    try:
        client.sendall(piece)
    except OSError:
        return

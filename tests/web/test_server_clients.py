"""Clients that are slow, silent, many, odd or gone: none of them keeps others out."""

from __future__ import annotations

import logging
import resource
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily

from edged.web.connections import Connections
from edged.web.handler import HEAD_BYTES
from edged.web.options import HttpConfig
from edged.web.server import HttpServer
from tests.rig.http_server import Scripted, connect, raw, read_all, request, serving
from tests.rig.live import ShownCamera, endpoints_of, live_of
from tests.rig.results import make_result
from tests.rig.waiting import eventually

# --- bounds


def test_the_oldest_that_has_not_asked_makes_room() -> None:
    with serving(connections=2, connection_seconds=60) as server, ExitStack() as hanging:
        first, second = (hanging.enter_context(connect(server)) for _ in range(2))
        first.sendall(b"GET /hea")
        assert request(server, "/healthz")[0] == 200
        assert first.recv(1) == b""
        second.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert read_all(second).startswith(b"HTTP/1.1 200 ")


def test_two_hundred_silent_clients_do_not_keep_anybody_out() -> None:
    with serving(connection_seconds=60) as server, ExitStack() as hanging:
        for _ in range(200):
            hanging.enter_context(connect(server)).sendall(b"GET /metrics HTTP/1.1\r\nX:")
        for _ in range(5):
            assert request(server, "/healthz")[0] == 200


def test_without_descriptors_it_waits_for_some() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving() as server, socket.socket() as client:
        assert request(server, "/healthz")[0] == 200
        client.settimeout(10)
        (loop,) = [thread for thread in threading.enumerate() if thread.name == "http"]
        assert loop.ident is not None
        cpu = time.pthread_getcpuclockid(loop.ident)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            before_ns, progress_ns = time.clock_gettime_ns(cpu), server.turn.at_ns
            time.sleep(1)
            assert time.clock_gettime_ns(cpu) - before_ns < 50_000_000
            assert server.turn.at_ns > progress_ns  # it has not stopped
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert read_all(client).startswith(b"HTTP/1.1 200 ")


def test_who_makes_room() -> None:
    connections = Connections(2, seconds=60)
    pairs = [socket.socketpair() for _ in range(5)]
    (asking, its), (silent, silents), (stream, streams), (fourth, _), (fifth, _) = pairs
    with ExitStack() as closed:
        for pair in pairs:
            for each in pair:
                closed.enter_context(each)
        assert not connections.admit(stream, 0)
        connections.asked(stream)
        connections.never_ends(stream)
        assert not connections.admit(asking, 0)
        connections.asked(asking)
        assert not connections.admit(silent, 1)
        assert connections.admit(fourth, 2)
        assert silents.recv(1) == b""
        connections.asked(fourth)
        assert connections.admit(fifth, 3)
        assert its.recv(1) == b""
        connections.leave(fifth)
        connections.cut_off(1000)
        streams.setblocking(False)
        with pytest.raises(BlockingIOError):  # a stream has no deadline
            streams.recv(1)


@pytest.mark.parametrize("piece", [b"", b"G", b"X: y\r\n"], ids=["silent", "bytes", "headers"])
def test_a_slow_client_is_cut_off(piece: bytes) -> None:
    with serving(connection_seconds=0.5) as server, connect(server) as client:
        begun = time.monotonic()
        client.settimeout(0.1)
        eventually(lambda: is_ended(client, piece))
        assert time.monotonic() - begun >= 0.4
        assert request(server, "/healthz")[0] == 200


def is_ended(client: socket.socket, piece: bytes) -> bool:
    """Send another piece; True when the server has ended the connection."""
    try:
        client.sendall(piece)
        return client.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_client_that_does_not_read_is_cut_off() -> None:
    registry, scripted = CollectorRegistry(), Scripted()
    scripted.collected = GaugeMetricFamily("big", "x" * 20_000_000, 1.0)  # no buffer holds it
    registry.register(scripted)
    with serving(registry, connection_seconds=0.5) as server, connect(server) as client:
        before = len(threading.enumerate())
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        eventually(lambda: len(threading.enumerate()) <= before)
        scripted.collected = GaugeMetricFamily("small", "A small one.", 1.0)
        assert request(server, "/metrics")[0] == 200


@pytest.mark.timeout(120)
def test_a_stream_that_nobody_reads_ends_though_buffers_hold_it() -> None:
    live = live_of(ShownCamera("door"))
    with (
        HttpServer(
            HttpConfig("127.0.0.1", 0), endpoints_of(live=live), connection_seconds=0.5
        ) as server,
        socket.socket() as client,
    ):
        before = len(threading.enumerate())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.settimeout(10)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /api/v1/results HTTP/1.1\r\n\r\n")
        client.recv(10)
        for sequence in range(50):  # more than its machine takes, much less than ours holds
            live.observe(make_result(sequence=sequence))
        eventually(lambda: len(threading.enumerate()) <= before, seconds=60)


def test_long_heads_are_refused() -> None:
    long_header = b"GET / HTTP/1.1\r\nX: " + b"y" * (3 * HEAD_BYTES) + b"\r\n\r\n"
    long_path = b"GET /" + b"y" * (3 * HEAD_BYTES) + b" HTTP/1.1\r\n\r\n"
    many = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n"
    with serving() as server:
        for head in (long_header, long_path, many):
            assert raw(server, head).startswith(b"HTTP/1.1 431 ")
        endless = raw(server, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 3000)
        assert endless.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\n\n", b"200"),
        (b"GET /metrics HTTP/0.9\r\n\r\n", b"200"),
        (b"GET /nothing\r\n\r\n", b"404"),
        (b"GET / HTTP/x\r\n\r\n", b"400"),
        (b"GET / HTTP/3.0\r\n\r\n", b"505"),
        (b"one two three four\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),  # TLS
        (b"GET http://localhost/metrics HTTP/1.1\r\nHost: elsewhere\r\n\r\n", b"200"),
        (b"GET HTTP://127.0.0.1:9640/metrics?x=y HTTP/1.1\r\n\r\n", b"200"),
        (b"GET http://localhost HTTP/1.1\r\n\r\n", b"200"),
        (b"GET http://localhost?x=y HTTP/1.1\r\n\r\n", b"200"),
        (b"GET http://localhost/nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"GET http:///metrics HTTP/1.1\r\n\r\n", b"404"),
        (b"GET ftp://localhost/metrics HTTP/1.1\r\n\r\n", b"404"),
        (b"GET http://elsewhere/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"421"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /api/v1/cameras/../snapshot.jpg HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /?" + b"a=b&" * 100 + b" HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_odd_requests_get_a_status_line(data: bytes, status: bytes) -> None:
    with serving() as server:
        assert raw(server, data).startswith(b"HTTP/1.1 " + status)
        assert request(server, "/healthz")[0] == 200


def test_clients_that_leave_early_leave_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving() as server:
        for data in (b"", b"\r\n\r\n", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with connect(server) as client:
                client.sendall(data)
        eventually(lambda: request(server, "/healthz")[0] == 200)
    assert caplog.text == ""


def test_a_failing_endpoint_is_500_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    registry, scripted = CollectorRegistry(), Scripted()
    registry.register(scripted)
    scripted.collected = RuntimeError("a counter is gone")
    with serving(registry) as server:
        for _ in range(3):
            assert request(server, "/metrics")[0] == 500
            assert request(server, "/healthz")[0] == 200
        assert len(caplog.records) == 1
        assert "a counter is gone" in caplog.text
        scripted.collected = GaugeMetricFamily("small", "A small one.", 1.0)
        assert request(server, "/metrics")[0] == 200
        scripted.collected = RuntimeError("gone again")
        assert request(server, "/metrics")[0] == 500
    assert len(caplog.records) == 2

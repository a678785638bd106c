"""A real server and real sockets: what is answered, and that no client can hold it up."""

from __future__ import annotations

import gzip
import http.client
import logging
import resource
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edged.clock import monotonic_ns
from edged.errors import EdgedError
from edged.web.connections import Connections
from edged.web.handler import HEAD_BYTES
from edged.web.options import HttpConfig
from edged.web.server import HttpServer
from tests.rig.camera import wait_until
from tests.rig.live import Device, ShownCamera, endpoints_of, live_of, result
from tests.rig.waiting import eventually

NOW_NS = 1_000_000_000_000


class Scripted(Collector):
    """Yields what the test put into `collected`, or raises it."""

    def __init__(self) -> None:
        self.collected: Metric | Exception = GaugeMetricFamily("small", "A small one.", 1.0)

    def collect(self) -> Iterator[Metric]:
        if isinstance(self.collected, Exception):
            raise self.collected
        yield self.collected


def make_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    return registry


@contextmanager
def serving(
    registry: CollectorRegistry | None = None,
    device: Device | None = None,
    *,
    host: str = "127.0.0.1",
    connections: int = 8,
    connection_seconds: float = 5.0,
) -> Iterator[HttpServer]:
    with HttpServer(
        HttpConfig(host, 0),
        endpoints_of(device, registry or make_registry()),
        connections=connections,
        connection_seconds=connection_seconds,
    ) as server:
        yield server


def request(
    server: HttpServer,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    host: str = "127.0.0.1",
) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection(host, server.port, timeout=10)) as connection:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def raw(server: HttpServer, data: bytes) -> bytes:
    """Everything that comes back until the server ends the connection."""
    with connect(server) as client:
        client.sendall(data)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    received = b""
    while more := client.recv(65536):
        received += more
    return received


# --- what is answered


def test_metrics_are_text_unless_openmetrics_is_asked_for() -> None:
    with serving() as server:
        status, headers, body = request(server, "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b"things_total 3.0\n" in body
        accept = "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.3"
        status, headers, body = request(server, "/metrics", headers={"Accept": accept})
        assert status == 200
        assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert body.endswith(b"# EOF\n")


def test_metrics_are_packed_if_asked() -> None:
    with serving() as server:
        _, headers, packed = request(server, "/metrics", headers={"Accept-Encoding": "gzip"})
        assert headers["Content-Encoding"] == "gzip"
        assert b"things_total 3.0\n" in gzip.decompress(packed)
        _, headers, _ = request(server, "/metrics", headers={"Accept-Encoding": "br"})
        assert headers["Content-Encoding"] is None


def test_a_query_and_a_head_request() -> None:
    with serving() as server:
        status, headers, body = request(server, "/metrics?name=x")
        assert (status, headers["Content-Length"]) == (200, str(len(body)))
        status, headers, nothing = request(server, "/metrics", "HEAD")
        assert (status, headers["Content-Length"], nothing) == (200, str(len(body)), b"")


def test_unknown_paths_and_methods() -> None:
    with serving() as server:
        for path in ("/nothing", "/metrics/", "/metrics/x", "/favicon.ico"):
            assert request(server, path)[0] == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
            status, headers, _ = request(server, "/metrics", method)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_a_body_does_not_turn_the_answer_into_a_reset() -> None:
    head = b"POST /metrics HTTP/1.1\r\nContent-Length: 100000\r\n\r\n"
    with serving() as server, connect(server) as client:
        client.sendall(head)
        for _ in range(10):  # a client that looks for the answer only after its last byte
            client.sendall(b"x" * 10_000)
            time.sleep(0.02)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).startswith(b"HTTP/1.1 405 ")


def test_nothing_tells_the_version_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving() as server:
        for path in ("/", "/metrics", "/healthz", "/readyz", "/nothing"):
            _, headers, _ = request(server, path)
            assert "Server" not in headers
        assert b"ython" not in raw(server, b"GET / HTTP/9.9\r\n\r\n")
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


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
            live.observe(result(sequence=sequence))
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


# --- start and stop


def test_a_port_in_use_says_what_to_do() -> None:
    with serving() as server:
        with pytest.raises(EdgedError, match=r"^127\.0\.0\.1:\d+: .*in use.*http: \{listen") as got:
            HttpServer(HttpConfig("127.0.0.1", server.port), endpoints_of())
        assert got.value.exit_status == 1


def test_an_address_that_is_not_ours_says_so() -> None:
    with pytest.raises(EdgedError, match=r"192\.0\.2\.1:0: cannot listen for HTTP"):
        HttpServer(HttpConfig("192.0.2.1", 0), endpoints_of())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".invalid", ".b"])
def test_a_name_that_no_address_has_says_so(host: str) -> None:
    with pytest.raises(EdgedError, match=f"http.listen: {host}:0: no address .*an address of this"):
        HttpServer(HttpConfig(host, 0), endpoints_of())


def test_the_free_port_is_told() -> None:
    with serving() as server:
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost"])
def test_the_link_that_is_told_can_be_opened(host: str) -> None:
    try:
        with serving(host=host) as server:
            assert "0.0.0.0" not in server.url and "[::]" not in server.url
            with urllib.request.urlopen(f"{server.url}/", timeout=10) as answer:
                assert answer.status == 200
    except EdgedError:
        pytest.skip("this machine has no IPv6")


def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with serving(host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert request(server, "/healthz", host="::1")[0] == 200


def test_the_port_can_be_used_again_at_once() -> None:
    with serving() as server:
        request(server, "/metrics")
        port = server.port
    HttpServer(HttpConfig("127.0.0.1", port), endpoints_of()).__enter__().__exit__()


def test_stops_within_a_second_while_clients_hang() -> None:
    before = set(threading.enumerate())
    with ExitStack() as clients:
        with serving(connection_seconds=60) as server:
            for data in (b"", b"GET / HTT", b"GET /metrics HTTP/1.1\r\nX: y\r\n"):
                clients.enter_context(connect(server)).sendall(data)
            assert request(server, "/healthz")[0] == 200
            eventually(lambda: len(set(threading.enumerate()) - before) == 4)
            begun = time.monotonic()
        assert time.monotonic() - begun < 1
        eventually(lambda: not set(threading.enumerate()) - before)


def test_another_address_of_the_same_port_takes_over() -> None:
    with serving() as old:
        with pytest.raises(EdgedError, match="Address already in use"):
            HttpServer(HttpConfig("0.0.0.0", old.port), endpoints_of())
        with HttpServer(HttpConfig("0.0.0.0", old.port), endpoints_of(), beside=old) as new:
            with pytest.raises(EdgedError, match="Address already in use"):
                HttpServer(HttpConfig("127.0.0.1", old.port), endpoints_of())  # another daemon
            old.close()
            assert request(new, "/healthz")[0] == 200
            with HttpServer(HttpConfig("127.0.0.1", new.port), endpoints_of(), beside=new) as back:
                new.close()
                assert request(back, "/healthz")[0] == 200


def test_the_loop_that_accepts_shows_its_progress_until_it_hangs() -> None:
    with serving() as server:
        before_ns = server.turn.at_ns
        assert wait_until(lambda: server.turn.at_ns > before_ns)
        hanging = threading.Event()
        server._server.service_actions = hanging.wait  # type: ignore[method-assign]
        try:
            assert wait_until(lambda: monotonic_ns() - server.turn.at_ns > 1e9)
        finally:
            hanging.set()

"""A real server and real sockets: what is answered, and that no client can hold it up."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edged.errors import EdgedError
from edged.telemetry import CameraHealth, Health, stuck_loops
from edged.telemetry.http import HEAD_BYTES, Endpoints, HttpServer

NOW_NS = 1_000_000_000_000


@dataclass
class Device:
    """The daemon's side of the health endpoints."""

    loops: dict[str, int] = field(default_factory=dict)
    cameras: list[CameraHealth] = field(default_factory=list)

    @property
    def health(self) -> Health:
        return Health(loops=lambda: self.loops, cameras=lambda: self.cameras)


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
        host,
        0,
        registry or make_registry(),
        (device or Device()).health,
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


@pytest.mark.parametrize("version", ["1.0.x", "x", "", "1..0", "9" * 5000, "²"])
def test_a_version_that_is_none_still_gets_metrics(version: str) -> None:
    accept = f"application/openmetrics-text; version={version}"
    answer = Endpoints(make_registry(), Device().health).answer("GET", "/metrics", accept)
    assert answer.status == 200
    assert b"things_total 3.0\n" in answer.body


def test_a_query_and_a_head_request() -> None:
    with serving() as server:
        status, headers, body = request(server, "/metrics?name=x")
        assert (status, headers["Content-Length"]) == (200, str(len(body)))
        status, headers, nothing = request(server, "/metrics", "HEAD")
        assert (status, headers["Content-Length"], nothing) == (200, str(len(body)), b"")


def test_the_page_links_what_there_is() -> None:
    with serving() as server:
        status, headers, body = request(server, "/")
        assert status == 200
        assert headers["Content-Type"].startswith("text/html")
        assert body.count(b"\n") == 1
        for path in ("/metrics", "/healthz", "/readyz"):
            assert f'href="{path}"'.encode() in body
            assert request(server, path)[0] == 200


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


# --- health


def test_healthz_names_the_loop_that_is_stuck() -> None:
    device = Device(loops={"main": NOW_NS - 100_000_000, "pipeline": NOW_NS - 4_900_000_000})
    endpoints = Endpoints(make_registry(), device.health, 5.0, clock=lambda: NOW_NS)
    answer = endpoints.answer("GET", "/healthz")
    assert answer.status == 200
    assert json.loads(answer.body) == {"healthy": True, "stuck_seconds": {}}

    device.loops["pipeline"] = NOW_NS - 7_500_000_000
    answer = endpoints.answer("GET", "/healthz")
    assert answer.status == 503
    assert json.loads(answer.body) == {"healthy": False, "stuck_seconds": {"pipeline": 7.5}}


def test_stuck_loops_at_the_limit() -> None:
    loops = {"at": NOW_NS - 5_000_000_000, "beyond": NOW_NS - 5_000_000_001, "ahead": NOW_NS + 1}
    assert list(stuck_loops(loops, NOW_NS, 5.0)) == ["beyond"]


@pytest.mark.parametrize(
    ("state", "has_result", "ready"),
    [
        ("starting", False, False),
        ("streaming", False, False),
        ("streaming", True, True),
        ("starting", True, True),
        ("stalled", False, True),
        ("backoff", False, True),
        ("ended", False, True),
    ],
)
def test_a_camera_is_ready_with_a_result_or_when_known_to_be_down(
    state: str, has_result: bool, ready: bool
) -> None:
    assert CameraHealth("door", state, has_result).ready is ready


def test_readyz_waits_for_every_camera() -> None:
    secret = "cannot open rtsp://admin:hunter2@10.0.0.9/1: refused"
    device = Device(
        cameras=[
            CameraHealth("door", "streaming", has_result=True),
            CameraHealth("yard", "backoff", has_result=False, last_error=secret),
            CameraHealth("roof", "starting", has_result=False),
        ]
    )
    with serving(device=device) as server:
        status, headers, body = request(server, "/readyz")
        assert (status, headers["Content-Type"]) == (503, "application/json")
        answer = json.loads(body)
        assert answer["ready"] is False
        assert answer["cameras"]["door"] == {
            "state": "streaming",
            "ready": True,
            "last_error": None,
        }
        assert answer["cameras"]["yard"]["ready"] is True
        assert answer["cameras"]["roof"]["ready"] is False
        assert "refused" in answer["cameras"]["yard"]["last_error"]
        assert b"hunter2" not in body

        device.cameras[2] = CameraHealth("roof", "streaming", has_result=True)
        assert request(server, "/readyz")[0] == 200


# --- bounds


def test_too_many_connections_are_turned_away_and_room_comes_back() -> None:
    with serving(connections=2) as server, ExitStack() as hanging:
        holders = [hanging.enter_context(connect(server)) for _ in range(2)]
        eventually(lambda: raw_or_reset(server).startswith((b"HTTP/1.1 503 ", b"reset")))
        holders[0].close()
        eventually(lambda: raw_or_reset(server).startswith(b"HTTP/1.1 200 "))


def raw_or_reset(server: HttpServer) -> bytes:
    """A connection that is turned away while the request travels may end in a reset."""
    try:
        return raw(server, b"GET /healthz HTTP/1.1\r\n\r\n")
    except (ConnectionResetError, BrokenPipeError):
        return b"reset"


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
    with (
        serving(registry, connections=1, connection_seconds=0.5) as server,
        connect(server) as client,
    ):
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        eventually(lambda: raw_or_reset(server).startswith(b"HTTP/1.1 200 "))


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
        (b"GET / HTTP/x\r\n\r\n", b"400"),
        (b"GET / HTTP/3.0\r\n\r\n", b"505"),
        (b"one two three four\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),  # TLS
        (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", b"404"),
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
            HttpServer("127.0.0.1", server.port, make_registry(), Device().health)
        assert got.value.exit_status == 1


def test_an_address_that_is_not_ours_says_so() -> None:
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(EdgedError, match=host):
            HttpServer(host, 0, make_registry(), Device().health)


def test_the_free_port_is_told() -> None:
    with serving() as server:
        assert server.port > 0
        assert server.address == f"127.0.0.1:{server.port}"


def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with serving(host="::1") as server:
        assert server.address == f"[::1]:{server.port}"
        assert request(server, "/healthz", host="::1")[0] == 200


def test_the_port_can_be_used_again_at_once() -> None:
    with serving() as server:
        request(server, "/metrics")
        port = server.port
    HttpServer("127.0.0.1", port, make_registry(), Device().health).__enter__().__exit__()


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


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_another_address_of_the_same_port_takes_over() -> None:
    health = Device().health
    with serving() as old:
        with pytest.raises(EdgedError, match="Address already in use"):
            HttpServer("0.0.0.0", old.port, make_registry(), health)
        with HttpServer("0.0.0.0", old.port, make_registry(), health, beside=old) as new:
            with pytest.raises(EdgedError, match="Address already in use"):
                HttpServer("127.0.0.1", old.port, make_registry(), health)  # another daemon
            old.close()
            assert request(new, "/healthz")[0] == 200
            with HttpServer("127.0.0.1", new.port, make_registry(), health, beside=new) as back:
                new.close()
                assert request(back, "/healthz")[0] == 200

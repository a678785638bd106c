"""A real server and real sockets: what is answered, and that no client can hold it up."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
import urllib.request
from contextlib import ExitStack

import pytest

from edged.clock import monotonic_ns
from edged.errors import EdgedError
from edged.web.options import HttpConfig
from edged.web.server import HttpServer
from tests.rig.camera import wait_until
from tests.rig.http_server import connect, raw, read_all, request, serving
from tests.rig.live import endpoints_of
from tests.rig.waiting import eventually

NOW_NS = 1_000_000_000_000


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
    with pytest.raises(
        EdgedError, match=f"http.listen: {host}:0: cannot resolve .*an address of this"
    ):
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


def test_clients_that_hang_do_not_hold_up_the_end() -> None:
    """It would last an hour if the server waited for them."""
    before = set(threading.enumerate())
    with ExitStack() as clients:
        with serving(connection_seconds=3600) as server:
            for data in (b"", b"GET / HTT", b"GET /metrics HTTP/1.1\r\nX: y\r\n"):
                clients.enter_context(connect(server)).sendall(data)
            assert request(server, "/healthz")[0] == 200
            eventually(lambda: len(set(threading.enumerate()) - before) == 4)
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

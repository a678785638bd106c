"""The webhook and real HTTP servers, good and bad."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.sinks.backlog import MOST_EVENTS, MOST_RESULTS
from edged.sinks.tls import TlsClient
from edged.sinks.webhook.webhook import Webhook
from tests.rig.certificates import Authority
from tests.rig.results import make_result
from tests.rig.waiting import eventually
from tests.rig.webhook import EVENT, config_for, serving, started, told


def test_each_event_is_a_post_over_one_connection() -> None:
    with serving(200) as server, started(config_for(server.server_port)) as sink:
        seconds: list[float] = []
        sink.observe_delivery = seconds.append
        sink.publish(make_result(1))
        sink.publish_event(EVENT)
        sink.publish_event(replace(EVENT, ended_unix_ns=10**18 + 10**9, snapshot=None))
        eventually(lambda: sink.delivered == 2)
    (path, headers, body), (_, _, second) = server.got
    assert (path, headers["Authorization"]) == ("/hook/s3cret", "Bearer t0ken")
    assert headers["Content-Type"] == "application/json"
    begun = json.loads(body)
    assert (begun["event"], begun["state"], begun["snapshot"]) == (
        "visitor",
        "started",
        "cGljdHVyZQ==",
    )
    assert json.loads(second)["state"] == "ended"
    assert len(seconds) == 2
    assert not any(sink.dropped.values())


def test_results_where_they_are_wanted() -> None:
    with serving(201, 200) as server:
        config = replace(config_for(server.server_port), results=True, events=False)
        with started(config) as sink:
            sink.publish_event(EVENT)
            for sequence in range(20):
                sink.publish(make_result(sequence))
        assert [json.loads(body)["sequence"] for _, _, body in server.got] == list(range(20))


def test_a_failure_is_tried_again_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with (
        serving(500, 503, 200) as server,
        started(config_for(server.server_port), lasting_seconds=0.05) as sink,
    ):
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 1)
        assert len(server.got) == 3
        eventually(lambda: "again" in caplog.text)  # though nothing more is sent
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 2)
    told = [each.getMessage() for each in caplog.records]
    assert "status 500" in told[0]
    assert "again" in told[-1]
    assert len(told) <= 3
    assert "s3cret" not in caplog.text
    assert "t0ken" not in caplog.text


def test_a_server_that_never_answers_blocks_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = replace(config_for(silent.getsockname()[1]), results=True, timeout_seconds=0.05)
        with started(config) as sink:
            count = 20_000
            publisher = threading.Thread(
                target=lambda: [sink.publish(make_result(each)) for each in range(count)],
                daemon=True,
            )
            publisher.start()
            publisher.join(60)
            assert not publisher.is_alive()
            assert sink.dropped["queue_full"] > 0
            for _ in range(2 * MOST_EVENTS):
                sink.publish_event(EVENT)
            eventually(lambda: "request timed out" in caplog.text)
            assert len(sink._backlog) <= MOST_RESULTS + MOST_EVENTS
        assert sink.delivered == 0
        assert sum(sink.dropped.values()) == count + 2 * MOST_EVENTS


def test_a_server_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started(config_for(port)) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: caplog.records != [])
    assert sink.dropped["closed"] == sum(sink.dropped.values()) == 1
    assert [text for each in caplog.records if str(port) in (text := each.getMessage())] == [
        f"webhook: 127.0.0.1:{port}: connection refused"
    ]


def test_one_that_hung_up_meanwhile_is_called_again() -> None:
    with serving(200) as server, started(config_for(server.server_port)) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 1)
        assert sink._connection is not None
        sink._connection.sock.shutdown(socket.SHUT_RDWR)
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 2)


def test_answers_in_turn_are_not_told_in_turn(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with (
        serving(*[200, 400, 422] * 30, 200) as server,
        started(replace(config_for(server.server_port), results=True)) as sink,
    ):
        for sequence in range(90):
            sink.publish(make_result(sequence))
        eventually(lambda: sink.delivered + sink.dropped["refused"] == 90)
    assert sink.dropped["refused"] == 60
    (line,) = told(caplog)
    assert line.endswith("the server answered with status 400; not retried")


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that gives each connection this answer to its first request; its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with suppress(OSError):
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(30)


def _drip(head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(drop)
            time.sleep(0.01)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        _drip(b"HTTP/1.1 200 OK\r\n", b"X"),
        _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"X"),
        _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["headers", "body", "continue"],
)
def test_an_answer_in_drops_ends_in_time(
    answer: Callable[[socket.socket], None], caplog: pytest.LogCaptureFixture
) -> None:
    with answering(answer) as port:
        config = replace(config_for(port), timeout_seconds=0.2)
        with started(config) as sink:
            sink.publish_event(EVENT)
            eventually(lambda: caplog.records != [])
    assert sink.delivered == 0
    assert sink.dropped["closed"] == 1
    assert [each.getMessage() for each in caplog.records] == [
        f"webhook: 127.0.0.1:{port}: request timed out"
    ]


@pytest.mark.parametrize("status", [103, 199, 302, 304, 404])
def test_only_a_status_of_success_is_one(status: int, caplog: pytest.LogCaptureFixture) -> None:
    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 %d Thus\r\nContent-Length: 0\r\n\r\n" % status)

    with answering(answer) as port, started(config_for(port)) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: caplog.records != [])
    assert sink.delivered == 0
    assert sink.dropped["closed"] == 1


def test_a_server_that_closes_after_each_answer_is_called_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    with answering(answer) as port, started(config_for(port)) as sink:
        for count in (1, 2):
            sink.publish_event(EVENT)
            eventually(lambda: sink.delivered == count)  # noqa: B023 - asked at once
    assert not any(sink.dropped.values())
    assert caplog.records == []


def test_whatever_an_attempt_fails_of_the_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """No host that could be looked up, and a result that is no JSON."""
    with started(replace(config_for(1), host="hooks..example")) as sink:
        for _ in range(2):
            sink.publish_event(EVENT)
        eventually(lambda: caplog.records != [])
    assert sink.dropped["closed"] == 2
    assert [each.getMessage() for each in caplog.records] == [
        "webhook: hooks..example:1: request failed (UnicodeError)"
    ]
    with serving(200) as server:
        config = replace(config_for(server.server_port), results=True)
        with started(config) as sink:
            for score in (float("nan"), 0.5):
                sink.publish(make_result(1, score))
            sink.publish_event(replace(EVENT, started_unix_ns=10**30))
            sink.publish_event(EVENT)
            eventually(lambda: sink.delivered == 2)
    assert sink.dropped["refused"] == 2


@pytest.mark.parametrize("is_started", [True, False])
def test_after_the_end_all_is_accounted_for(is_started: bool) -> None:
    """Also what is under way to a server that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = replace(config_for(silent.getsockname()[1]), results=True)
        sink = Webhook(config)
        for sequence in range(2 * MOST_RESULTS):
            sink.publish(make_result(sequence))
        if is_started:
            sink.start()
            client = silent.accept()[0]
        sink.close(0.05)
        assert sink.delivered == 0
        assert sink.dropped["closed"] == MOST_RESULTS
        assert sum(sink.dropped.values()) == 2 * MOST_RESULTS
        if is_started:
            client.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_to_whom_speaks_none_and_the_other_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Authority(tmp_path).certificate("good")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    for secure_server, tls, said in (
        (False, TlsClient(), "does not use TLS, write http://"),
        (True, None, "if that port uses TLS, write https://"),
        (True, TlsClient(), "set ca_file to it"),
    ):
        caplog.clear()
        with (
            serving(200, tls=context if secure_server else None) as server,
            started(config_for(server.server_port, tls)) as sink,
        ):
            sink.publish_event(EVENT)
            eventually(lambda: said in caplog.text)  # noqa: B023 - asked at once


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_certificates_are_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    for name, expired in (("good", False), ("old", True)):
        pair = authority.certificate(name, expired=expired)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        with serving(200, tls=context) as server:
            port = server.server_port
            with started(config_for(port, TlsClient(authority.ca))) as sink:
                sink.publish_event(EVENT)
                eventually(lambda: bool(sink.delivered or "has expired" in caplog.text))
            assert sink.delivered == (not expired)
    assert "certificate has expired" in caplog.text


def test_a_file_that_is_no_certificate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    os.mkfifo(tmp_path / "pipe")  # OpenSSL would wait for it
    for name in ("ca.pem", "missing.pem", "pipe"):
        with pytest.raises(EdgedError, match=f"{name}: cannot be used for TLS as ca_file"):
            Webhook(config_for(1, TlsClient(tmp_path / name)))


def test_which_file_cannot_be_used_and_why(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other = authority.certificate("one"), authority.certificate("other")
    missing = tmp_path / "missing"
    for certificate, key, said in (
        (missing, one.key, "missing: cannot be used for TLS as certificate_file .got No such file"),
        (one.certificate, missing, "missing: cannot be used for TLS as key_file .got No such file"),
        (one.key, one.certificate, "key_file .*one.pem .got .*certificate before its chain"),
        (one.certificate, other.key, "key_file .*other.key .got .*MISMATCH"),
    ):
        with pytest.raises(EdgedError, match=said):
            Webhook(config_for(1, TlsClient(None, certificate, key)))

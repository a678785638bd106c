"""The webhook and real HTTP servers, good and bad."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edged.config.results import TlsClient, WebhookConfig
from edged.errors import EdgedError
from edged.frame import Event
from edged.secret import Secret, SourceUrl
from edged.sinks import event_to_json
from edged.sinks.backlog import MOST_EVENTS, MOST_RESULTS
from edged.sinks.webhook import Webhook
from tests.certificates import Authority
from tests.test_jsonl import eventually, make_result

EVENT = Event("door", "visitor", 10**18, None, 0.7, b"picture")


class Server(http.server.ThreadingHTTPServer):
    """answers: status codes, the last one for ever. headers: of each answer. judge: the status for
    a body, in place of answers."""

    def __init__(
        self,
        *answers: int,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        judge: Callable[[bytes], int] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.answers = list(answers)
        self.headers = headers or {}
        self.judge = judge
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what is tested."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        answers, judge = self.server.answers, self.server.judge
        if judge is not None:
            answers = [judge(body)]
        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(*answers: int, **keys: Any) -> Iterator[Server]:
    with Server(*answers, **keys) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(30)


def config_for(port: int, tls: TlsClient | None = None) -> WebhookConfig:
    url = SourceUrl(f"http://127.0.0.1:{port}/hook/s3cret")
    return WebhookConfig(
        url, tls, "127.0.0.1", port, Secret("/hook/s3cret"), Secret("Bearer t0ken")
    )


@contextmanager
def started(config: WebhookConfig, lasting_seconds: float = 600) -> Iterator[Webhook]:
    sink = Webhook(config, first_pause_seconds=0.01, lasting_seconds=lasting_seconds)
    sink.start()
    try:
        yield sink
    finally:
        sink.close(5)


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


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name.startswith("edged")]


@pytest.mark.parametrize(("status", "in_order_from"), [(503, 0), (404, 0), (500, 2)])
def test_a_failing_server_is_asked_until_it_accepts_and_the_order_stays(
    status: int, in_order_from: int
) -> None:
    """After many answers 500, the second one may come first: they are tried in turn."""
    with serving(*[status] * 30, 200) as server:
        ended = threading.Event()
        sink = Webhook(config_for(server.server_port), wait=lambda seconds: ended.wait(0.001))
        sink.start()
        events = [replace(EVENT, started_unix_ns=10**18 + number * 10**9) for number in range(5)]
        for event in events:
            sink.publish_event(event)
        eventually(lambda: sink.delivered == 5)
        sink.close(5)
    accepted = [json.loads(body)["started_at"] for _, _, body in server.got[30:]]
    assert sorted(accepted) == sorted({each["started_at"] for each in map(event_to_json, events)})
    assert accepted[in_order_from:] == sorted(accepted)[in_order_from:]
    assert not any(sink.dropped.values())


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_message_that_is_refused_is_lost_alone_and_at_once(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(status, 200) as server, started(config_for(server.server_port)) as sink:
        sink.publish_event(EVENT)
        sink.publish_event(replace(EVENT, ended_unix_ns=10**18 + 1))
        eventually(lambda: sink.delivered == 1)
        assert len(server.got) == 2
    assert sink.dropped["refused"] == sum(sink.dropped.values()) == 1
    (line,) = told(caplog)
    assert line.endswith(f"it answered with status {status}; it is not sent again")


def test_a_message_that_alone_fails_again_and_again_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def judge(body: bytes) -> int:
        return 500 if b"2001-09-09T01:46:40" in body else 200

    with serving(judge=judge) as server, started(config_for(server.server_port)) as sink:
        sink.publish_event(EVENT)
        eventually(lambda: len(server.got) > 3)
        for second in range(1, 4):
            sink.publish_event(replace(EVENT, started_unix_ns=10**18 + second * 10**9))
        eventually(lambda: sink.delivered == 3)
        assert sink.dropped["given_up"] == sum(sink.dropped.values()) == 1
    assert told(caplog)[-1] == (
        "webhook: given up, as others are accepted: it answered with status 500"
    )


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (401, {}, "it answered with status 401; see authorization"),
        (404, {}, "it answered with status 404; see the path of the url"),
        (
            302,
            {"Location": "https://other.example:8443/hook/s3cret"},
            "to https://other.example:8443; no redirect is followed: write the new address as url",
        ),
        (307, {"Location": "/hook/s3cret/"}, "it redirects with status 307; no redirect is"),
        (302, {"Location": "https://[::/s3cret"}, "it redirects with status 302; no redirect is"),
        (304, {}, "it answered with status 304"),
    ],
)
def test_what_a_person_can_mend_waits_and_is_named(
    status: int, headers: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(status, headers=headers) as server:
        before = Webhook(config_for(server.server_port), first_pause_seconds=0.01)
        before.start()
        before.publish_event(EVENT)
        eventually(lambda: len(server.got) > 1)
    with serving(200) as server:
        after = Webhook(config_for(server.server_port))
        after.take_over(before)  # as a reload does it
        after.start()
        before.close(5)
        eventually(lambda: after.delivered == 1)
        after.close(5)
    assert not any((before.dropped | after.dropped).values())
    (line,) = told(caplog)
    assert said in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        ("99999999999999999999", 300.0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 300.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.01),
        ("soon", 0.01),
        ("-5", 0.01),
    ],
)
def test_it_waits_as_long_as_the_server_asks_within_reason(asked: str, seconds: float) -> None:
    waited: list[float] = []
    ended = threading.Event()

    def wait(pause_seconds: float) -> bool:
        waited.append(pause_seconds)
        return ended.wait(0.001)

    with serving(503, 200, headers={"Retry-After": asked}) as server:
        sink = Webhook(config_for(server.server_port), first_pause_seconds=0.01, wait=wait)
        sink.start()
        sink.publish_event(EVENT)
        eventually(lambda: sink.delivered == 1)
        sink.close(5)
    assert len(waited) == 1
    assert waited[0] <= seconds
    assert waited[0] == seconds or seconds < 1


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
            eventually(lambda: "no answer in time" in caplog.text)
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
    assert line.endswith("it answered with status 400; it is not sent again")


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
        f"webhook: 127.0.0.1:{port}: no answer in time"
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
        "webhook: hooks..example:1: the request failed (UnicodeError)"
    ]
    with serving(200) as server:
        config = replace(config_for(server.server_port), results=True)
        with started(config) as sink:
            for score in (float("nan"), 0.5):
                sink.publish(make_result(1, score))
            eventually(lambda: sink.delivered == 1)
    assert sink.dropped["refused"] == 1


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
        (False, TlsClient(), "if that port speaks no TLS, write http://"),
        (True, None, "if that port speaks TLS, write https://"),
        (True, TlsClient(), "as ca_file"),
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
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(EdgedError, match=f"{name}: cannot be used for TLS as ca_file"):
            Webhook(config_for(1, TlsClient(tmp_path / name)))


def test_which_file_cannot_be_used_and_why(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other = authority.certificate("one"), authority.certificate("other")
    missing = tmp_path / "missing"
    for certificate, key, said in (
        (missing, one.key, "missing: cannot be used for TLS as certificate_file .got No such file"),
        (one.certificate, missing, "missing: cannot be used for TLS as key_file .got No such file"),
        (one.key, one.certificate, "key_file .*one.pem .got .*certificate comes first"),
        (one.certificate, other.key, "key_file .*other.key .got .*MISMATCH"),
    ):
        with pytest.raises(EdgedError, match=said):
            Webhook(config_for(1, TlsClient(None, certificate, key)))

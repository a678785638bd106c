"""`edged teach NAME add CLASS --from-camera`, against a real HTTP server."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from threading import Thread
from typing import Any

import pytest

from edged.commands.api import TOKEN, Daemon, NoAnswerError
from edged.commands.teach import recording
from tests.rig.certificates import Authority, Pair
from tests.rig.classifiers import made, moment
from tests.rig.command_line import edged

Answer = tuple[int, Any]


class Api:
    """What a daemon would answer. asked: method, path, headers and body of each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.refuse: Answer | None = None
        self.pictures = ["a", "b"]

    def answer(self, method: str, path: str) -> Answer:
        if self.refuse is not None:
            return self.refuse
        if method == "POST":
            return 200, {"moment": moment(7), "pictures": len(self.pictures)}
        others = {"id": moment(1), "label": "open", "pictures": 9 * ["x"]}
        own = {"id": moment(7), "label": "open", "pictures": self.pictures}
        return 200, {"name": "gate", "moments": [others, own]}


@contextmanager
def serving(api: Api, tls: Pair | None = None) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            api.asked.append((self.command, self.path, dict(self.headers), body))
            status, answer = api.answer(self.command, self.path)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command, with a configuration whose daemon has this address."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setattr(recording, "_AGAIN_SECONDS", 0.1)
    made(tmp_path / "teach")

    def add(listen: str, *words: str, tls: Pair | None = None) -> int:
        keys = f"listen: '{listen}'"
        if tls is not None:
            keys += f", tls: {{certificate: {tls.certificate}, key: {tls.key}}}"
        Path("edged.yaml").write_text(
            f"cameras: {{yard: {{source: synthetic}}}}\nhttp: {{{keys}}}\n"
        )
        seconds = () if "--for" in words else ("--for", "0.5s")
        return edged("teach", "gate", "add", "open", "--from-camera", *seconds, *words)

    return add


def test_a_recording_is_held_on_until_its_end(
    api: Api, add: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(api) as port:
        assert add(f"127.0.0.1:{port}") == 0
    assert "recorded 2 pictures of open, which differ, in one moment" in capsys.readouterr().out
    posts = [each for each in api.asked if each[0] == "POST"]
    assert len(posts) >= 2
    bodies = [body for _, _, _, body in posts]
    assert bodies[0]["moment"] is None
    assert {body["moment"] for body in bodies[1:]} == {moment(7)}
    assert {body["label"] for body in bodies} == {"open"}
    assert all(0 < body["seconds"] <= 0.5 for body in bodies)
    for method, path, headers, _ in api.asked:
        assert path == "/api/v1/teach/gate" + ("/record" if method == "POST" else "")
        assert headers["Host"] == f"127.0.0.1:{port}"
        assert "Origin" not in headers
        assert headers.get("Content-Type") == ("application/json" if method == "POST" else None)


def test_any_address_is_reached_on_loopback_with_the_token(
    api: Api, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "secret-token")
    with serving(api) as port:
        assert add(f"0.0.0.0:{port}") == 0
    assert all(each[2]["Authorization"] == "Bearer secret-token" for each in api.asked)


def test_the_daemons_own_certificate_is_trusted_and_no_other(
    api: Api,
    add: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    authority = Authority(tmp_path)
    own, other = authority.certificate("own"), authority.certificate("other")
    with serving(api, own) as port:
        assert add(f"127.0.0.1:{port}", tls=own) == 0
        assert add(f"127.0.0.1:{port}", tls=other) == 1
        assert "the certificate is not trusted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("refusal", "status", "words"),
    [
        ((401, b""), 2, "asks for a login; set EDGED_TOKEN to a token of http.token_hashes"),
        (
            (403, {"error": {"what": "anna may not teach", "got": None, "fix": "http.may"}}),
            2,
            "anna may not teach; http.may",
        ),
        ((404, {"error": {"what": "no such \x1b classifier", "got": "gate"}}), 2, "(got gate)"),
        ((500, b"it broke"), 1, "it broke"),
        ((500, b""), 1, "status 500"),
        ((200, b"nonsense"), 1, "an answer that is not edged's"),
        ((200, {"other": 1}), 1, "an answer that is not edged's"),
    ],
)
def test_what_the_daemon_refuses_is_said(
    api: Api,
    add: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    refusal: Answer,
    status: int,
    words: str,
) -> None:
    api.refuse = refusal
    with serving(api) as port:
        assert add(f"127.0.0.1:{port}") == status
    err = capsys.readouterr().err
    assert words in err and "\x1b" not in err
    assert err.count("\n") == 1


def test_a_daemon_that_is_not_there(
    add: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert add("127.0.0.1:1") == 3
    assert "the daemon does not answer" in capsys.readouterr().err
    for listen in ("none", "127.0.0.1:0"):
        assert add(listen) == 2
        assert "http.listen is none or has port 0" in capsys.readouterr().err


def test_a_camera_without_pictures(
    api: Api, add: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    api.pictures = []
    with serving(api) as port:
        assert add(f"127.0.0.1:{port}") == 1
    assert "no picture of open was recorded" in capsys.readouterr().err


def test_a_daemon_that_does_not_answer_is_not_waited_for() -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        daemon = Daemon(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        with pytest.raises(NoAnswerError, match="does not answer"):
            daemon.get("teach/gate")


@pytest.mark.parametrize(
    "begins", ["HTTP/1.1 200 OK\r\nSlow: ", "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n"]
)
@pytest.mark.parametrize("encrypted", [False, True])
def test_an_answer_that_trickles_is_not_waited_for(
    tmp_path: Path, begins: str, encrypted: bool
) -> None:
    """Each byte comes well within the limit, the last one long after it."""
    context: ssl.SSLContext | None = None
    authority = Authority(tmp_path)
    pair = authority.certificate("127.0.0.1")

    def trickle() -> None:
        connection, _ = server.accept()
        if encrypted:
            own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            own.load_cert_chain(pair.certificate, pair.key)
            connection = own.wrap_socket(connection, server_side=True)
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(begins.encode())
            for _ in range(300):
                time.sleep(0.1)
                connection.sendall(b"H")

    if encrypted:
        context = ssl.create_default_context(cafile=str(authority.ca))
    with create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=trickle)
        thread.start()
        scheme = "https" if encrypted else "http"
        daemon = Daemon(f"{scheme}://127.0.0.1:{server.getsockname()[1]}", context, timeout=0.5)
        with pytest.raises(NoAnswerError, match="does not answer"):
            daemon.get("status")
        thread.join()

"""Bodies of changes over real sockets: when they are read, how large, how slow, how many."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edged.capture.sent.bounds import MOST_PICTURE_BYTES
from edged.web.answer import Answer, Request
from edged.web.changes.body import FREE_BYTES, STEP_BYTES, Bodies
from edged.web.changes.post import Body, Kept, Post
from edged.web.server import HttpServer
from edged.web.teach import ZIP_BYTES
from tests.rig.http_server import connect, raw, read_all, request, serving
from tests.rig.teaching import FakeTeaching, jpeg
from tests.rig.waiting import eventually

UPLOAD = "/api/v1/teach/gate/pictures?class=open"
TRAIN = "/api/v1/teach/gate/train"
SECONDS = 0.6


@pytest.fixture
def teaching() -> FakeTeaching:
    teaching = FakeTeaching()
    teaching.taught("gate")
    return teaching


@pytest.fixture
def server(teaching: FakeTeaching, tmp_path: Path) -> Iterator[HttpServer]:
    with serving(
        teaching=teaching, uploads=tmp_path / "uploads", connection_seconds=SECONDS
    ) as server:
        yield server


def head(path: str, *headers: str, host: str = "127.0.0.1") -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", f"Host: {host}", *headers, "", "")).encode()


def json_head(length: int, *more: str) -> bytes:
    return head(TRAIN, "Content-Type: application/json", f"Content-Length: {length}", *more)


def upload_head(length: int, *more: str, kind: str = "image/jpeg") -> bytes:
    return head(UPLOAD, f"Content-Type: {kind}", f"Content-Length: {length}", *more)


def status_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ")[:3]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Content-Length: 2",), b"415"),
        (("Content-Length: 2", "Content-Type: text/plain"), b"415"),
        (("Content-Length: 2", "Content-Type: application/x-www-form-urlencoded"), b"415"),
        (("Content-Length: 2", "Content-Type: multipart/form-data; boundary=x"), b"415"),
        (("Content-Length: 2", "Content-Type: image/jpeg"), b"415"),
        (("Content-Length: 2", "Content-Type: text/plain; application/json"), b"415"),
        (("Content-Type: application/json",), b"411"),
        (("Content-Type: application/json", "Transfer-Encoding: chunked"), b"501"),
        (
            ("Content-Type: application/json", "Transfer-Encoding: chunked", "Content-Length: 2"),
            b"501",
        ),
        (("Content-Type: application/json", "Content-Length: -2"), b"400"),
        (("Content-Type: application/json", "Content-Length: +2"), b"400"),
        (("Content-Type: application/json", "Content-Length: 2", "Content-Length: 3"), b"400"),
        (("Content-Type: application/json", "Content-Length: " + "9" * 99), b"400"),
        (("Content-Type: application/json", "Content-Length: 65537"), b"413"),
        (("Content-Type: application/json", "Content-Length: 2", "Origin: http://e.vil"), b"403"),
        (("Content-Type: application/json", "Content-Length: 2", "X-Forwarded-For: x"), b"403"),
        (("Content-Type: application/json; charset=utf-8", "Content-Length: 2"), b"200"),
    ],
)
def test_a_head_decides_before_its_body_is_read(
    server: HttpServer, teaching: FakeTeaching, headers: tuple[str, ...], status: bytes
) -> None:
    """No body is sent to those that are refused: they must not wait for it."""
    with connect(server) as client:
        client.sendall(head(TRAIN, *headers))
        if status == b"200":
            client.sendall(b"{}")
        assert status_of(read_all(client)) == status
    assert bool(teaching.asked) is (status == b"200")


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("image/jpeg", MOST_PICTURE_BYTES),
        ("image/png", MOST_PICTURE_BYTES),
        ("application/zip", ZIP_BYTES),
    ],
)
def test_uploads_are_bounded(server: HttpServer, kind: str, most: int) -> None:
    assert status_of(raw(server, upload_head(most + 1, kind=kind))) == b"413"
    with connect(server) as client:
        client.sendall(upload_head(most, "Expect: 100-continue", kind=kind))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_who_waits_to_be_asked_is_asked_once_all_is_well(
    server: HttpServer, teaching: FakeTeaching
) -> None:
    with connect(server) as client:
        client.sendall(json_head(2, "Expect: 100-continue"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert status_of(read_all(client)) == b"200"
    assert len(teaching.asked) == 1
    refused = json_head(2, "Expect: 100-continue", "Origin: http://elsewhere")
    assert status_of(raw(server, refused)) == b"403"
    # Who does not wait is not asked, nor one of HTTP/1.0, nor one that only reads.
    assert status_of(raw(server, json_head(2, "Expect: 100-continue") + b"{}")) == b"200"
    old = json_head(2, "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    with connect(server) as client:
        client.sendall(old)
        time.sleep(0.1)
        client.sendall(b"{}")
        assert status_of(read_all(client)) == b"200"
    reads = b"GET /healthz HTTP/1.1\r\nExpect: 100-continue\r\n\r\n"
    assert status_of(raw(server, reads)) == b"200"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_uploads(server: HttpServer, teaching: FakeTeaching, tmp_path: Path) -> None:
    picture = tmp_path / "large.jpg"
    picture.write_bytes(jpeg(1) + bytes(3_000_000))
    command = ["curl", "-sS", "-H", "Content-Type: image/jpeg", "--data-binary", f"@{picture}"]
    done = subprocess.run([*command, f"{server.url}{UPLOAD}"], capture_output=True, check=True)
    assert json.loads(done.stdout) == {"added": 1, "rejected": []}
    assert teaching.uploaded == [("image/jpeg", picture.stat().st_size)]


def test_a_body_may_come_with_its_head_or_in_pieces(
    server: HttpServer, teaching: FakeTeaching
) -> None:
    assert status_of(raw(server, json_head(2) + b"{}" + b"surplus")) == b"200"
    content = jpeg(3) * 20
    with connect(server) as client:
        whole = upload_head(len(content)) + content
        for at in range(0, len(whole), 999):
            client.sendall(whole[at : at + 999])
        assert status_of(read_all(client)) == b"200"
    assert teaching.uploaded == [("image/jpeg", len(content))]


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (json_head(20) + b"{", b""),
        (json_head(20000) + b"{", b" "),
        (upload_head(10_000_000), b""),
        (upload_head(10_000_000) + b"\xff", b"\0" * 100),
    ],
)
def test_a_slow_body_is_cut_off(
    server: HttpServer, teaching: FakeTeaching, begun: bytes, piece: bytes
) -> None:
    with connect(server) as client:
        client.sendall(begun)
        client.settimeout(0.05)
        eventually(lambda: is_ended(client, piece))
    assert request(server, "/healthz")[0] == 200
    assert not teaching.asked


def is_ended(client: socket.socket, piece: bytes) -> bool:
    try:
        client.sendall(piece)
        return client.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_an_upload_that_keeps_arriving_may_last(server: HttpServer, teaching: FakeTeaching) -> None:
    steps = 6
    with connect(server) as client:
        begun = time.monotonic()
        client.sendall(upload_head(steps * STEP_BYTES))
        for _ in range(steps):
            time.sleep(SECONDS / 3)
            client.sendall(bytes(STEP_BYTES))
        assert time.monotonic() - begun > 1.5 * SECONDS
        assert status_of(read_all(client)) == b"200"
    assert teaching.uploaded == [("image/jpeg", steps * STEP_BYTES)]


def test_what_is_done_with_an_upload_may_last(server: HttpServer, teaching: FakeTeaching) -> None:
    teaching.during_upload = lambda: time.sleep(2.5 * SECONDS)
    assert status_of(raw(server, upload_head(3) + b"abc")) == b"200"


def test_a_client_that_leaves_changes_nothing(
    server: HttpServer, teaching: FakeTeaching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for begun in (json_head(20) + b"{}", upload_head(2_000_000) + bytes(900_000)):
        for _ in range(3):  # more than may upload at once
            with connect(server) as client:
                client.sendall(begun)
    eventually(lambda: status_of(raw(server, upload_head(3) + b"abc")) == b"200")
    assert teaching.asked == [("upload", "gate", "open", "image/jpeg", False)]
    assert caplog.text == ""


def test_two_upload_at_once(server: HttpServer, teaching: FakeTeaching) -> None:
    inside, may_go_on = threading.Semaphore(0), threading.Event()

    def wait() -> None:
        inside.release()
        assert may_go_on.wait(30)

    teaching.during_upload = wait
    with ExitStack() as closing:
        clients = [closing.enter_context(connect(server)) for _ in range(2)]
        for client in clients:
            client.sendall(upload_head(3) + b"abc")
            assert inside.acquire(timeout=30)
        refused = raw(server, upload_head(3, "Expect: 100-continue"))
        assert status_of(refused) == b"429"
        assert b"\r\nRetry-After: 2\r\n" in refused
        assert status_of(raw(server, json_head(2) + b"{}")) == b"200"  # is no upload
        may_go_on.set()
        assert [status_of(read_all(client)) for client in clients] == [b"200"] * 2
        assert status_of(raw(server, upload_head(3) + b"abc")) == b"200"


def test_an_upload_is_a_file_without_a_name(
    server: HttpServer, teaching: FakeTeaching, tmp_path: Path
) -> None:
    found: list[str] = []

    def look() -> None:
        assert list((tmp_path / "uploads").iterdir()) == []
        found.extend(map(target, Path("/proc/self/fd").iterdir()))

    teaching.during_upload = look
    assert status_of(raw(server, upload_head(3) + b"abc")) == b"200"
    assert any(each.startswith(f"{tmp_path}/uploads/") for each in found)


def target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed meanwhile
        return ""


def test_a_disk_without_room_is_told(teaching: FakeTeaching, tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("no folder")
    with serving(teaching=teaching, uploads=tmp_path / "uploads") as server:
        answer = raw(server, upload_head(3, "Expect: 100-continue"))
        assert status_of(answer) == b"507"
        assert b"the device cannot keep this upload" in answer


def test_an_upload_leaves_room_on_the_disk(tmp_path: Path) -> None:
    def make(body: Body) -> Answer:
        raise AssertionError

    post = Post("teach", {"image/jpeg": 1 << 60}, 1.0, make, Kept.FILE)
    free = shutil.disk_usage(tmp_path).free
    for length in (free - FREE_BYTES // 2, 10**14):
        asked = Request("POST", UPLOAD, content_type="image/jpeg", content_length=str(length))
        bodies = Bodies(tmp_path)
        assert bodies.refusal(asked, post) is None
        with bodies.receiving(asked, post, lambda most: b"") as answer:
            assert isinstance(answer, Answer)
            assert answer.status == 507
    assert list(tmp_path.iterdir()) == []


def test_a_failing_change_is_500_without_its_reason(
    server: HttpServer, teaching: FakeTeaching, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a file is gone")

    teaching.during_upload = fail
    for _ in range(2):
        answer = raw(server, upload_head(3) + b"abc")
        assert status_of(answer) == b"500"
        assert b"gone" not in answer
    assert [record.message for record in caplog.records] == [
        "cannot answer POST /api/v1/teach/gate/pictures"
    ]


def test_a_service_does_not_let_its_own_user_change_anything(
    teaching: FakeTeaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This test has the server's user, as a camera's process has the daemon's."""
    monkeypatch.setenv("INVOCATION_ID", "0123456789abcdef")
    with serving(teaching=teaching) as server:
        refused = raw(server, json_head(2, "Expect: 100-continue"))
        assert status_of(refused) == b"403"
        assert b"programs of the daemon's own user may only read" in refused
        assert json.loads(request(server, "/api/v1/teach")[2])["may_change"] is False
        with connect(server) as client:  # whose user nobody knows when it is looked for
            client.sendall(json_head(2) + b"{}")
        time.sleep(0.3)
    assert not teaching.asked

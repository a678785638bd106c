"""`POST /api/v1/classify` over real sockets, with the real decoder and a pipeline."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edged.capture.sent.decoder import PictureDecoder
from edged.pipeline.sent import SentPictures
from edged.variants.family import Fit
from edged.variants.runtime import RunError
from edged.variants.variant import Choice
from edged.web.changes.body import PICTURES
from edged.web.options import HttpConfig
from edged.web.password import PasswordHash
from edged.web.server import HttpServer
from tests.rig.http_server import connect, raw, read_all, request, serving
from tests.rig.live import ShownCamera, Views, live_of
from tests.rig.pictures import claiming, coded, encoded, huge_png, with_exif_orientation
from tests.rig.pipeline import LARGE, SMALL, Device, Feed, Measured, Recorder, make, running
from tests.rig.waiting import eventually

PATH = "/api/v1/classify"
WHITE = encoded(300, 400, (255, 255, 255))
SECONDS = 0.6


@dataclass
class Served:
    server: HttpServer
    sent: SentPictures
    recorder: Recorder = field(default_factory=Recorder)

    def post(
        self, body: bytes, query: str = "", kind: str = "image/jpeg", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        status, _, answer = request(
            self.server,
            f"{PATH}{query}",
            "POST",
            {"Content-Type": kind, **{name.replace("_", "-"): headers[name] for name in headers}},
            body,
        )
        return status, json.loads(answer)

    def error(self, body: bytes, query: str = "", kind: str = "image/jpeg") -> tuple[int, str]:
        status, answer = self.post(body, query, kind)
        return status, answer["error"]["what"]


@contextmanager
def served(
    views: Views | None = None,
    *,
    runs: bool = True,
    connection_seconds: float = 5.0,
    http: HttpConfig | None = None,
    **more: Any,
) -> Iterator[Served]:
    views = views or {"door": {"family": "animals"}}
    with ExitStack() as closing:
        sent, recorder = SentPictures(), Recorder()
        cameras = dict.fromkeys(view.partition("/")[0] for view in views)
        live = live_of(*map(ShownCamera, cameras), views=views)
        if runs:
            feeds = [Feed(view, 500) for view in views]
            profiler = Measured(cheap_ms=1, dear_ms=5, views=views)
            pipeline = make(feeds, recorder, sent=sent, profiler=profiler)
            closing.enter_context(running(pipeline))
        server = closing.enter_context(
            serving(connection_seconds=connection_seconds, http=http, live=live, sent=sent, **more)
        )
        yield Served(server, sent, recorder)


@pytest.fixture(scope="module")
def decoder() -> PictureDecoder:
    return PictureDecoder()


@pytest.fixture
def door(decoder: PictureDecoder) -> Iterator[Served]:
    with served(decoder=decoder) as served_one:
        yield served_one


def head(length: int | str, *more: str, kind: str = "image/jpeg", query: str = "") -> bytes:
    lines = (
        f"POST {PATH}{query} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def status_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ")[:3]


def test_a_picture_is_answered_as_a_result_is(door: Served) -> None:
    status, answer = door.post(WHITE, "?model=animals&budget_ms=30000")
    assert status == 200
    assert list(answer) == [
        *("model", "latency_ms", "budget_ms", "on_time", "variant", "threads", "runtime"),
        *("reason", "stages_ms", "top"),
    ]
    assert answer["model"] == "animals"
    assert (answer["budget_ms"], answer["on_time"]) == (30000, True)
    assert answer["variant"] == LARGE.name
    assert answer["top"] == [{"label": "light", "score": 1.0}]
    assert list(answer["stages_ms"]) == ["decode", "queue", "preprocess", "inference", "publish"]
    assert answer["latency_ms"] == pytest.approx(sum(answer["stages_ms"].values()), abs=0.01)
    assert not door.recorder.results


@pytest.mark.parametrize(
    ("body", "kind", "label"),
    [
        (coded(".png"), "image/png", None),
        (with_exif_orientation(WHITE, 6), "image/jpeg", "light"),
        (encoded(1, 1, (0, 0, 0)), "image/jpeg", "dark"),
        (encoded(3000, 4000, (255, 255, 255)), "IMAGE/JPEG; charset=x", "light"),
        (WHITE, "image/png", "light"),  # as many programs call every picture
    ],
)
def test_pictures(door: Served, body: bytes, kind: str, label: str | None) -> None:
    status, answer = door.post(body, kind=kind)
    assert status == 200
    assert label is None or [each["label"] for each in answer["top"]] == [label]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "neither a JPEG nor a PNG picture"),
        (b"<html></html>", "neither a JPEG nor a PNG picture"),
        (bytes(20_000_000), "neither a JPEG nor a PNG picture"),
        (coded(".bmp"), "neither a JPEG nor a PNG picture"),
        (WHITE[:300], "incomplete picture"),
        (coded(".png")[:100], "incomplete picture"),
        (huge_png(9000), "9000x9000 is too large; the limit is 33,177,600 pixels (7680x4320)"),
        (claiming(".png", 60000), "60000x60000 is too large"),
    ],
    ids=["empty", "html", "zeros", "bmp", "cut jpeg", "cut png", "bomb", "claim"],
)
def test_what_is_no_picture(door: Served, body: bytes, why: str) -> None:
    status, what = door.error(body)
    assert status == 400
    assert what.startswith(f"not classified: {why}")


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("?model=birds", "no such model is loaded"),
        ("?budget_ms=0", "budget_ms: expected milliseconds, more than 0, at most 60000"),
        ("?budget_ms=-1", "budget_ms: expected"),
        ("?budget_ms=nan", "budget_ms: expected"),
        ("?budget_ms=1e9", "budget_ms: expected"),
        ("?budget_ms=fast", "budget_ms: expected"),
        ("?budget_ms=5&budget_ms=6", "budget_ms is given 2 times"),
        ("?budget=5", "unknown key"),
        ("?budget_ms=", "budget_ms: expected"),
        ("?model=", "no such model is loaded"),
        ("?model=../animals", "no such model is loaded"),
        ("?model=%1b%5b2J", "no such model is loaded"),
    ],
)
def test_a_mistake_in_the_query_is_said_before_the_body_is_read(
    door: Served, query: str, what: str
) -> None:
    answer = raw(door.server, head(20_000_000, query=query))
    assert status_of(answer) == b"400"
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["what"].startswith(what)
    assert error["got"] is None or error["got"].isprintable()


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(20_000_001), b"413"),
        (head(5, kind="text/html"), b"415"),
        (head(5, kind="application/x-www-form-urlencoded"), b"415"),
        (head(5, kind="multipart/form-data; boundary=x"), b"415"),
        (head(5, kind="image/webp"), b"415"),
        (head(-5), b"400"),
        (head("x"), b"400"),
        (head(5, "Transfer-Encoding: chunked"), b"501"),
        (head(5).replace(b"Content-Length: 5\r\n", b""), b"411"),
        (head(5).replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"), b"501"),
        (head(5, "Origin: http://evil.example"), b"403"),
        (head(5, "Sec-Fetch-Site: cross-site"), b"403"),
        (head(5).replace(b"Host: 127.0.0.1", b"Host: evil.example"), b"421"),
    ],
)
def test_a_head_decides_before_the_body_is_read(
    door: Served, request_head: bytes, status: bytes
) -> None:
    assert status_of(raw(door.server, request_head)) == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_it_is_posted(door: Served, method: str) -> None:
    status, headers, _ = request(door.server, PATH, method)
    assert (status, headers["Allow"]) == (405, "POST")


def test_which_model_and_whose_budget() -> None:
    views = {
        "yard/gate": {"family": "gate", "budget_ms": 100.0},
        "yard/bin": {"family": "animals", "budget_ms": 20000.0},
        "door": {"family": "animals", "budget_ms": 30.0},
    }
    with served(views) as several:
        status, what = several.error(WHITE)
        assert (status, what) == (400, "say which model")
        _, answer = several.post(WHITE)
        assert answer["error"]["fix"] == "model is one of gate, animals"
        _, answer = several.post(WHITE, "?model=animals")
        assert (answer["model"], answer["budget_ms"]) == ("animals", 20000)
        _, answer = several.post(WHITE, "?model=gate&budget_ms=0.01")
        assert (answer["model"], answer["on_time"]) == ("gate", False)
        assert (answer["variant"], answer["reason"]) == (SMALL.name, "none_fits")


def test_a_model_that_is_not_taught_yet() -> None:
    todo = "no version of gate is deployed yet: edged teach gate"
    with served({"door": {"family": "gate", "to_teach": todo}}) as untaught:
        assert untaught.error(WHITE) == (409, todo)


def test_while_the_networks_are_loaded() -> None:
    with served(runs=False) as loading:
        live = loading.server._server.endpoints._live
        object.__setattr__(live.subjects, "loading", lambda: True)
        answer = raw(loading.server, head(len(WHITE)))
    assert status_of(answer) == b"503"
    assert b"\r\nRetry-After: 2\r\n" in answer
    assert b"the networks are still being loaded" in answer


def test_where_the_cameras_leave_no_time() -> None:
    with served(runs=False, wait_seconds=0.3) as busy:
        begun = time.monotonic()
        status, _, answer = request(
            busy.server, f"{PATH}?budget_ms=200", "POST", {"Content-Type": "image/jpeg"}, WHITE
        )
        assert time.monotonic() - begun >= 0.5
        assert status == 503
        what = json.loads(answer)["error"]["what"]
        assert what == "the cameras left no time for it within 0.5 s"
        assert busy.sent.first() is None


def test_each_picture_is_counted_once() -> None:
    with served(wait_seconds=30) as counted:
        counted.post(WHITE, "?budget_ms=30000")
        counted.post(WHITE, "?budget_ms=0.001")
        counted.post(b"text")
        assert counted.sent.counts == {"on_time": 1, "late": 1, "rejected": 1, "busy": 0}
    with served(runs=False, wait_seconds=0.1) as counted:
        counted.post(WHITE, "?budget_ms=1")
        assert counted.sent.counts == {"on_time": 0, "late": 0, "rejected": 0, "busy": 1}


def test_a_few_wait_at_once_and_a_further_one_comes_again() -> None:
    with served(runs=False, wait_seconds=60) as busy, ExitStack() as closing:
        clients = [closing.enter_context(connect(busy.server)) for _ in range(PICTURES)]
        for client in clients:
            client.sendall(head(len(WHITE), query="?budget_ms=1") + WHITE)
        eventually(lambda: len(busy.sent._waiting) == PICTURES)
        refused = raw(busy.server, head(5))
        assert status_of(refused) == b"429"
        assert b"\r\nRetry-After: 2\r\n" in refused
        with running(make([Feed("yard", 500)], Recorder(), sent=busy.sent)):  # without the door
            answers = [read_all(client) for client in clients]
    assert [status_of(each) for each in answers] == [b"503"] * PICTURES
    assert all(b"the configuration has just changed" in each for each in answers)


def test_a_network_that_fails() -> None:
    class Failing(Device):
        def infer(
            self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
        ) -> tuple[np.ndarray, int, int]:
            raise RunError(choice, RuntimeError("no memory"))

    with served(runs=False) as failing:
        pipeline = make(
            [Feed("door", 500)],
            Recorder(),
            sent=failing.sent,
            profiler=Measured(),
            device=Failing(),
        )
        with running(pipeline):
            status, what = failing.error(WHITE)
    assert status == 500
    assert what.endswith("failed on a picture: no memory")


@pytest.mark.parametrize(
    ("begun", "piece"),
    [(head(len(WHITE)), b""), (head(len(WHITE)) + WHITE[:500], b""), (head(10_000_000), b"\0")],
)
def test_a_client_that_hangs_is_cut_off(begun: bytes, piece: bytes) -> None:
    with served(connection_seconds=SECONDS) as patient:
        for _ in range(2):
            with connect(patient.server) as client:
                client.sendall(begun)
                client.settimeout(0.05)
                eventually(lambda: is_ended(client, piece))
        assert patient.post(WHITE)[0] == 200


def is_ended(client: socket.socket, piece: bytes) -> bool:
    try:
        client.sendall(piece)
        return client.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_clients_that_go_away_leave_nothing() -> None:
    with served() as left:
        left.post(WHITE)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for sent in (b"", WHITE[:999], WHITE):
            for _ in range(PICTURES + 1):
                with connect(left.server) as client:
                    client.sendall(head(len(WHITE)) + sent)
        eventually(lambda: left.post(WHITE)[0] == 200)
        eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)  # noqa: PTH208
        assert left.sent.first() is None


def test_too_long_or_too_short_a_length(door: Served) -> None:
    """What is behind the announced length is not looked at; a picture cut by it is incomplete."""
    assert status_of(raw(door.server, head(len(WHITE)) + WHITE + b"surplus")) == b"200"
    cut = raw(door.server, head(len(WHITE) // 2) + WHITE)
    assert status_of(cut) == b"400"
    assert b"incomplete picture" in cut


def test_several_at_once_are_all_answered(door: Served) -> None:
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(door.post(WHITE, "?budget_ms=30000")[0])

    asking = [threading.Thread(target=ask) for _ in range(PICTURES)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert statuses == [200] * PICTURES


def test_who_may_read_may_ask() -> None:
    http = HttpConfig("127.0.0.1", 0, {"anna": PasswordHash.parse(str(PasswordHash.of("geheim")))})
    with served(http=http) as asking:
        assert status_of(raw(asking.server, head(5))) == b"401"
        status, answer = asking.post(WHITE, Authorization="Basic YW5uYTpnZWhlaW0=")
    assert (status, answer["model"]) == (200, "animals")


def test_a_service_does_not_answer_its_own_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """This test has the server's user, as a camera's process has the daemon's."""
    monkeypatch.setenv("INVOCATION_ID", "0123456789abcdef")
    with served(runs=False) as service:
        refused = raw(service.server, head(len(WHITE)))
    assert status_of(refused) == b"403"
    assert b"programs of the daemon's own user may only read" in refused

"""The API of the history over a real server and a real database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edged.history.history import History
from edged.history.options import HistoryConfig
from edged.web.changes.json_body import JSON_BYTES
from edged.web.history.query import MOST_STEPS
from edged.web.options import HttpConfig
from edged.web.password import new_token, token_hash
from edged.web.server import HttpServer
from tests.rig.history import JPEG, NOW_S, S, event_at, minute_at, recorded, rows, write
from tests.rig.http_server import request, serving
from tests.rig.live import ShownCamera, live_of
from tests.rig.teaching import FakeTeaching
from tests.rig.waiting import eventually

EVENTS, SEEN = "/api/v1/events", "/api/v1/seen"
JSON = {"Content-Type": "application/json"}
SPAN = f"since={NOW_S}&until={NOW_S + 1200}"


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Event 1 goes on and has a picture, 2 to 9 have ended."""
    events = [recorded(event_at(0, None, snapshot=JPEG))]
    events += [recorded(event_at(each, view="door", name="closed")) for each in range(1, 9)]
    write(tmp_path, *events, minutes=(minute_at(0), minute_at(660)))
    history = History(tmp_path, unix_ns=lambda: NOW_S * S)
    history.publish_event(event_at(0, None))
    history.follow(HistoryConfig(), [])
    eventually(lambda: history._fitted)
    yield history
    history.close(10)


@pytest.fixture
def teaching() -> FakeTeaching:
    return FakeTeaching("door", "yard/gate")


@pytest.fixture
def server(history: History, teaching: FakeTeaching) -> Iterator[HttpServer]:
    with serving(history=history, teaching=teaching) as server:
        yield server


def get(server: HttpServer, path: str) -> tuple[int, Any]:
    status, headers, body = request(server, path)
    assert headers["Content-Type"] == "application/json"
    return status, json.loads(body)


def post(server: HttpServer, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    status, _, answer = request(server, path, "POST", {**JSON, **headers}, data)
    return status, json.loads(answer)


def failed(answer: tuple[int, Any]) -> tuple[int, str, str | None]:
    status, body = answer
    assert list(body) == ["error"] and list(body["error"]) == ["what", "got", "fix"]
    return status, body["error"]["what"], body["error"]["fix"]


def numbers(answer: tuple[int, Any]) -> list[int]:
    assert answer[0] == 200
    return [event["id"] for event in answer[1]["events"]]


def test_events_come_in_pages(server: HttpServer) -> None:
    status, page = get(server, f"{EVENTS}?limit=4")
    assert (status, page["next"]) == (200, 6)
    assert numbers((status, page)) == [9, 8, 7, 6]
    assert get(server, f"{EVENTS}?limit=4&before=6")[1]["next"] == 2
    status, page = get(server, f"{EVENTS}?limit=4&before=2")
    assert page == {"events": [get(server, f"{EVENTS}/1")[1]], "next": None}
    (first,) = page["events"]
    assert (first["camera"], first["view"], first["ended_at"]) == ("yard", "gate", None)


def test_filters(server: HttpServer) -> None:
    assert numbers(get(server, f"{EVENTS}?camera=yard")) == [1]
    assert numbers(get(server, f"{EVENTS}?view=yard/gate")) == [1]
    assert numbers(get(server, f"{EVENTS}?view=door&event=closed&limit=2")) == [9, 8]
    assert numbers(get(server, f"{EVENTS}?class=open")) == [1]
    assert numbers(get(server, f"{EVENTS}?class=ajar")) == []


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (f"{NOW_S + 2}", f"{NOW_S + 4}"),
        (f"{NOW_S + 1}.5", f"{NOW_S + 3}.5"),
        ("2027-01-15T08:00:02Z", "2027-01-15T08:00:04.000Z"),
        ("2027-01-15T09:00:02%2B01:00", "2027-01-15T09:00:04+01:00"),
        ("2027-01-15T08:00:02", "2027-01-15T08:00:04"),
    ],
)
def test_times_are_rfc_3339_or_unix_seconds(server: HttpServer, since: str, until: str) -> None:
    assert numbers(get(server, f"{EVENTS}?since={since}&until={until}")) == [4, 3]


def test_a_picture(server: HttpServer) -> None:
    status, headers, body = request(server, f"{EVENTS}/1/snapshot.jpg")
    assert (status, headers["Content-Type"], body) == (200, "image/jpeg", JPEG)
    assert headers["Cache-Control"].startswith("private")
    assert failed(get(server, f"{EVENTS}/2/snapshot.jpg"))[:2] == (404, "the event has no snapshot")


def test_deleting(server: HttpServer) -> None:
    assert post(server, f"{EVENTS}/1/delete") == (200, {})
    assert post(server, f"{EVENTS}/2/delete", b"") == (200, {})
    assert failed(post(server, f"{EVENTS}/3/delete", b"NaN"))[0] == 400
    for answer in (
        get(server, f"{EVENTS}/1"),
        get(server, f"{EVENTS}/1/snapshot.jpg"),
        post(server, f"{EVENTS}/1/delete"),
        post(server, f"{EVENTS}/1/correct", {"label": "open"}),
    ):
        assert failed(answer)[:2] == (404, "no such event")


def test_a_history_that_another_program_locks(server: HttpServer, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "history.sqlite3", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        status, headers, body = request(server, f"{EVENTS}/1/delete", "POST", JSON, b"")
        assert (status, headers["Retry-After"]) == (503, "5")
        assert failed((status, json.loads(body)))[1] == "the history is busy"
        assert numbers(get(server, f"{EVENTS}?view=yard/gate")) == [1]
    assert post(server, f"{EVENTS}/1/delete") == (200, {})


def test_a_correction_is_a_moment_for_teaching(server: HttpServer, teaching: FakeTeaching) -> None:
    teaching.taught("gate", view="yard/gate")
    status, event = post(server, f"{EVENTS}/1/correct", {"label": "closed"})
    assert (status, event["corrected"]) == (200, "closed")
    assert teaching.asked == [("correct", "gate", "closed", JPEG, float(NOW_S))]
    assert get(server, f"{EVENTS}/1")[1] == event
    teaching.taught("other", view="yard/gate")
    body = {"classifier": "other", "label": "open"}
    assert post(server, f"{EVENTS}/1/correct", body)[1]["corrected"] == "open"
    assert teaching.asked[-1][:3] == ("correct", "other", "open")
    answer = failed(post(server, f"{EVENTS}/1/correct", {"classifier": None, "label": "open"}))
    assert answer == (400, "2 classifiers belong to yard/gate", "name one: gate, other")


def test_what_cannot_be_corrected(server: HttpServer, teaching: FakeTeaching) -> None:
    path = f"{EVENTS}/1/correct"
    said = "no classifiers belong to yard/gate", "begin one: edged teach NAME"
    assert failed(post(server, path, {"label": "open"})) == (400, *said)
    teaching.taught("gate", view="yard/gate")
    assert failed(post(server, path, {"label": "ajar"}))[:2] == (400, "no such class")
    body = {"classifier": "lamp", "label": "open"}
    assert failed(post(server, path, body)) == (400, "no such classifier", "name one: gate")
    assert failed(post(server, path, {}))[:2] == (400, "label is missing")
    assert failed(post(server, path, {"label": 1}))[:2] == (400, "label: expected text")
    assert failed(post(server, path, {"label": "a", "x": 1}))[:2] == (400, "unknown field")
    answer = failed(post(server, f"{EVENTS}/2/correct", {"label": "open"}))
    assert answer == (409, "the event has no snapshot", "set snapshot: true for it")
    assert get(server, f"{EVENTS}/1")[1]["corrected"] is None
    large = b'{"label": "' + b"a" * JSON_BYTES + b'"}'
    assert post(server, path, large)[0] == 413


@pytest.mark.parametrize(
    ("path", "got", "status"),
    [
        (f"{EVENTS}?camera=nope", "'nope'", 400),
        (f"{EVENTS}?view=yard", "'yard'", 400),  # a camera
        (f"{EVENTS}?camera=door&view=gate", "'gate'", 400),
        (f"{SEEN}?view=nope", "'nope'", 400),
        (f"{SEEN}?view=yard", "'yard'", 400),
        (f"{SEEN}?view=gate", "'gate'", 400),
        (f"{EVENTS}?camera=roof", None, 200),
        (f"{SEEN}?view=roof/hatch", None, 200),
        (f"{EVENTS}?view=gate&since=1&until=2", None, 200),  # was removed
        (f"{SEEN}?view=door", None, 200),
        (f"{EVENTS}?event=nope", None, 200),
    ],
)
def test_names_that_neither_the_configuration_nor_the_history_has(
    history: History, path: str, got: str | None, status: int
) -> None:
    live = live_of(ShownCamera("roof"), views={"roof/hatch": {}})
    with serving(history=history, live=live) as server:
        found, answer = get(server, path)
    assert found == status
    if got is None:
        assert answer.get("events", answer.get("seen")) == []
    else:
        fix = "views: roof/hatch, yard/gate, door"
        assert answer["error"] == {"what": "no such camera or view", "got": got, "fix": fix}


def test_what_was_seen(server: HttpServer) -> None:
    status, about = get(server, f"{SEEN}?view=yard/gate&{SPAN}&step=600")
    seen = about.pop("seen")
    assert status == 200
    assert about == {
        "view": "yard/gate",
        "since": "2027-01-15T08:00:00.000000Z",
        "until": "2027-01-15T08:20:00.000000Z",
        "step": 600,
    }
    times = ["2027-01-15T08:00:00.000000Z", "2027-01-15T08:10:00.000000Z"]
    assert [each["at"] for each in seen] == times
    assert seen[0]["shares"] == {"open": 0.6667, "closed": 0.25}
    status, about = get(server, f"{SEEN}?view=yard/gate&since={NOW_S + 1}&until={NOW_S + 60}")
    assert (about["since"], about["until"], about["step"]) == (times[0], times[1], 600)
    status, about = get(server, f"{SEEN}?view=yard/gate")  # the last day
    assert status == 200 and about["step"] == 600


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (f"{EVENTS}?x=1", "unknown key"),
        (f"{EVENTS}?limit=0", "limit: expected a whole number from 1 to 500"),
        (f"{EVENTS}?limit=501", "limit: expected a whole number from 1 to 500"),
        (f"{EVENTS}?limit=1.0", "limit: expected a whole number from 1 to 500"),
        (f"{EVENTS}?limit=%D9%A3", "limit: expected a whole number from 1 to 500"),
        (f"{EVENTS}?before=-1", "before: expected a whole number"),
        (f"{EVENTS}?before=99999999999999999999", "before: expected a whole number"),
        (f"{EVENTS}?limit=2&limit=3", "limit is given 2 times"),
        (f"{EVENTS}?since=yesterday", "since: expected a time"),
        (f"{EVENTS}?since=2027-13-01T00:00:00Z", "since: expected a time"),
        (
            f"{EVENTS}?since=9999999999",
            "since: expected a time from 1970-01-01T00:00:00Z to 2255-03",
        ),
        (f"{EVENTS}?since=-62135596800", "since: expected a time from 1970"),
        (f"{EVENTS}?until=1800000000000", "until: expected a time from 1970"),  # milliseconds
        (f"{EVENTS}?since=0001-01-01T00:00:00", "since: expected a time from 1970"),
        (f"{EVENTS}?until=1e9", "until: expected a time"),
        (f"{EVENTS}?since=nan", "since: expected a time"),
        (f"{EVENTS}?since=0001-01-01T00:00:00%2B23:59", "since: expected a time"),
        (f"{EVENTS}?since=20&until=10", "since must be before until"),
        (f"{EVENTS}?camera={'a' * 201}", "camera: expected at most 200 characters"),
        (f"{SEEN}", "view is missing"),
        (f"{SEEN}?view=door&step=59", "step: expected a whole number from 60 to 86400"),
        (f"{SEEN}?view=door&step=86401", "step: expected a whole number from 60 to 86400"),
        (f"{SEEN}?view=door&since=0&step=60", f"more than {MOST_STEPS} steps"),
        (f"{SEEN}?view=door&limit=5", "unknown key"),
    ],
)
def test_mistakes_are_told(server: HttpServer, path: str, what: str) -> None:
    status, said, _ = failed(get(server, path))
    assert (status, said[: len(what)]) == (400, what)


@pytest.mark.parametrize(
    "path", ["/0", "/01", "/-1", "/1/", "/1/snapshot.png", "/x", "/1/erase", "/" + "9" * 19]
)
def test_paths_that_are_none(server: HttpServer, path: str) -> None:
    assert failed(get(server, EVENTS + path))[0] == 404


def test_methods(server: HttpServer) -> None:
    for path, method, allowed in (
        (EVENTS, "POST", "GET, HEAD"),
        (SEEN, "DELETE", "GET, HEAD"),
        (f"{EVENTS}/1", "DELETE", "GET, HEAD"),
        (f"{EVENTS}/1/delete", "GET", "POST"),
    ):
        status, headers, _ = request(server, path, method, JSON, b"{}")
        assert (status, headers["Allow"]) == (405, allowed)
    assert request(server, EVENTS, "HEAD")[0] == 200


def test_without_a_history(history: History) -> None:
    history.follow(None, [])
    with serving(history=history) as off, serving() as none:
        for server in (off, none):
            for path in (EVENTS, f"{SEEN}?view=door", f"{EVENTS}/1", f"{EVENTS}/1/snapshot.jpg"):
                assert failed(get(server, path))[:2] == (404, "this daemon keeps no history")
            answer = failed(post(server, f"{EVENTS}/1/delete"))
            assert answer[:2] == (404, "this daemon keeps no history")


def test_a_history_that_cannot_be_read(history: History, tmp_path: Path) -> None:
    history.follow(None, [])
    eventually(lambda: history._lock_fd is None)
    (tmp_path / "history.sqlite3").write_bytes(b"not a database" * 400)
    with serving(history=history) as server:
        history._config = HistoryConfig()  # the thread has not looked yet
        assert failed(get(server, EVENTS))[:2] == (500, "the history cannot be read")


def test_damaged_values_are_left_out_and_told_once(
    server: HttpServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows(tmp_path / "history.sqlite3", "UPDATE rules SET classes = 'not json' WHERE event = 'open'")
    rows(tmp_path / "history.sqlite3", "UPDATE minutes SET classes = '{'")
    for _ in range(2):
        assert numbers(get(server, EVENTS)) == list(range(9, 1, -1))
        assert failed(get(server, f"{EVENTS}/1"))[:2] == (500, "the event is damaged")
        assert get(server, f"{SEEN}?view=yard/gate&{SPAN}")[1]["seen"] == []
    (said,) = caplog.messages
    assert said.endswith("history.sqlite3: event 1 is damaged, left out")


def test_reading_needs_what_reading_needs_and_changes_control(
    history: History, teaching: FakeTeaching
) -> None:
    reader, teacher, controller = new_token(), new_token(), new_token()
    http = HttpConfig(
        "127.0.0.1",
        0,
        token_hashes=tuple(map(token_hash, (reader, teacher, controller))),
        may={
            "teach": frozenset({token_hash(teacher)}),
            "control": frozenset({token_hash(controller)}),
        },
    )
    teaching.taught("gate", view="yard/gate")
    with serving(http=http, history=history, teaching=teaching) as server:
        assert request(server, EVENTS)[0] == 401
        for token, status in ((reader, 403), (teacher, 403), (controller, 200)):
            login = {"Authorization": f"Bearer {token}"}
            assert request(server, EVENTS, headers=login)[0] == 200
            body = {"label": "open"}
            assert post(server, f"{EVENTS}/1/correct", body, **login)[0] == status
            assert post(server, f"{EVENTS}/2/delete", **login)[0] == status

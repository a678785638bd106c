"""The API of teaching over a real server: what each path takes, answers and refuses."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from edged.errors import EdgedError, InputError
from edged.web.changes.json_body import JSON_BYTES
from edged.web.options import HttpConfig
from edged.web.password import new_token, token_hash
from edged.web.server import HttpServer
from tests.rig.http_server import raw, request, serving
from tests.rig.teaching import FakeTeaching, jpeg

PATH = "/api/v1/teach"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def teaching() -> FakeTeaching:
    return FakeTeaching("door", "yard/gate")


@pytest.fixture
def server(teaching: FakeTeaching) -> Iterator[HttpServer]:
    with serving(teaching=teaching) as server:
        yield server


def get(server: HttpServer, path: str = "") -> tuple[int, Any]:
    status, headers, body = request(server, PATH + path)
    assert headers["Content-Type"] == "application/json"
    return status, json.loads(body)


def post(server: HttpServer, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    status, _, answer = request(server, PATH + path, "POST", {**JSON, **headers}, data)
    return status, json.loads(answer)


def failed(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    assert list(body) == ["error"] and list(body["error"]) == ["what", "got", "fix"]
    return status, body["error"]["what"]


def test_the_whole_way(server: HttpServer, teaching: FakeTeaching) -> None:
    gate = {"view": "yard/gate", "classes": ["open", "closed"]}
    assert get(server)[1]["classifiers"] == {}
    assert post(server, "/gate", gate) == (201, {"name": "gate"})
    assert get(server)[1] == {
        "may_change": True,
        "why_not": None,
        "views": ["door", "yard/gate"],
        "backbone": {"name": "imagenet", "warning": None},
        "classifiers": {"gate": {**gate, "deployed": None, "runs": False}},
    }
    for label in ("open", "closed"):
        shown = {"label": label, "seconds": 2}
        status, about = post(server, "/gate/record", shown)
        assert (status, about["pictures"]) == (200, 2)
        again = {**shown, "moment": about["moment"]}
        assert post(server, "/gate/record", again)[1] == {**about, "pictures": 4}
        status, _ = post(server, f"/gate/pictures?class={label}", jpeg(1), **JPEG)
        assert status == 200
    seen = teaching.add("gate", None, "uncertain")
    assert post(server, "/gate/label", {"moment": seen.id, "label": "open"}) == (200, {})
    assert post(server, "/gate/label", {"moment": seen.id, "label": None}) == (200, {})
    assert post(server, "/gate/discard", {"moment": seen.id}) == (200, {})
    about = get(server, "/gate")[1]
    assert sorted(each["label"] for each in about["moments"]) == [
        "closed",
        "closed",
        "open",
        "open",
    ]
    assert about["latency_ms"] == {}
    status, headers, picture = request(server, f"{PATH}/gate/pictures/{'0' * 16}.jpg")
    assert (status, headers["Content-Type"], picture) == (200, "image/jpeg", jpeg(0))
    assert post(server, "/gate/train", b"") == (200, {})  # no field is needed
    while "version" not in (about := get(server, "/gate")[1])["training"]:
        assert about["training"]["of"] == teaching.steps
    assert about["report"]["estimate"]["judged"]
    assert post(server, "/gate/deploy", {"version": None}) == (200, {"deployed": 1})
    assert get(server)[1]["classifiers"]["gate"]["deployed"] == 1
    assert post(server, "/gate/back") == (200, {"name": "gate", "deployed": None})
    assert post(server, "/gate/forget") == (200, {})
    assert failed(get(server, "/gate")) == (404, "no such classifier")


JPEG = {"Content-Type": "image/jpeg"}


def test_uploads_say_what_was_taken_and_what_was_not(
    server: HttpServer, teaching: FakeTeaching
) -> None:
    teaching.taught("gate")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.jpg", jpeg(number))
    teaching.rejected = [["notes.txt", "not a picture"]]
    zipped = {"Content-Type": "Application/ZIP; x=y"}
    content = packed.getvalue()
    assert post(server, "/gate/pictures?class=open&one_moment=true", content, **zipped) == (
        200,
        {"added": 3, "rejected": [["notes.txt", "not a picture"]]},
    )
    assert teaching.asked[-1] == ("upload", "gate", "open", "application/zip", True)
    assert teaching.uploaded[-1] == ("application/zip", len(content))
    post(server, "/gate/pictures?class=left%20door", jpeg(1), **{"Content-Type": "image/png"})
    assert teaching.asked[-1] == ("upload", "gate", "left door", "image/png", False)


@pytest.mark.parametrize(
    ("label", "sent"),
    [
        ("ไทย", "ไทย".encode()),
        ("à côté", "à%20côté".encode()),  # with a byte that Latin-1 has for a space
        ("ไทย", b"%E0%B9%84%e0%b8%97%e0%b8%a2"),
        ("", "à".encode("latin-1")),
        ("", b"%E0%B9"),
    ],
)
def test_names_in_an_address_are_utf8(
    server: HttpServer, teaching: FakeTeaching, label: str, sent: bytes
) -> None:
    teaching.taught("gate")
    head = b"POST %s/gate/pictures?class=%s HTTP/1.1\r\n" % (PATH.encode(), sent)
    head += b"Host: localhost\r\nContent-Type: image/jpeg\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(jpeg(1))
    answer = raw(server, head + jpeg(1))
    if label:
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert teaching.asked[-1] == ("upload", "gate", label, "image/jpeg", False)
    else:
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"the query is not UTF-8; percent-encode its values" in answer
        assert teaching.asked == []


def test_a_zip_of_everything(server: HttpServer, teaching: FakeTeaching) -> None:
    teaching.taught("gate")
    status, headers, body = request(server, f"{PATH}/gate/export.zip")
    assert (status, headers["Content-Type"]) == (200, "application/zip")
    assert headers["Content-Disposition"] == 'attachment; filename="gate.zip"'
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 24
    assert request(server, f"{PATH}/gate/export.zip", "HEAD")[2] == b""
    assert failed(get(server, "/other/export.zip")) == (404, "no such classifier")


def test_a_worse_version_is_not_deployed_unless_it_is_meant(
    server: HttpServer, teaching: FakeTeaching
) -> None:
    teaching.taught("gate")
    teaching.worse = {"why": "version 1 is right in 81 % of the cases", "top1": 0.81}
    assert post(server, "/gate/deploy") == (200, {"worse": teaching.worse})
    assert teaching.asked[-1] == ("deploy", "gate", None, False)
    assert post(server, "/gate/deploy", {"anyway": True}) == (200, {"deployed": 1})


@pytest.mark.parametrize(
    ("path", "body", "status", "what"),
    [
        ("/gate/record", {"label": "open"}, 400, "seconds is missing"),
        ("/gate/record", {"label": 7, "seconds": 1}, 400, "label: expected text"),
        ("/gate/record", {"label": "a", "seconds": True}, 400, "seconds: expected a number"),
        ("/gate/record", b'{"label": "a", "seconds": 1e999}', 400, "seconds: expected a number"),
        ("/gate/record", b'{"label": "a", "seconds": NaN}', 400, "seconds: expected a number"),
        ("/gate/record", {"label": "a", "seconds": 1, "x": 1}, 400, "unknown field"),
        ("/gate/label", {"moment": "m"}, 400, "label is missing"),
        ("/gate/label", {"moment": "m", "label": "open"}, 400, "no such moment"),
        ("/gate/discard", {"moment": None}, 400, "moment: expected text"),
        ("/gate/deploy", {"version": 1.0}, 400, "version: expected a whole number or null"),
        ("/gate/deploy", {"version": True}, 400, "version: expected a whole number or null"),
        ("/gate/deploy", {"anyway": 1}, 400, "anyway: expected true or false"),
        ("/gate/back", {}, 409, "no version of it is deployed"),
        ("/gate/train", [], 400, "expected a JSON object"),
        ("/gate/label", b"", 400, "moment is missing"),
        ("/gate/train", b"[" * 60_000, 400, "the body is not JSON that edged reads: too many br"),
        ("/gate/train", b"7" * 5000, 400, "the body is not JSON that edged reads: a number has"),
        ("/gate", {"view": "door", "classes": ["a", "b"]}, 409, "there is a classifier of this"),
        ("/lamp", {"view": "door", "classes": "ab"}, 400, "classes: expected a list of names"),
        ("/lamp", {"view": "door", "classes": [1, 2]}, 400, "classes: expected a list of at most"),
        ("/lamp", {"view": "door", "classes": ["a"] * 257}, 400, "classes: expected a list of at"),
        ("/lamp", {"view": "roof", "classes": ["a", "b"]}, 400, "no such view"),
        ("/lamp/train", {}, 404, "no such classifier"),
        ("/lamp/pictures?class=open", {}, 404, "no such classifier"),
        ("/gate/pictures", {}, 400, "name the class: /api/v1/teach/gate/pictures?class=LABEL"),
        ("/gate/", {}, 404, "no such path"),
        ("/gate/erase", {}, 404, "no such path"),
        ("/gate/create", {}, 404, "no such path"),
        ("/gate/export.zip", {}, 404, "no such path"),
    ],
)
def test_mistakes_are_told(
    server: HttpServer, teaching: FakeTeaching, path: str, body: object, status: int, what: str
) -> None:
    teaching.taught("gate")
    found, said = failed(post(server, path, body))
    assert (found, said[: len(what)]) == (status, what)


@pytest.mark.parametrize(
    ("body", "what", "got"),
    [
        (b'{\n  "label": "a', "line 2, column 12: Unterminated string starting at", "'\"a'"),
        (b'{"label": ', "line 1, column 11: Expecting value", "the end"),
        (b"x", "line 1, column 1: Expecting value", "'x'"),
        (b'{\n "\xff"}', "line 2, byte 3: expected UTF-8 text", "0xff"),
    ],
)
def test_a_body_that_is_not_json_says_where(
    server: HttpServer, body: bytes, what: str, got: str
) -> None:
    answer = post(server, "/gate/discard", body)[1]["error"]
    assert answer["what"] == f"the body is not JSON: {what}"
    assert (answer["got"], answer["fix"]) == (got, "send a JSON object; fields: moment")


@pytest.mark.parametrize(
    ("body", "got"),
    [(b"[]", "a list"), (b"null", "null"), (b"1", "a number"), (b'"a"', "text"), ({"x": 1}, "x")],
)
def test_a_body_of_another_kind_is_named_in_words(
    server: HttpServer, body: object, got: str
) -> None:
    answer = post(server, "/gate/train", body)[1]["error"]
    assert (answer["got"], answer["fix"]) == (got, "send {}, without fields")


def test_a_mistake_keeps_its_value_and_fix_and_no_secret(
    server: HttpServer, teaching: FakeTeaching
) -> None:
    teaching.taught("gate")
    status, body = post(server, "/gate/deploy", {"version": "1"})
    assert (status, body["error"]["got"]) == (400, '"1"')
    teaching.failing = InputError(
        "rtsp://anna:hunter22@cam/1\x1b[31m is wrong", got="x" * 1000, fix="see password=hunter22"
    )
    status, body = post(server, "/gate/discard", {"moment": "m"})
    assert status == 400
    assert "hunter22" not in json.dumps(body)
    assert body["error"]["what"].isprintable() and len(body["error"]["got"]) <= 300
    teaching.failing = EdgedError("no space left on the disk", fix="delete something")
    assert failed(post(server, "/gate/discard", {"moment": "m"})) == (
        500,
        "no space left on the disk",
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/gate/pictures/0000000000000bad.jpg", 404),
        ("/gate/pictures/../../x.jpg", 404),
        ("/gate/pictures/..%2f..%2fx.jpg", 404),
        ("/gate/pictures/0000000000000000.png", 404),
        ("/gate/pictures", 404),
        ("/gate/train", 404),
        ("/gate/", 404),
        ("/Gate", 404),
        ("/lamp", 404),
        ("/" + "g" * 33, 404),
        ("x", 404),
    ],
)
def test_paths_that_are_none(
    server: HttpServer, teaching: FakeTeaching, path: str, status: int
) -> None:
    teaching.taught("gate")
    assert request(server, PATH + path)[0] == status


def test_methods(server: HttpServer, teaching: FakeTeaching) -> None:
    teaching.taught("gate")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        status, headers, _ = request(server, f"{PATH}/gate", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
    status, headers, _ = request(server, PATH, "POST", JSON, b"{}")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert request(server, f"{PATH}/gate", "HEAD")[0] == 200


def test_a_daemon_that_does_not_teach_says_so() -> None:
    with serving() as server:
        assert failed(get(server)) == (404, "this daemon does not teach")
        assert failed(post(server, "/gate/train")) == (404, "this daemon does not teach")


def test_a_reader_reads_and_is_told_why_not_more() -> None:
    teaching = FakeTeaching()
    teaching.taught("gate")
    reader, teacher = new_token(), new_token()
    http = HttpConfig(
        "127.0.0.1",
        0,
        token_hashes=(token_hash(reader), token_hash(teacher)),
        may={"teach": frozenset({token_hash(teacher)})},
    )
    with serving(http=http, teaching=teaching) as server:
        for token, may in ((reader, False), (teacher, True)):
            login = {"Authorization": f"Bearer {token}"}
            status, _, body = request(server, PATH, headers=login)
            assert (status, json.loads(body)["may_change"]) == (200, may)
            assert request(server, f"{PATH}/gate", headers=login)[0] == 200
            assert post(server, "/gate/train", **login)[0] == (200 if may else 403)
        assert request(server, f"{PATH}/gate")[0] == 401
        assert request(server, f"{PATH}/gate/train", "POST", JSON, b"{}")[0] == 401
    assert [call[0] for call in teaching.asked] == ["train"]


def test_a_body_of_json_is_small(server: HttpServer, teaching: FakeTeaching) -> None:
    teaching.taught("gate")
    fits = b'{"moment": "' + b"m" * (JSON_BYTES - 14) + b'"}'
    assert failed(post(server, "/gate/discard", fits)) == (400, "no such moment")
    assert post(server, "/gate/discard", fits + b" ")[0] == 413

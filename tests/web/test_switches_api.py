"""The API of switches over a real server: who may use it, what it takes and what it answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edged.switches.memory import Memory
from edged.switches.switch import Kind, State, Target
from edged.switches.switches import MOST_MINUTES, Switches
from edged.web.options import HttpConfig
from edged.web.password import PasswordHash, new_token, token_hash
from edged.web.server import HttpServer
from tests.rig.full_disk import no_room
from tests.rig.http_server import request, serving

PATH = "/api/v1/switches"
JSON = {"Content-Type": "application/json"}
ON = {"state": "on", "until": None, "changed_at": None, "origin": None}
NOW_S = 1_800_000_000
AT = "2027-01-15T08:00:00.000000Z"


def switches_of(memory: Memory | None = None) -> Switches:
    switches = Switches(memory, unix=lambda: float(NOW_S))
    views = [Target(Kind.VIEW, view) for view in ("door", "yard/gate")]
    switches.follow(dict.fromkeys([*views, Target(Kind.EVENT, "visitor")], ()))
    return switches


@pytest.fixture
def switches() -> Switches:
    return switches_of()


@pytest.fixture
def server(switches: Switches) -> Iterator[HttpServer]:
    with serving(switches=switches) as server:
        yield server


def get(server: HttpServer, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    status, _, body = request(server, PATH, headers=headers)
    return status, json.loads(body)


def post(
    server: HttpServer, body: object, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    content = json.dumps(body).encode()
    status, _, body = request(server, PATH, "POST", {**JSON, **(headers or {})}, content)
    return status, json.loads(body)


def test_it_tells_and_changes(server: HttpServer, switches: Switches) -> None:
    about = {"views": {"door": ON, "yard/gate": ON}, "events": {"visitor": ON}}
    assert get(server) == (200, {"may_change": True, "why_not": None, **about})
    status, answer = post(server, {"view": "yard/gate", "set": "off"})
    off = {"state": "off", "until": None, "changed_at": AT, "origin": "api on loopback"}
    assert (status, answer["views"]) == (200, {"door": ON, "yard/gate": off})
    assert get(server)[1]["views"]["yard/gate"] == off
    assert switches.of_view("yard/gate").state is State.OFF
    status, answer = post(server, {"event": "visitor", "set": "snooze", "minutes": 60})
    snoozed = answer["events"]["visitor"]
    assert (snoozed["state"], snoozed["until"]) == ("snoozed", "2027-01-15T09:00:00.000000Z")
    assert post(server, {"event": "visitor", "set": "on"})[1]["events"]["visitor"]["state"] == "on"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"set": "off"}, "expected a view or an event"),
        ({"view": "door", "event": "visitor", "set": "off"}, "expected a view or an event"),
        ({"view": "yard", "set": "off"}, "no such view"),
        ({"event": "door", "set": "off"}, "no such event"),
        ({"view": "door"}, "set is missing"),
        ({"view": "door", "set": "OFF"}, "set: expected on, off, snooze"),
        ({"view": "door", "set": 0}, "set: expected text"),
        ({"view": ["door"], "set": "off"}, "view: expected the id of a view"),
        ({"view": "door", "set": "snooze"}, f"expected 1 to {MOST_MINUTES} minutes"),
        ({"view": "door", "set": "snooze", "minutes": 0}, "expected 1 to"),
        ({"view": "door", "set": "snooze", "minutes": 10**9}, "expected 1 to"),
        ({"view": "door", "set": "snooze", "minutes": 1.5}, "minutes: expected a whole number"),
        ({"view": "door", "set": "snooze", "minutes": True}, "minutes: expected a whole number"),
        ({"view": "door", "set": "off", "minutes": 5}, "minutes are those of a snooze"),
        ({"view": "door", "set": "off", "until": 5}, "unknown field"),
        ([], "expected a JSON object"),
    ],
)
def test_mistakes_are_told_and_change_nothing(
    server: HttpServer, switches: Switches, body: object, what: str
) -> None:
    before = switches.states
    status, answer = post(server, body)
    assert (status, switches.states) == (400, before)
    assert answer["error"]["what"].startswith(what)


def test_other_methods_and_types(server: HttpServer) -> None:
    status, headers, _ = request(server, PATH, "PUT", JSON, b"{}")
    assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
    assert request(server, PATH, "POST", {"Content-Type": "text/plain"}, b"{}")[0] == 415
    assert request(server, PATH, "HEAD")[0] == 200


def test_a_page_of_another_site_switches_nothing(server: HttpServer, switches: Switches) -> None:
    for foreign in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        status, answer = post(server, {"view": "door", "set": "off"}, foreign)
        assert (status, switches.of_view("door").on) == (403, True)
        assert answer["error"]["what"] == "a page of another site must not change anything"
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert post(server, {"view": "door", "set": "off"}, own)[0] == 200
    assert switches.of_view("door").origin == "page on loopback"


def test_only_whom_the_configuration_names_may_switch(switches: Switches) -> None:
    token, reader = new_token(), new_token()
    http = HttpConfig(
        "127.0.0.1",
        0,
        users={name: PasswordHash.of("a password") for name in ("anna", "bert")},
        token_hashes=(token_hash(token), token_hash(reader)),
        may={"control": frozenset({"anna", token_hash(token)})},
    )

    def login(name: str) -> dict[str, str]:
        credentials = base64.b64encode(f"{name}:a password".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}

    off, on = {"view": "door", "set": "off"}, {"view": "door", "set": "on"}
    with serving(switches=switches, http=http) as server:
        assert request(server, PATH)[0] == 401
        assert request(server, PATH, "POST", JSON, b"{}")[0] == 401
        assert post(server, off, login("bert"))[0] == 403
        assert post(server, off, {"Authorization": f"Bearer {reader}"})[0] == 403
        assert switches.of_view("door").on
        assert get(server, login("bert"))[1]["may_change"] is False
        assert "http.may.control" in get(server, login("bert"))[1]["why_not"]
        assert post(server, off, login("anna"))[0] == 200
        assert switches.of_view("door").origin == "api by anna"
        assert post(server, on, {"Authorization": f"Bearer {token}"})[0] == 200
        digits = token_hash(token).removeprefix("sha256:")
        assert switches.of_view("door").origin == f"api by token {digits[:8]}"


def test_the_answer_tells_whether_a_restart_will_know(tmp_path: Path) -> None:
    switches = switches_of(Memory(tmp_path))
    with serving(switches=switches) as server:
        assert post(server, {"view": "door", "set": "off"})[1]["kept"] is True
        with no_room():
            assert post(server, {"view": "door", "set": "on"})[1]["kept"] is False
    assert switches.of_view("door").on
    switches.close(10)

"""Who may read and change what through Home Assistant's ingress."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import replace

import pytest

from edged.web.access import Access
from edged.web.answer import Answer, Request
from edged.web.options import HttpConfig
from edged.web.password import new_token, token_hash
from edged.web.server import HttpServer
from tests.rig.home_assistant import INGRESS_PATH, SUPERVISOR, USER_ID
from tests.rig.http_server import request, serving

ADDON = HttpConfig(
    "0.0.0.0",
    8099,
    ingress="172.30.32.2",
    open=frozenset({"healthz"}),
    may={"teach": frozenset({"ingress:anna"})},
)
HOME = "homeassistant.local:8123"
ANNA = Request(
    "POST",
    "/api/v1/teach/gate",
    host=HOME,
    client="172.30.32.2",
    origin=f"http://{HOME}",
    forwarded="192.0.2.7",
    ingress_path=INGRESS_PATH,
    ingress_user="anna",
)


def admitted(access: Access, asked: Request) -> tuple[int, Request | None]:
    answer = access.admit(asked)
    return (answer.status.value, None) if isinstance(answer, Answer) else (200, answer)


def posted(access: Access, asked: Request, right: str | None = "teach") -> tuple[int, str]:
    """(status, what is wrong); 200 if the body may be sent."""
    answer = access.admit(asked)
    if isinstance(answer, Request):
        refusal = access.refusal_to_post(answer, right)
        if refusal is None:
            return 200, ""
        answer = refusal
    return answer.status.value, answer.body.decode()


@pytest.mark.parametrize("client", ["172.30.32.2", "::ffff:172.30.32.2"])
def test_ingress_is_a_login_whatever_the_host(client: str) -> None:
    status, passed = admitted(Access(ADDON), replace(ANNA, client=client))
    assert status == 200 and passed is not None
    assert passed.who == "ingress:anna" and passed.framed
    assert list(passed.barred) == ["control"]


@pytest.mark.parametrize(
    ("client", "path"),
    [
        ("172.30.32.1", INGRESS_PATH),
        ("172.30.33.4", INGRESS_PATH),  # another add-on
        ("192.0.2.7", INGRESS_PATH),
        ("::1:2", INGRESS_PATH),
        ("172.30.32.2", ""),  # the supervisor itself
        ("172.30.32.2", "/api/hassio_ingress/"),
        ("172.30.32.2", f"{INGRESS_PATH}/events"),
        ("172.30.32.2", f"{INGRESS_PATH}, {INGRESS_PATH}"),
        ("172.30.32.2", "/elsewhere/d0XzPn2Ck-_8mQ"),
    ],
)
def test_all_others_are_refused(client: str, path: str) -> None:
    access = Access(ADDON)
    other = replace(ANNA, client=client, ingress_path=path)
    assert admitted(access, other)[0] == posted(access, other)[0] == 403
    assert admitted(access, replace(other, method="GET", path="/"))[0] == 403
    # The supervisor's watchdog and others may see what is open.
    assert admitted(access, replace(other, method="GET", path="/healthz"))[0] == 200


def test_without_the_key_the_headers_mean_nothing() -> None:
    status, _ = admitted(Access(replace(ADDON, ingress="", may={})), ANNA)
    assert status == 421
    local = replace(ANNA, host="127.0.0.1:8099", origin="")
    assert posted(Access(replace(ADDON, ingress="", may={})), local)[0] == 403


@pytest.mark.parametrize(
    ("user", "teach", "control"),
    [("anna", 200, 403), ("bob", 403, 403), ("", 403, 403), ("anna, bob", 403, 403)],
)
def test_rights_are_those_of_the_user(user: str, teach: int, control: int) -> None:
    access, theirs = Access(ADDON), replace(ANNA, ingress_user=user)
    assert posted(access, theirs)[0] == teach
    assert posted(access, theirs, "control")[0] == control
    assert posted(access, theirs, None)[0] == 200  # asks about a picture
    _, said = posted(access, theirs, "control")
    what = f"ingress:{user} may only read; see http.may.control in the configuration"
    assert json.loads(said)["error"]["what"] == what


def test_a_page_of_another_site_changes_nothing() -> None:
    for header in ({"origin": "https://evil.example"}, {"fetch_site": "cross-site"}):
        status, said = posted(Access(ADDON), replace(ANNA, **header))
        assert status == 403 and "page of another site" in said


def test_beside_ingress_users_and_tokens_log_in_as_ever() -> None:
    token = new_token()
    access = Access(replace(ADDON, token_hashes=(token_hash(token),)))
    assert admitted(access, ANNA)[0] == 200
    stranger = replace(ANNA, client="192.0.2.7")
    assert admitted(access, stranger)[0] == 401
    status, passed = admitted(access, replace(stranger, authorization=f"Bearer {token}"))
    assert status == 200 and passed is not None and not passed.framed
    assert passed.who == token_hash(token)


def asked(server: HttpServer, *headers: tuple[str, str], source: str = SUPERVISOR) -> set[str]:
    """What keeps the client from changing something, by right; with the answer's policy."""
    with closing(
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=10, source_address=(source, 0))
    ) as client:
        client.putrequest("GET", "/api/v1/device", skip_host=True)
        for name, value in (("Host", HOME), ("X-Ingress-Path", INGRESS_PATH), *headers):
            client.putheader(name, value)
        client.endheaders()
        answer = client.getresponse()
        assert answer.status == 200
        assert "frame-ancestors 'self'" in str(answer.headers["Content-Security-Policy"])
        return set(json.load(answer)["barred"])


ID, NAME = ("X-Remote-User-Id", USER_ID), ("X-Remote-User-Name", "jürgen")
LOWER = [(name.lower(), value) for name, value in (ID, NAME)]


def test_a_header_of_the_supervisor_is_there_once_and_in_its_spelling() -> None:
    """It passes on what a client sends under a name in other letters."""
    http = HttpConfig(
        "127.0.0.1", 0, ingress=SUPERVISOR, may={"teach": frozenset({"ingress:jürgen"})}
    )
    name = (NAME[0], NAME[1].encode().decode("latin-1"))
    lower = [LOWER[0], (LOWER[1][0], name[1])]
    with serving(http=http) as server:
        assert asked(server, ID, name) == {"control"}
        both = {"teach", "control"}
        assert asked(server) == both
        assert asked(server, *lower) == both
        assert asked(server, ID, lower[1]) == both
        assert asked(server, ID, ("X-Remote-User-Name", "bob"), lower[1]) == both
        assert asked(server, ID, lower[1], ("X-Remote-User-Name", "bob")) == both
        assert asked(server, ID, name, name) == both
        assert asked(server, lower[0], name) == both
        assert asked(server, name) == both


def test_what_runs_beside_the_daemon_may_read_only() -> None:
    """In the add-on's container, that is the daemon's own processes."""
    with serving(http=HttpConfig("127.0.0.1", 0, ingress=SUPERVISOR)) as server:
        status, _, body = request(server, "/api/v1/device")
        assert status == 200
        barred = json.loads(body)["barred"]
        assert set(barred) == {"teach", "control"}
        assert all("of the daemon's own user may only read" in each for each in barred.values())


def test_pages_are_framed_by_home_assistant_only() -> None:
    with serving(http=HttpConfig("127.0.0.1", 0, ingress=SUPERVISOR)) as server:
        for source, framed in ((SUPERVISOR, "'self'"), ("127.0.0.1", "'none'")):
            for path in ("/", "/healthz"):
                with closing(
                    http.client.HTTPConnection(
                        "127.0.0.1", server.port, timeout=10, source_address=(source, 0)
                    )
                ) as client:
                    client.request("GET", path, headers={"X-Ingress-Path": INGRESS_PATH})
                    policy = client.getresponse().headers["Content-Security-Policy"]
                    assert f"frame-ancestors {framed}" in policy

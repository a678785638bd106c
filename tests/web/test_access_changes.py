"""Who may change something, without sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from edged.web.access import CHANGE_SECONDS, CHANGES, Access
from edged.web.answer import Answer, End, Request
from edged.web.options import HttpConfig, Tls
from edged.web.password import PasswordHash, new_token, token_hash
from tests.rig.camera import FakeTime

CHEAP = PasswordHash.parse(str(PasswordHash.of("geheim")))
TOKEN, OTHER = new_token(), new_token()
LOGINS = HttpConfig(
    "0.0.0.0",
    9640,
    {"anna": CHEAP, "bob": CHEAP},
    (token_hash(TOKEN), token_hash(OTHER)),
    may={"teach": frozenset({"anna", token_hash(TOKEN)}), "control": frozenset({"bob"})},
)
ALONE = HttpConfig("127.0.0.1", 9640)
HERE = Request("POST", "/api/v1/teach/gate", host="127.0.0.1:9640", client="127.0.0.1")
ORIGIN = "http://127.0.0.1:9640"


def basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:geheim".encode()).decode()


def asked(access: Access, request: Request, right: str | None = "teach") -> tuple[int, str]:
    """(status, what is wrong); 200 if the change may be made."""
    admitted = access.admit(request)
    if isinstance(admitted, Answer):
        return admitted.status.value, admitted.body.decode()
    refusal = access.refusal_to_post(admitted, right)
    return (200, "") if refusal is None else (refusal.status.value, refusal.body.decode())


@pytest.mark.parametrize(
    ("authorization", "teach", "control"),
    [
        (basic("anna"), 200, 403),
        (basic("bob"), 403, 200),
        (f"Bearer {TOKEN}", 200, 403),
        (f"Bearer {OTHER}", 403, 403),
        ("", 401, 401),
        (f"Bearer {new_token()}", 401, 401),
    ],
    ids=("anna", "bob", "token", "other token", "nobody", "unknown token"),
)
def test_a_right_is_that_of_a_user_or_token(authorization: str, teach: int, control: int) -> None:
    access = Access(LOGINS)
    # With logins, this machine is as any other.
    for client in ("127.0.0.1", "192.0.2.7"):
        request = replace(HERE, client=client, authorization=authorization)
        assert asked(access, request)[0] == teach
        assert asked(access, request, "control")[0] == control


def test_who_may_only_read_is_told_so_without_the_token() -> None:
    access = Access(LOGINS)
    status, said = asked(access, replace(HERE, authorization=basic("bob")))
    assert json.loads(said)["error"]["what"] == (
        "bob may only read; see http.may.teach in the configuration"
    )
    assert status == 403
    _, said = asked(access, replace(HERE, authorization=f"Bearer {OTHER}"))
    assert "this token may only read" in said
    assert OTHER not in said and token_hash(OTHER) not in said


def test_who_asks_is_known_afterwards() -> None:
    access = Access(LOGINS)
    for authorization, who in ((basic("anna"), "anna"), (f"Bearer {TOKEN}", token_hash(TOKEN))):
        admitted = access.admit(replace(HERE, authorization=authorization))
        assert isinstance(admitted, Request)
        assert admitted.who == who
        assert list(admitted.barred) == ["control"]


def test_what_is_open_to_all_is_open_to_readers() -> None:
    http = replace(LOGINS, open=frozenset({"metrics"}))
    status, _ = asked(Access(http), Request("POST", "/metrics", authorization=basic("anna")))
    assert status == 401


@pytest.mark.parametrize(
    ("client", "may"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.7", False)],
)
def test_without_logins_only_this_machine_changes_anything(client: str, may: bool) -> None:
    for listen in ("127.0.0.1", "0.0.0.0"):
        access = Access(replace(ALONE, host=listen))
        status, said = asked(access, replace(HERE, client=client))
        assert status == (200 if may else 403)
        assert may or "need a login: http.users and http.may" in said


def test_a_proxy_on_this_machine_is_not_this_machine() -> None:
    assert asked(Access(ALONE), replace(HERE, forwarded="for=192.0.2.7"))[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": ORIGIN}, 200),
        ({"origin": ORIGIN, "fetch_site": "same-origin"}, 200),
        ({"fetch_site": "none"}, 200),
        ({"origin": "https://127.0.0.1:9640"}, 200),  # a proxy adds TLS
        ({"origin": "http://localhost:9640", "host": "LOCALHOST:9640"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1"}, 403),
        ({"origin": "http://127.0.0.1:9641"}, 403),
        ({"origin": "http://localhost:9640"}, 403),
        ({"origin": "http://127.0.0.1:9640.evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9640, http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "file://"}, 403),
        ({"origin": "http://", "host": ""}, 403),
        ({"fetch_site": "cross-site"}, 403),
        ({"fetch_site": "same-site"}, 403),
        ({"origin": ORIGIN, "fetch_site": "cross-site"}, 403),
        # A page that resolved its own name to this machine.
        ({"origin": "http://evil.example:9640", "host": "evil.example:9640"}, 421),
    ],
)
def test_a_page_of_another_site_changes_nothing(headers: Mapping[str, str], status: int) -> None:
    request = replace(HERE, **headers)
    assert asked(Access(ALONE), request)[0] == status
    if status != 421:  # with a login no name matters
        known = replace(request, authorization=basic("anna"))
        assert asked(Access(LOGINS), known)[0] == status


def test_with_tls_the_page_has_it_too() -> None:
    tls = Tls(Path("a.pem"), Path("a.key"))
    for http in (replace(ALONE, tls=tls), replace(LOGINS, tls=tls)):
        access = Access(http)
        known = replace(HERE, authorization=basic("anna"))
        assert asked(access, replace(known, origin=ORIGIN.replace("http", "https")))[0] == 200
        assert asked(access, replace(known, origin=ORIGIN))[0] == 403
    # Reading needs no name with TLS, changing does.
    rebound = replace(HERE, host="evil.example:9640")
    assert isinstance(Access(replace(ALONE, tls=tls)).admit(rebound), Request)
    assert asked(Access(replace(ALONE, tls=tls)), rebound)[0] == 421


def test_the_services_own_user_changes_nothing(tmp_path: Path) -> None:
    """A camera's process that was taken over has it."""
    table = tmp_path / "self/net/tcp"
    table.parent.mkdir(parents=True)
    request = replace(HERE, peer=End("127.0.0.1", 0xA001), server=End("127.0.0.1", 9640))
    for user, inode, status, said in (
        (990, 5, 403, "programs of the daemon's own user may only read"),
        (1000, 5, 200, ""),
        (0, 5, 200, ""),
        (0, 0, 403, "the program at the other end of this connection is not known"),
    ):
        table.write_text(
            "  sl  local_address rem_address\n"
            f"   0: 0100007F:A001 0100007F:25A8 01 0:0 00:0 0 {user} 0 {inode} 1\n"
        )
        found = asked(Access(ALONE, service_user=990, proc=tmp_path), request)
        assert found[0] == status and said in found[1]
        assert asked(Access(ALONE, proc=tmp_path), request)[0] == 200
        # With logins it needs one, as everybody.
        known = replace(request, authorization=basic("anna"))
        assert asked(Access(LOGINS, service_user=990, proc=tmp_path), known)[0] == 200


def test_an_address_that_changes_much_has_to_wait_and_others_do_not() -> None:
    time = FakeTime()
    access = Access(LOGINS, time.clock)
    request = replace(HERE, authorization=f"Bearer {TOKEN}")
    assert [asked(access, request)[0] for _ in range(CHANGES + 1)] == [200] * CHANGES + [429]
    admitted = access.admit(request)
    assert isinstance(admitted, Request)
    refusal = access.refusal_to_post(admitted, "teach")
    assert refusal is not None
    assert ("Retry-After", "1") in refusal.headers
    assert asked(access, replace(request, client="192.0.2.8"))[0] == 200
    time.sleep(CHANGE_SECONDS)
    assert [asked(access, request)[0] for _ in range(2)] == [200, 429]


def test_who_may_read_may_send_what_changes_nothing() -> None:
    everybody = (basic("anna"), basic("bob"), f"Bearer {TOKEN}", f"Bearer {OTHER}")
    for authorization in everybody:
        request = replace(HERE, client="192.0.2.7", authorization=authorization)
        assert asked(Access(LOGINS), request, None)[0] == 200
    assert asked(Access(LOGINS), HERE, None)[0] == 401
    for client in ("127.0.0.1", "192.0.2.7"):
        request = replace(HERE, client=client, forwarded="for=192.0.2.9")
        assert asked(Access(replace(ALONE, host="0.0.0.0")), request, None)[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": ORIGIN}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"fetch_site": "cross-site"}, 403),
        ({"origin": "http://evil.example:9640", "host": "evil.example:9640"}, 421),
    ],
)
def test_a_page_of_another_site_sends_nothing(headers: Mapping[str, str], status: int) -> None:
    found, said = asked(Access(ALONE), replace(HERE, **headers), None)
    assert found == status
    assert status != 403 or "a page of another site must not send anything" in said
    tls = replace(ALONE, tls=Tls(Path("a.pem"), Path("a.key")))
    assert asked(Access(tls), replace(HERE, host="evil.example:9640"), None)[0] == 421


def test_the_services_own_user_sends_nothing(tmp_path: Path) -> None:
    """Also where it connects to this machine's own address on the network."""
    table = tmp_path / "self/net/tcp"
    table.parent.mkdir(parents=True)
    access = Access(replace(ALONE, host="0.0.0.0"), service_user=990, proc=tmp_path)
    for address, row in (("127.0.0.1", "0100007F"), ("192.0.2.5", "050200C0")):
        request = replace(
            HERE, client=address, peer=End(address, 0xA001), server=End(address, 9640)
        )
        for user, inode, status in ((990, 5, 403), (1000, 5, 200), (0, 5, 200), (0, 0, 403)):
            table.write_text(
                "  sl  local_address rem_address\n"
                f"   0: {row}:A001 {row}:25A8 01 0:0 00:0 0 {user} 0 {inode} 1\n"
            )
            assert asked(access, request, None)[0] == status
    table.write_text("  sl  local_address rem_address\n")
    away = replace(HERE, client="192.0.2.7", peer=End("192.0.2.7", 1), server=End("192.0.2.5", 1))
    assert asked(access, away, None)[0] == 200


def test_pictures_and_changes_have_limits_of_their_own() -> None:
    time = FakeTime()
    access = Access(ALONE, time.clock)
    assert [asked(access, HERE, None)[0] for _ in range(CHANGES + 1)] == [200] * CHANGES + [429]
    assert "too many pictures from this address" in asked(access, HERE, None)[1]
    assert asked(access, HERE)[0] == 200
    time.sleep(CHANGE_SECONDS)
    assert [asked(access, HERE, None)[0] for _ in range(2)] == [200, 429]

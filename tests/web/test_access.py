"""Who may ask, without sockets."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest

from edged.web.access import GUESS_SECONDS, GUESSES, Access, own_names
from edged.web.answer import Answer, Request
from edged.web.options import HttpConfig, Tls
from edged.web.password import PasswordHash, new_token, token_hash
from tests.rig.camera import FakeTime

CHEAP = PasswordHash.parse(str(PasswordHash.of("geheim")))
TOKEN = new_token()
CLOSED = HttpConfig("0.0.0.0", 9640, {"anna": CHEAP}, (token_hash(TOKEN),))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def status(access: Access, authorization: str = "", path: str = "/", client: str = "a") -> int:
    request = Request("GET", path, authorization=authorization, client=client)
    answer = access.admit(request)
    return answer.status.value if isinstance(answer, Answer) else 200


def test_a_password_or_a_token() -> None:
    access = Access(CLOSED)
    assert status(access, basic("anna", "geheim")) == 200
    assert status(access, basic("anna", "geheim").replace("Basic", "bAsIc")) == 200
    assert status(access, f"Bearer {TOKEN}") == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"anna").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + "QUFB" * 5000,
        basic("anna", "wrong"),
        basic("bob", "geheim"),
        basic("", ""),
        "Bearer",
        "Bearer x",
        f"Bearer {token_hash(TOKEN)}",
        basic("anna", str(CHEAP)),
        f"Basic {TOKEN}",
        "Digest x",
    ],
    ids=range(15),
)
def test_nothing_else(authorization: str) -> None:
    refusal = Access(CLOSED).admit(Request("GET", "/metrics", authorization=authorization))
    assert isinstance(refusal, Answer)
    assert refusal.status == 401
    ways = [value for name, value in refusal.headers if name == "WWW-Authenticate"]
    assert ways == ['Basic realm="edged"', 'Bearer realm="edged"']


def test_what_is_open_is_open_exactly() -> None:
    access = Access(HttpConfig("0.0.0.0", 0, {"anna": CHEAP}, open=frozenset({"metrics"})))
    assert status(access, path="/metrics") == 200
    for path in ("/healthz", "/metrics/", "/metrics/../", "/", "/api/v1/status"):
        assert status(access, path=path) == 401


def test_the_health_check_of_a_container_needs_no_login() -> None:
    access = Access(CLOSED, own_health=True)
    assert status(access, path="/healthz", client="127.0.0.1") == 200
    assert status(Access(CLOSED), path="/healthz", client="127.0.0.1") == 401
    for path, client in (("/healthz", "10.88.0.1"), ("/readyz", "127.0.0.1")):
        assert status(access, path=path, client=client) == 401
    proxied = Request("GET", "/healthz", client="127.0.0.1", forwarded="192.0.2.7")
    assert isinstance(access.admit(proxied), Answer)


def test_an_address_that_guesses_has_to_wait_and_others_do_not() -> None:
    time = FakeTime()
    access = Access(CLOSED, time.clock)
    assert status(access, basic("anna", "geheim"), client="10.0.0.1") == 200
    for _ in range(GUESSES):
        assert status(access, basic("anna", "wrong"), client="10.0.0.9") == 401
    assert status(access, basic("anna", "geheim!"), client="10.0.0.9") == 429
    assert status(access, basic("anna", "geheim"), client="10.0.0.9") == 200  # known to be right
    assert status(access, basic("anna", "wrong"), client="10.0.0.8") == 401
    time.sleep(GUESS_SECONDS)
    assert status(access, basic("anna", "wrong"), client="10.0.0.9") == 401
    assert status(access, basic("anna", "wrong"), client="10.0.0.9") == 429


def test_one_network_of_ipv6_is_one_guesser() -> None:
    access = Access(CLOSED, FakeTime().clock)
    for number in range(GUESSES):
        assert status(access, basic("anna", "wrong"), client=f"2001:db8:1:2::{number}") == 401
    assert status(access, basic("anna", "wrong"), client="2001:db8:1:2::ffff") == 429
    assert status(access, basic("anna", "wrong"), client="2001:db8:1:3::1") == 401


def test_many_requests_at_once_compute_one_password() -> None:
    """A browser asks for several things before the first is answered."""
    computed = []

    class Counting(PasswordHash):
        def matches(self, password: str) -> bool:
            computed.append(password)
            return super().matches(password)

    counting = Counting(CHEAP.n, CHEAP.r, CHEAP.p, CHEAP.salt, CHEAP.derived)
    access = Access(HttpConfig("0.0.0.0", 0, {"anna": counting}))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(status(access, basic("anna", "geheim"))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 4
    assert computed == ["geheim"]


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("", True),
        ("localhost", True),
        ("LOCALHOST:9640", True),
        ("127.0.0.1:9640", True),
        ("127.0.0.1", True),
        ("[::1]:9640", True),
        ("[::1]", True),
        ("evil.example", False),
        ("evil.example:9640", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:9640", False),
        ("[::1].evil", False),
    ],
)
def test_a_site_that_calls_itself_127_0_0_1(host: str, may: bool) -> None:
    request = Request("GET", "/api/v1/status", host=host)
    for listen in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "192.0.2.7"):
        answer = Access(HttpConfig(listen, 9640)).admit(request)
        assert isinstance(answer, Request) is may
    open_to_all = HttpConfig("0.0.0.0", 9640, open=frozenset({"metrics"}))
    assert isinstance(Access(open_to_all).admit(request), Request) is may
    scrape = Request("GET", "/metrics", host=host)
    assert isinstance(Access(open_to_all).admit(scrape), Request)
    pair = Tls(Path("a.pem"), Path("a.key"))
    assert isinstance(Access(HttpConfig("0.0.0.0", 9640, tls=pair)).admit(request), Request)
    asked = Access(CLOSED).admit(request)  # with a login no name matters
    assert isinstance(asked, Answer)
    assert asked.status == 401


@pytest.mark.parametrize(
    ("listen", "host_name", "names"),
    [
        ("0.0.0.0", "Hall", {"hall", "hall.local"}),
        ("cam.example", "hall.example", {"cam.example", "hall.example", "hall", "hall.local"}),
        ("::", "", set()),
    ],
)
def test_the_names_of_this_machine(listen: str, host_name: str, names: set[str]) -> None:
    http = HttpConfig(listen, 9640)
    assert own_names(http, host_name) == names
    access = Access(http, names=own_names(http, host_name))
    for name in names:
        for host in (name, f"{name}:9640", f"{name.upper()}."):
            assert isinstance(access.admit(Request("GET", "/", host=host)), Request)
    refusal = access.admit(Request("GET", "/", host=f"{host_name or 'x'}.evil"))
    assert isinstance(refusal, Answer)
    assert refusal.status == 421
    for name in names:
        assert name.encode() in refusal.body

"""The section `http` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edged.config.config import load_config
from edged.config.warnings import warnings as all_warnings
from edged.errors import InputErrors
from edged.web.options import (
    HttpConfig,
    Tls,
    container_hint,
    http_warnings,
    listen_address,
)
from edged.web.password import PasswordHash, new_token, token_hash

PASSWORD = PasswordHash.of("geheim")
TOKEN = token_hash(new_token())


def load(folder: Path, http: str, environ: Mapping[str, str] | None = None) -> HttpConfig | None:
    path = folder / "edged.yaml"
    path.write_text(f"cameras: {{door: {{source: synthetic}}}}\nhttp:\n{http}")
    path.chmod(0o600)
    return load_config(path, environ or {}).http


def test_everything_at_once(tmp_path: Path) -> None:
    text = (
        '  listen: "0.0.0.0:9640"\n'
        f"  users: {{anna: '{PASSWORD}'}}\n"
        f"  token_hashes: ['{TOKEN}']\n"
        "  tls: {certificate: tls.pem, key: /etc/edged/tls.key}\n"
        "  open: [metrics, healthz]\n"
        f"  may: {{teach: [anna, '{TOKEN}'], control: []}}\n"
    )
    assert load(tmp_path, text) == HttpConfig(
        "0.0.0.0",
        9640,
        users={"anna": PASSWORD},
        token_hashes=(TOKEN,),
        tls=Tls(tmp_path / "tls.pem", Path("/etc/edged/tls.key")),
        open=frozenset({"metrics", "healthz"}),
        may={"teach": frozenset({"anna", TOKEN})},
    )


BOTH = f"  users: {{anna: '{PASSWORD}', bob: '{PASSWORD}'}}\n"
NO_LOGIN = (
    "needs http.users or http.token_hashes; without them changes are accepted from this device "
    "only; add one of them (edged hash-password, edged new-token), or remove may"
)
NOBODY = "not a user of http.users, nor a hash of http.token_hashes; write one of them; users:"


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ("  may: {teach: [anna]}", [f"3: http.may: {NO_LOGIN}"]),
        ("  may: {teach: []}", []),
        (
            BOTH + "  may:\n    teach:\n    - bob\n    - hunter22\n    control: [hunter22]",
            [
                f"{line}: http.may.{place}: {NOBODY} anna, bob"
                for line, place in ((7, "teach[1]"), (8, "control[0]"))
            ],
        ),
        (f"  token_hashes: ['{TOKEN}']\n  may: {{control: ['{TOKEN}']}}", []),
        (
            f"  token_hashes: ['{TOKEN}']\n  may: {{teach: [anna]}}",
            [f"4: http.may.teach[0]: {NOBODY} none"],
        ),
        ("  ingress: 172.30.32.2\n  may: {teach: ['ingress:jürgen']}", []),
        (
            "  ingress: 172.30.32.2\n  may: {teach: [anna]}",
            [f"4: http.may.teach[0]: {NOBODY} none"],
        ),
        ("  may: {teach: ['ingress:anna']}", [f"3: http.may: {NO_LOGIN}"]),
        (
            BOTH + "  may: {teach: ['ingress:anna']}",
            [f"4: http.may.teach[0]: {NOBODY} anna, bob"],
        ),
        ("  users: {anna: hunter22}\n  may: {teach: [anna]}", ["3: http.users.anna: expected the"]),
        ("  may: {delete: [anna]}", ["3: http.may.delete: unknown key; write control"]),
        ("  may: [anna]", ["3: http.may: expected lines of `key: value` (got a list); for exampl"]),
        ("  teach: [anna]", ["3: http.teach: unknown key; write may: {teach: [NAME]}"]),
    ],
)
def test_rights_are_those_of_somebody(tmp_path: Path, http: str, said: list[str]) -> None:
    found: list[str] = []
    try:
        load(tmp_path, http)
    except InputErrors as errors:
        found = [str(error) for error in errors.errors]
    assert len(found) == len(said)
    for error, beginning in zip(found, said, strict=True):
        assert error.startswith(f"{tmp_path}/edged.yaml:{beginning}")
        assert "hunter22" not in error


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ("  users: {anna: hunter22}", "expected the hash of a password; create one with"),
        ("  users: {anna: 22446688}", "http.users.anna: expected text"),
        ("  users: {'an:na': x}", "invalid name; expected letters"),
        ("  token_hashes: [hunter22]", "expected the hash of a token; create both with"),
        ("  token_hashes: [22446688]", "http.token_hashes[0]: expected text"),
        ("  tls: {certificate: hunter22}", "http.tls.key: missing"),
        ("  open: [page]", "expected one of metrics, healthz, readyz"),
        ('  listen: "a..b:9851"', "expected a host name"),
        ("  ingress: true", "http.ingress: expected text"),
        ("  ingress: supervisor", "http.ingress: expected an IP address (got 'supervisor')"),
        (
            "  ingress: 172.30.32.2\n  tls: {certificate: tls.pem, key: tls.key}",
            "http.tls: Home Assistant's ingress does not use TLS; remove tls, or ingress",
        ),
    ],
)
def test_mistakes_are_told_and_passwords_are_not(tmp_path: Path, http: str, said: str) -> None:
    with pytest.raises(InputErrors) as got:
        load(tmp_path, http)
    assert said in str(got.value)
    assert "hunter22" not in str(got.value)
    assert "22446688" not in str(got.value)


def test_listen_address() -> None:
    assert listen_address("[::1]:0") == ("::1", 0)
    assert listen_address("none") is None


@pytest.mark.parametrize(
    ("http", "said"),
    [
        (HttpConfig("127.0.0.1", 1), None),
        (HttpConfig("::1", 1), None),
        (HttpConfig("localhost", 1), None),
        (HttpConfig("127.0.0.1", 1, {"anna": PASSWORD}), None),
        (HttpConfig("0.0.0.0", 1), "reachable from other machines without a password"),
        (HttpConfig("0.0.0.0", 1, ingress="172.30.32.2"), None),
        (HttpConfig("door.local", 1), "other host names get only what http.open lists"),
        (HttpConfig("0.0.0.0", 1, {"anna": PASSWORD}), "are sent unencrypted; add http.tls"),
        (HttpConfig("0.0.0.0", 1, token_hashes=(TOKEN,)), "are sent unencrypted; add http.tls"),
        (HttpConfig("0.0.0.0", 1, {"anna": PASSWORD}, tls=Tls(Path("/x"), Path("/x"))), None),
    ],
)
def test_one_warning_for_what_others_can_reach(http: HttpConfig, said: str | None) -> None:
    found = list(http_warnings(http))
    assert len(found) == (said is not None)
    assert said is None or (found[0][0] == ("http", "listen") and said in found[0][1])


def test_a_key_that_everybody_can_read(tmp_path: Path) -> None:
    key = tmp_path / "tls.key"
    key.touch(0o644)
    http = HttpConfig("127.0.0.1", 1, tls=Tls(key, key))
    expected = (("http", "tls", "key"), f"everybody can read {key}; chmod o= {key}")
    assert list(http_warnings(http)) == [expected]
    key.chmod(0o640)
    assert list(http_warnings(http)) == []


def test_the_configuration_warns_of_it(tmp_path: Path) -> None:
    load(tmp_path, '  listen: "0.0.0.0:9640"')
    warned = all_warnings(load_config(tmp_path / "edged.yaml", {}))
    assert [each for each in warned if "edged.yaml:3: http.listen: " in each]


@pytest.mark.parametrize(
    ("http", "host"),
    [
        ("  open: [metrics]", "127.0.0.1"),
        (f"  users: {{anna: '{PASSWORD}'}}", "0.0.0.0"),
        (f"  token_hashes: ['{TOKEN}']", "0.0.0.0"),
        (f"  token_hashes: ['{TOKEN}']\n  listen: 127.0.0.1:9640", "127.0.0.1"),
        ("  listen: 0.0.0.0:9640", "0.0.0.0"),
    ],
    ids=range(5),
)
def test_a_container_is_reached_from_outside_with_a_login(
    tmp_path: Path, http: str, host: str
) -> None:
    environ = {"EDGED_CONTAINER": "1"}
    found = load(tmp_path, http, environ)
    assert found is not None and (found.host, found.port) == (host, 9640)
    hint = container_hint(found, environ)
    assert (hint is not None) == (host == "127.0.0.1")
    assert hint is None or "add http.users or http.token_hashes" in hint
    outside = load(tmp_path, http)
    assert outside is not None and outside.host == ("0.0.0.0" if "0.0.0.0" in http else "127.0.0.1")
    assert container_hint(outside, {}) is None

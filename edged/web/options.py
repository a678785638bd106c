"""Configuration of the HTTP server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from edged.document.document import Document
from edged.document.hosts import check_host
from edged.document.parts import FILE, SECRET, key, section
from edged.errors import InputError
from edged.private_file import readable_by_all
from edged.state import in_container
from edged.web.password import PasswordHash, check_token_hash

OPEN = ("metrics", "healthz", "readyz")
"""Endpoints that may be open to everybody."""
RIGHTS = ("teach", "control")
"""What a client may change. Everybody who may ask may read."""
INGRESS = "ingress:"
"""Before the name of a user of Home Assistant."""

LOCAL, EVERYWHERE = "127.0.0.1:9640", "0.0.0.0:9640"
"""Default addresses."""

_HASH_EXAMPLE = (
    "scrypt:16384:8:1:oYPE7qv1E4GqhdIvL9pQ3A:2n0ZkkeW1uH9qT0Zc0m1yXb7u3sQm0d3v5kH1xVtR2w"
)

_LISTEN = 'write address and port together: listen: "127.0.0.1:9640"'
_HINTS = {
    **dict.fromkeys(("port", "host", "address", "bind"), _LISTEN),
    **dict.fromkeys(
        ("password", "user", "username", "auth"),
        "write users: {NAME: HASH}; edged hash-password prints the hash",
    ),
    **dict.fromkeys(
        ("token", "tokens", "api_key"), "write token_hashes: [HASH]; edged new-token prints both"
    ),
    **dict.fromkeys(("ssl", "https", "certificate", "cert"), "tls"),
    **dict.fromkeys(("home_assistant", "hassio", "proxy", "trusted_proxies"), "ingress"),
    **dict.fromkeys(
        ("rights", "roles", "permissions", "teach", "control", "admins"),
        "write may: {teach: [NAME]}",
    ),
    "enabled": "to disable the server, write listen: none",
    "none": "to disable the server, write http: {listen: none}",
}

_MAY_HINTS = {
    **dict.fromkeys(("train", "teaching", "learn", "write", "all", "admin", *OPEN), "write teach"),
    **dict.fromkeys(("delete", "correct", "change", "switch"), "write control"),
    **dict.fromkeys(("read", "view", "see"), "everybody with a login may read; remove the key"),
    **dict.fromkeys(("users", "tokens"), "write the right, then who has it: teach: [anna]"),
}


def _right(title: str, what: str) -> dict[str, Any]:
    described = (
        "Names of http.users, hashes of http.token_hashes, and with http.ingress users of Home "
        f"Assistant, as {INGRESS}NAME."
    )
    return key(
        title,
        f"Who may {what}. {described}",
        ["anna"],
        ["anna", "sha256:" + 64 * "0"],
        type="array",
        items={"type": "string", "minLength": 1, **SECRET},
        uniqueItems=True,
        maxItems=64,
        default=[],
    )


HTTP = section(
    [],
    _HINTS,
    listen=key(
        "Address",
        "address:port. Write an IPv6 address in brackets, and the whole in quotes. Port 0 selects "
        "a free port; none disables the server. In the container image, the default with users or "
        f"tokens is {EVERYWHERE}.",
        LOCAL,
        EVERYWHERE,
        "[::1]:9640",
        "none",
        type="string",
        format="listen-address",
        default=LOCAL,
    ),
    users=key(
        "Users",
        "User name and password hash, as edged hash-password prints it. With users or tokens, "
        "requests without a login are limited to the open paths.",
        {"anna": _HASH_EXAMPLE},
        type="object",
        propertyNames={
            "pattern": "^[A-Za-z0-9._-]{1,64}$",
            "patternErrorMessage": "letters, digits, . _ or -, 64 at most",
        },
        additionalProperties=key(
            "Hash", "The password's hash.", _HASH_EXAMPLE, format="password-hash", **SECRET
        ),
        default={},
    ),
    token_hashes=key(
        "Hashes of tokens",
        "Hashes of tokens for programs, which send the token itself (Authorization: Bearer …). "
        "edged new-token prints both.",
        ["sha256:" + 64 * "0"],
        type="array",
        items={"format": "token-hash", **SECRET},
        maxItems=32,
        default=[],
    ),
    may=key(
        "Rights",
        "Who may change something over HTTP. Users and tokens that are not named may only read. "
        "Without users, tokens and ingress it cannot be set: changes are then accepted from this "
        "device only.",
        {"teach": ["anna"]},
        default={},
        **section(
            [],
            _MAY_HINTS,
            teach=_right("Teach", "teach classes, on the page or with a program"),
            control=_right("Control", "delete, correct and switch what the device keeps"),
        ),
    ),
    ingress=key(
        "Home Assistant's ingress",
        "Address of Home Assistant's supervisor, which is 172.30.32.2 in an add-on. Requests that "
        "come from there through ingress need no login and no name of this machine. Without users "
        "and tokens, other machines then get the open paths only. Whoever has this address can be "
        "any user of Home Assistant. Default: none.",
        "172.30.32.2",
        type="string",
        format="ip-address",
    ),
    tls=key(
        "TLS",
        "Certificate and key for HTTPS. A reload reads the files again. Default: plain HTTP.",
        {"certificate": "/etc/edged/tls.pem", "key": "/etc/edged/tls.key"},
        **section(
            ["certificate", "key"],
            certificate=key("Certificate", "Certificate and its chain (PEM).", "tls.pem", **FILE),
            key=key("Key", "Private key without a password (PEM).", "tls.key", **FILE),
        ),
    ),
    open=key(
        "Open paths",
        "Endpoints that need no login. Without users, tokens and TLS: endpoints that answer under "
        "any host name. The others then answer only under an address, localhost or a name of this "
        "machine, to protect them from web pages (DNS rebinding).",
        ["metrics", "healthz"],
        type="array",
        items={"enum": list(OPEN)},
        uniqueItems=True,
        default=[],
    ),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """certificate: a PEM file with the chain. key: a PEM file without a password."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """host: a name or address, IPv6 without brackets. port: 0 selects a free one. users: name →
    password hash. open: a subset of OPEN. may: right → names of users, and hashes of tokens.
    ingress: an address; "" for none.
    """

    host: str
    port: int
    users: Mapping[str, PasswordHash] = field(default_factory=dict)
    token_hashes: tuple[str, ...] = ()
    tls: Tls | None = None
    open: frozenset[str] = frozenset()
    may: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ingress: str = ""

    @property
    def asks(self) -> bool:
        """Whether requests need a password or a token."""
        return bool(self.users or self.token_hashes)

    @property
    def is_loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def http_config(data: Mapping[str, Any], base: Path) -> HttpConfig | None:
    """None for no server. data: the section `http`, checked. base: where relative paths start."""
    address = listen_address(data["listen"])
    if address is None:
        return None
    host, port = address
    tls = data.get("tls")
    return HttpConfig(
        host,
        port,
        users={name: PasswordHash.parse(text) for name, text in data["users"].items()},
        token_hashes=tuple(data["token_hashes"]),
        tls=None if tls is None else Tls(base / tls["certificate"], base / tls["key"]),
        open=frozenset(data["open"]),
        may={right: frozenset(names) for right, names in data["may"].items() if names},
        ingress=data.get("ingress", ""),
    )


def default_listen(asks: bool, environ: Mapping[str, str]) -> str:
    """In a container with a network of its own, LOCAL is reached from within only. asks: whether
    requests need a password or a token."""
    return EVERYWHERE if asks and in_container(environ) else LOCAL


def container_hint(http: HttpConfig | None, environ: Mapping[str, str]) -> str | None:
    """How the server is reached from outside of the container, if it is not."""
    if http is None or not http.is_loopback or not in_container(environ):
        return None
    return (
        f"{http.host} in this container is reached from the device only with the device's network "
        "(--network host); to reach it otherwise, add http.users or http.token_hashes (edged "
        "hash-password, edged new-token), and remove http.listen: edged then listens on "
        f"{EVERYWHERE}"
    )


def http_errors(may: Mapping[str, Sequence[str]], document: Document) -> Iterator[InputError]:
    """Rights that nobody could use, and ingress with TLS, which it does not speak. may: the
    section, without what is wrong by itself."""
    written = document.data.get("http")
    users, hashes, ingress, tls = (
        written.get(each) if isinstance(written, dict) else None
        for each in ("users", "token_hashes", "ingress", "tls")
    )
    if ingress and tls:
        what = "Home Assistant's ingress does not use TLS"
        yield document.error(what, *("http", "tls"), fix="remove tls, or ingress")
    names = list(map(str, users)) if isinstance(users, dict) else []
    known = {*names, *(map(str, hashes) if isinstance(hashes, list) else ())}
    if not known and not ingress and any(may.values()):
        yield document.error(
            "needs http.users or http.token_hashes; without them changes are accepted from this "
            "device only",
            *("http", "may"),
            fix="add one of them (edged hash-password, edged new-token), or remove may",
        )
        return
    told = ", ".join(names) or "none"
    for right, entries in may.items():
        for index, entry in enumerate(entries):
            if entry not in known and not (ingress and entry.startswith(INGRESS)):
                yield document.error(
                    "not a user of http.users, nor a hash of http.token_hashes",
                    *("http", "may", right, index),
                    fix=f"write one of them; users: {told}",
                )


def _check_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        fix = "for example 172.30.32.2"
        raise InputError("expected an IP address", got=repr(text), fix=fix) from None


def listen_address(text: str) -> tuple[str, int] | None:
    """Host and port; None for no server. Raises InputError."""
    if text == "none":
        return None
    match = re.fullmatch(r"(\[(?P<v6>[^\]]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})", text)
    if match and int(match["port"]) <= 65535:
        host = match["v6"] or match["host"]
        # Names are resolved when the server starts; what looks like an address must be one.
        if not match["v6"] and not re.fullmatch(r"[\d.]+", host):
            check_host(host)
            return host, int(match["port"])
        try:
            if ip_address(host).version == (6 if match["v6"] else 4):
                return host, int(match["port"])
        except ValueError:
            pass
    raise InputError(
        "expected address:port or none",
        got=repr(text),
        fix='for example 127.0.0.1:9640, "[::1]:9640", or 0.0.0.0:9640 for every interface',
    )


HTTP_FORMATS: Mapping[str, Callable[[str], object]] = {
    "ip-address": _check_address,
    "listen-address": listen_address,
    "password-hash": PasswordHash.parse,
    "token-hash": check_token_hash,
}
"""Of the schema."""

_NAMES = (
    ". Until then it answers requests for an address, localhost or this machine's own name; other "
    "host names get only what http.open lists"
)


def http_warnings(http: HttpConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys, one line)"""
    listen = ("http", "listen")
    if not http.is_loopback and not http.asks and not http.ingress:
        what = (
            f"{http.host} is reachable from other machines without a password; add "
            "http.users or http.token_hashes with http.tls (edged hash-password, edged "
            "new-token), or listen on 127.0.0.1"
        )
        yield listen, what if http.tls else what + _NAMES
    elif http.asks and not http.is_loopback and http.tls is None:
        what = (
            f"{http.host} is reachable from other machines, and passwords and tokens are sent "
            "unencrypted; add http.tls"
        )
        yield listen, what
    if http.tls is not None:
        yield from ((("http", "tls", "key"), what) for what in readable_by_all(http.tls.key))

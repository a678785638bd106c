"""The configuration of the HTTP server: where it listens, and who may ask it what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from edged.document.hosts import check_host
from edged.document.parts import FILE, SECRET, key, section
from edged.errors import InputError
from edged.private_file import readable_by_all
from edged.web.password import PasswordHash, check_token_hash

OPEN = ("metrics", "healthz", "readyz")
"""What may be left open to everybody."""


_HASH_EXAMPLE = (
    "scrypt:16384:8:1:oYPE7qv1E4GqhdIvL9pQ3A:2n0ZkkeW1uH9qT0Zc0m1yXb7u3sQm0d3v5kH1xVtR2w"
)

_LISTEN = 'write listen: "127.0.0.1:9640", address and port in one'
_HINTS = {
    **dict.fromkeys(("port", "host", "address", "bind"), _LISTEN),
    **dict.fromkeys(
        ("password", "user", "username", "auth"),
        "write users: {NAME: HASH}; edged hash-password makes the hash",
    ),
    **dict.fromkeys(
        ("token", "tokens", "api_key"), "write token_hashes: [HASH]; edged new-token makes both"
    ),
    **dict.fromkeys(("ssl", "https", "certificate", "cert"), "tls"),
    "enabled": "write listen: none for no server",
}

HTTP = section(
    [],
    _HINTS,
    listen=key(
        "Address",
        "address:port; an IPv6 address in brackets, and that in quotes. Port 0 takes a "
        "free one; none switches the server off.",
        "127.0.0.1:9640",
        "0.0.0.0:9640",
        "[::1]:9640",
        "none",
        type="string",
        format="listen-address",
        default="127.0.0.1:9640",
    ),
    users=key(
        "Users",
        "Name and hash of the password, as edged hash-password prints it. With users or "
        "tokens, whoever has neither gets nothing but what is open.",
        {"anna": _HASH_EXAMPLE},
        type="object",
        propertyNames={
            "pattern": "^[A-Za-z0-9._-]{1,64}$",
            "patternErrorMessage": "letters, digits, . _ or -, 64 at most",
        },
        additionalProperties=key(
            "Hash", "Of the password.", _HASH_EXAMPLE, format="password-hash", **SECRET
        ),
        default={},
    ),
    token_hashes=key(
        "Hashes of tokens",
        "For programs, which send the token itself (Authorization: Bearer …); edged "
        "new-token prints both.",
        ["sha256:" + 64 * "0"],
        type="array",
        items={"format": "token-hash", **SECRET},
        maxItems=32,
        default=[],
    ),
    tls=key(
        "TLS",
        "PEM files: the certificate with its chain, and the key without a password. A "
        "reload reads them anew. Without it, plain HTTP.",
        {"certificate": "/etc/edged/tls.pem", "key": "/etc/edged/tls.key"},
        **section(
            ["certificate", "key"],
            certificate=key("Certificate", "A PEM file.", "tls.pem", **FILE),
            key=key("Key", "A PEM file.", "tls.key", **FILE),
        ),
    ),
    open=key(
        "Open paths",
        "What needs neither password nor token although there are some. Without any and "
        "without TLS, what may be asked under any host name: else only under an address, "
        "localhost and the names of this machine, because a web page could read the rest (DNS "
        "rebinding).",
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
    """host: a name or address, an IPv6 address without its brackets. port: 0 is any free one.

    users: name → hash of the password. open: of OPEN. Without users and tokens all is open to who
    asks by an address or a name of this machine.
    """

    host: str
    port: int
    users: Mapping[str, PasswordHash] = field(default_factory=dict)
    token_hashes: tuple[str, ...] = ()
    tls: Tls | None = None
    open: frozenset[str] = frozenset()

    @property
    def asks(self) -> bool:
        """For a password or a token."""
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
    )


def try_files(http: HttpConfig) -> None:
    """Raises EdgedError where its certificate or key cannot be used."""
    from edged.web.tls import server_context

    if http.tls is not None:
        server_context(http.tls)


def listen_address(text: str) -> tuple[str, int] | None:
    """Host and port; None for no server. Raises InputError."""
    if text == "none":
        return None
    match = re.fullmatch(r"(\[(?P<v6>[^\]]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})", text)
    if match and int(match["port"]) <= 65535:
        host = match["v6"] or match["host"]
        # A name is resolved when it is listened on; what looks like an address must be one.
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
    "listen-address": listen_address,
    "password-hash": PasswordHash.parse,
    "token-hash": check_token_hash,
}
"""Of the schema."""

_NAMES = (
    ". Until then it answers who asks for an address, localhost or this machine's own name; who "
    "asks for another host name gets what http.open lists"
)


def http_warnings(http: HttpConfig) -> Iterator[str]:
    """One line each."""
    if not http.is_loopback and not http.asks:
        yield (
            f"http.listen: {http.host} can be reached from other machines, and nothing asks "
            "for a password; add http.users or http.token_hashes with http.tls (edged "
            "hash-password, edged new-token), or keep it to this one with 127.0.0.1"
        ) + ("" if http.tls else _NAMES)
    elif not http.is_loopback and http.tls is None:
        yield (
            f"http.listen: {http.host} can be reached from other machines, and passwords and "
            "tokens travel readably; add http.tls"
        )
    if http.tls is not None:
        yield from readable_by_all(http.tls.key)

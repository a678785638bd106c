"""Authorization: users with a password, programs with a token, anybody for open paths.

Accepted passwords are cached as keyed digests, because checking one takes tens of milliseconds.
Only one password is checked at a time, and an address that sends wrong ones is delayed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection
from http import HTTPStatus
from ipaddress import ip_address

from edged.clock import Clock, monotonic_ns
from edged.web.answer import Answer, Request
from edged.web.options import HttpConfig
from edged.web.password import LONGEST_PASSWORD_BYTES, PasswordHash, token_hash

GUESSES = 5
"""Wrong passwords an address may send in a row; then one more per GUESS_SECONDS."""
GUESS_SECONDS = 2.0
BUSY_SECONDS = 2.0
"""How long a request waits while other passwords are checked."""
_MOST_REMEMBERED = 64
_MOST_ADDRESSES = 256


class Access:
    """names: lower-case host names that requests without a login may use for this machine."""

    def __init__(
        self, http: HttpConfig, clock: Clock = monotonic_ns, names: Collection[str] = ()
    ) -> None:
        self._http = http
        self._names = frozenset(names)
        self._open = frozenset(f"/{name}" for name in http.open)
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._guesses = _Guesses(clock)
        self._computing = threading.Lock()
        self._nobody = PasswordHash(1 << 14, 8, 1, b"0" * 16, b"") if http.users else None
        """Checked for unknown users, so that they take as long as known ones."""

    def refusal(self, request: Request) -> Answer | None:
        """The answer to a request that is not authorized; None if it is."""
        if request.path in self._open:
            return None
        if not self._http.asks:
            return self._host_refusal(request.host) if self._http.tls is None else None
        kind, _, value = request.authorization.partition(" ")
        if kind.lower() == "bearer" and self._http.token_hashes:
            if self._is_token(value.strip()):
                return None
        elif kind.lower() == "basic" and self._http.users:
            credentials = _decoded(value)
            if credentials is not None:
                return self._password_refusal(request, *credentials)
        return self._ask()

    def _host_refusal(self, host: str) -> Answer | None:
        """Refuse foreign host names against DNS rebinding: a web page may resolve its own name to
        this machine and read the answers. It cannot do so with an address or a name of this
        machine; with TLS, its name would have to be in the certificate."""
        name = (host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host).lower()
        bare = name.strip("[]")
        if bare.rstrip(".") in ("", "localhost", *self._names) or _is_address(bare):
            return None
        known = ", ".join(["an address", "localhost", *sorted(self._names)])
        return Answer.text(
            HTTPStatus.MISDIRECTED_REQUEST,
            why=f"use {known}; other names need http.users, http.token_hashes or http.open",
        )

    def _ask(self) -> Answer:
        ways = (("Basic", self._http.users), ("Bearer", self._http.token_hashes))
        wanted = [("WWW-Authenticate", f'{way} realm="edged"') for way, some in ways if some]
        return Answer.text(HTTPStatus.UNAUTHORIZED, *wanted)

    def _is_token(self, token: str) -> bool:
        given = token_hash(token)
        return any(hmac.compare_digest(given, each) for each in self._http.token_hashes)

    def _password_refusal(self, request: Request, name: str, password: str) -> Answer | None:
        digest = hmac.digest(self._key, f"{name}:{password}".encode(), "sha256")
        if digest in self._known:
            return None
        wait_seconds = self._guesses.wait_seconds(request.client)
        if wait_seconds > 0:
            return Answer.text(
                HTTPStatus.TOO_MANY_REQUESTS,
                ("Retry-After", f"{wait_seconds:.0f}"),
                why="too many wrong passwords from this address",
            )
        if not self._computing.acquire(timeout=BUSY_SECONDS):
            return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "1"))
        try:
            if digest in self._known:  # a browser sends several requests at once
                return None
            expected = self._http.users.get(name, self._nobody)
            if expected is not None and expected.matches(password):
                self._known[digest] = None
                if len(self._known) > _MOST_REMEMBERED:
                    self._known.popitem(last=False)
                return None
            self._guesses.wrong(request.client)
        finally:
            self._computing.release()
        return self._ask()


class _Guesses:
    """Rate limit of wrong passwords, by address: until when each has used up its share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ns: OrderedDict[str, int] = OrderedDict()

    def wait_seconds(self, client: str) -> float:
        """Time until the next attempt; 0 if one is allowed now."""
        ahead_ns = self._until_ns.get(_origin(client), 0) - self._clock()
        return max(0.0, ahead_ns / 1e9 - (GUESSES - 1) * GUESS_SECONDS)

    def wrong(self, client: str) -> None:
        origin, now_ns = _origin(client), self._clock()
        until_ns = max(now_ns, self._until_ns.pop(origin, 0))
        self._until_ns[origin] = until_ns + int(GUESS_SECONDS * 1e9)
        if len(self._until_ns) > _MOST_ADDRESSES:
            self._until_ns.popitem(last=False)


def _origin(client: str) -> str:
    """The address, or the /64 of an IPv6 address, all of which one machine may use."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    return client if address.version == 4 else address.exploded[:19]


def _decoded(value: str) -> tuple[str, str] | None:
    """Name and password of basic authentication; None if malformed."""
    if len(value) > 2 * LONGEST_PASSWORD_BYTES:
        return None
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def own_names(http: HttpConfig, host_name: str) -> set[str]:
    """The machine's host name, its multicast DNS name, and the one in http.listen."""
    short = host_name.lower().partition(".")[0]
    names = {host_name.lower(), short, f"{short}.local" if short else "", http.host.lower()}
    return {name for name in names if name and not _is_address(name)}


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

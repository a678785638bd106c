"""Authorization: users with a password, programs with a token, anybody for open paths.

Accepted passwords are cached as keyed digests, because checking one takes tens of milliseconds.
Only one password is checked at a time, and an address that sends wrong ones is delayed.

Everybody who is admitted may read. `http.may` says who may change something; without users and
tokens, programs of this machine may, except those of the service's own user: a camera's process
that has been taken over could reach the server.

Home Assistant has authenticated whoever asks through its ingress: that is a login, as the user
`ingress:NAME`. Only requests from the supervisor's address that state an ingress path count.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import replace
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

from edged.clock import Clock, monotonic_ns
from edged.web.answer import Answer, Request
from edged.web.changes.peer import PROC, is_loopback, is_same, user_of
from edged.web.changes.rate import RateLimit
from edged.web.options import INGRESS, RIGHTS, HttpConfig
from edged.web.password import LONGEST_PASSWORD_BYTES, PasswordHash, token_hash

GUESSES = 5
"""Wrong passwords an address may send in a row; then one more per GUESS_SECONDS."""
GUESS_SECONDS = 2.0
BUSY_SECONDS = 2.0
"""How long a request waits while other passwords are checked."""
CHANGES = 30
"""Changes that an address may make in a row, and pictures that it may ask about; then one more per
CHANGE_SECONDS."""
CHANGE_SECONDS = 0.2
_MOST_REMEMBERED = 64
_INGRESS_PATH = re.compile(r"/api/hassio_ingress/[A-Za-z0-9_-]+")


class Access:
    """names: lower-case host names that requests without a login may use for this machine.
    service_user: the daemon's user id if it is a service, so that it has a user to itself.
    own_health: whether programs of this machine need no login for /healthz.
    """

    def __init__(
        self,
        http: HttpConfig,
        clock: Clock = monotonic_ns,
        names: Collection[str] = (),
        service_user: int | None = None,
        proc: Path = PROC,
        own_health: bool = False,
    ) -> None:
        self._http = http
        self._names = frozenset(names)
        self._service_user = service_user
        self._proc = proc
        self._own_health = own_health
        self._open = frozenset(f"/{name}" for name in http.open)
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._guesses = RateLimit(clock, GUESSES, GUESS_SECONDS)
        self._changes = RateLimit(clock, CHANGES, CHANGE_SECONDS)
        self._questions = RateLimit(clock, CHANGES, CHANGE_SECONDS)
        """Bodies that change nothing: they leave the changes their share."""
        self._computing = threading.Lock()
        self._nobody = PasswordHash(1 << 14, 8, 1, b"0" * 16, b"") if http.users else None
        """Checked for unknown users, so that they take as long as known ones."""

    def admit(self, request: Request) -> Request | Answer:
        """The request with `who` and `barred`; or the answer, if it is not authorized."""
        who = self._who(request)
        if isinstance(who, Answer):
            return who
        barred = dict(self._barred(request, who))
        return replace(request, who=who, barred=barred, framed=who.startswith(INGRESS))

    def refusal_to_post(self, request: Request, right: str | None) -> Answer | None:
        """The answer to an admitted request whose client must not send its body; None if it may.
        right: what that takes; None for what changes nothing, as asking about a picture."""
        if self._http.asks and not request.who:
            return self._ask()
        if right is None:
            barred = "" if self._http.asks or request.who else self._own_user(request)
        else:
            barred = request.barred.get(right, "")
        if barred:
            return Answer.error(HTTPStatus.FORBIDDEN, barred)
        login = self._http.asks or request.who
        if not login and (refusal := self._host_refusal(request.host)):
            return refusal
        verb, things = ("send", "pictures") if right is None else ("change", "changes")
        if not self._is_own_page(request):
            return Answer.error(
                HTTPStatus.FORBIDDEN,
                f"a page of another site must not {verb} anything",
                got=request.origin or request.fetch_site,
                fix="a proxy must pass on the header Host unchanged",
            )
        limit = self._questions if right is None else self._changes
        wait_seconds = limit.wait_seconds(request.client)
        if wait_seconds > 0:
            retry = ("Retry-After", str(math.ceil(wait_seconds)))
            what = f"too many {things} from this address"
            return Answer.error(HTTPStatus.TOO_MANY_REQUESTS, what, retry)
        limit.used(request.client)
        return None

    def _who(self, request: Request) -> str | Answer:
        """A user's name, a token's hash, "" where no login is needed; or the refusal."""
        if self._is_ingress(request):
            return INGRESS + request.ingress_user
        own = self._own_health and is_loopback(request.client) and not request.forwarded
        if request.path in self._open or (own and request.path == "/healthz"):
            return ""
        if not self._http.asks:
            if self._http.ingress and not is_loopback(request.client):
                why = "only Home Assistant's ingress is answered, and requests of this machine"
                return Answer.text(HTTPStatus.FORBIDDEN, why=why)
            return (self._host_refusal(request.host) if self._http.tls is None else None) or ""
        kind, _, value = request.authorization.partition(" ")
        if kind.lower() == "bearer" and self._http.token_hashes:
            if found := self._token(value.strip()):
                return found
        elif kind.lower() == "basic" and self._http.users:
            credentials = _decoded(value)
            if credentials is not None:
                return self._password_refusal(request, *credentials) or credentials[0]
        return self._ask()

    def _is_ingress(self, request: Request) -> bool:
        ingress = self._http.ingress
        return (
            bool(ingress)
            and is_same(request.client, ingress)
            and _INGRESS_PATH.fullmatch(request.ingress_path) is not None
        )

    def _barred(self, request: Request, who: str) -> Iterator[tuple[str, str]]:
        """(right, what keeps this client from it)"""
        login = self._http.asks or who
        stranger = "" if login else self._stranger(request)
        for right in RIGHTS:
            if stranger:
                yield right, stranger
            elif login and who not in self._http.may.get(right, ()):
                named = who in self._http.users or who.startswith(INGRESS)
                name = who if named else "this token"
                yield right, f"{name} may only read; see http.may.{right} in the configuration"

    def _stranger(self, request: Request) -> str:
        """Why a client without a login must not change anything; "" if it may."""
        if request.forwarded or not is_loopback(request.client):
            return (
                "changes from other devices need a login: http.users and http.may in the "
                "configuration"
            )
        return self._own_user(request)

    def _own_user(self, request: Request) -> str:
        """Why a program of this machine must not send anything without a login; "" if it may, or is
        of another machine."""
        local = is_loopback(request.client) or request.peer.address == request.server.address
        if self._service_user is None or not local:
            return ""
        user = user_of(request.peer, request.server, self._proc)
        if user is None:
            return "the program at the other end of this connection is not known"
        if user == self._service_user:
            return "programs of the daemon's own user may only read; use another user"
        return ""

    def _is_own_page(self, request: Request) -> bool:
        """Whether the request comes from a page of this server, or from no page."""
        if request.fetch_site not in ("", "same-origin", "none"):
            return False
        if not request.origin:
            return True
        scheme, _, host = request.origin.lower().partition("://")
        # Without TLS of our own, a proxy may have added it.
        ours = ("https",) if self._http.tls is not None else ("http", "https")
        return scheme in ours and host == request.host.lower() != ""

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

    def _token(self, token: str) -> str | None:
        """Its hash if it is known."""
        given = token_hash(token)
        known = [each for each in self._http.token_hashes if hmac.compare_digest(given, each)]
        return known[0] if known else None

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
            self._guesses.used(request.client)
        finally:
            self._computing.release()
        return self._ask()


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

"""The API of a running daemon, for commands."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from threading import Event, Timer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edged.doctor.unit import FOLDERS, UNIT
from edged.errors import EdgedError, InputError
from edged.printable import printable
from edged.state import in_container

if TYPE_CHECKING:
    from edged.web.options import HttpConfig

TOKEN = "EDGED_TOKEN"
TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 4_000_000
_START_CONTAINER = (
    "on the device: docker ps -a says whether its container runs, docker logs NAME what it says; "
    "docker exec NAME edged … runs this command beside it (Podman takes the same commands)"
)
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class NoAnswerError(EdgedError):
    """No daemon answers."""

    exit_status = 3


class Daemon:
    """url: of the page. tls: for https, by default what the system trusts. login: the value of
    `Authorization`, by default a token from the environment. also: another way to log in.
    timeout: in seconds, from the question to the end of the answer. here: the address is known to
    be that of this device's daemon."""

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext | None = None,
        login: str | None = None,
        also: str = "",
        timeout: float = TIMEOUT_SECONDS,
        *,
        here: bool = False,
    ) -> None:
        """Raises InputError."""
        self.url = url
        self._host, self._port, self._prefix = _address(url)
        self._tls = tls
        if url.startswith("https:") and tls is None:
            self._tls = ssl.create_default_context()
        self._login = _token() if login is None else login
        self._also = also
        self._timeout = timeout
        self._here = here

    @classmethod
    def of(cls, http: HttpConfig, login: str | None = None, also: str = "") -> Daemon:
        """The one on this device that has this configuration."""
        host = _ANY.get(http.host, http.host)
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if http.tls is None else "https"
        tls = None if http.tls is None else _context(str(http.tls.certificate))
        return cls(f"{scheme}://{shown}:{http.port}", tls, login, also, here=True)

    def get(self, path: str) -> dict[str, Any]:
        """path: below /api/v1/. Raises NoAnswerError, and as `post` does."""
        return self._ask("GET", f"/api/v1/{path}", None)

    def health(self) -> dict[str, Any]:
        """The JSON of /healthz, also that of status 503, with which the daemon names the loops that
        are stuck. Raises as `get` does."""
        return self._ask("GET", "/healthz", None, HTTPStatus.SERVICE_UNAVAILABLE)

    def post(self, path: str, values: dict[str, Any]) -> dict[str, Any]:
        """Raises InputError for what the daemon calls a mistake, EdgedError."""
        return self._ask("POST", f"/api/v1/{path}", json.dumps(values).encode())

    def _ask(
        self, method: str, path: str, body: bytes | None, also: HTTPStatus = HTTPStatus.OK
    ) -> dict[str, Any]:
        """also: a status whose content is an answer too."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._login:
            headers["Authorization"] = self._login
        connection = self._connection()
        try:
            with _ending(connection, self._timeout):
                connection.request(method, f"{self._prefix}{path}", body, headers)
                answer = connection.getresponse()
                content = answer.read(_MOST_BYTES)
        except ssl.SSLCertVerificationError as error:
            raise EdgedError(
                "the certificate is not trusted",
                where=self.url,
                got=error.verify_message,
                fix="name the daemon's configuration (-c), or a file of certificates that you "
                "trust (SSL_CERT_FILE=FILE)",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            broken = isinstance(error, (ssl.SSLError, ConnectionResetError))
            if broken and self._tls is not None and self._speaks_http():
                fix = f"use http:{self.url.partition(':')[2]}"
                what = "expected TLS, but the server speaks plain HTTP"
                raise InputError(what, where=self.url, fix=fix) from None
            raise NoAnswerError(
                "the daemon does not answer",
                where=self.url,
                got=getattr(error, "strerror", None) or type(error).__name__,
                fix=how_to_start(here=self._here),
            ) from None
        finally:
            connection.close()
        if answer.status // 100 != 2 and answer.status != also:
            raise self._refused(answer.status, content)
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise self.misunderstood()
        return values

    def misunderstood(self) -> EdgedError:
        return EdgedError("an answer that is not edged's", where=self.url)

    def _speaks_http(self) -> bool:
        """Without the login, which nobody should read."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/healthz")
            connection.getresponse()
            return True
        return False

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._tls
        )

    def _refused(self, status: int, content: bytes) -> EdgedError:
        """What the daemon says, in JSON or plain text."""
        kind = InputError if status // 100 == 4 else EdgedError
        if status == HTTPStatus.UNAUTHORIZED:
            if self._login and self._login.startswith("Basic "):
                return kind("wrong user or password", where=self.url)
            fix = f"{self._also}set {TOKEN} to a token of http.token_hashes (edged new-token)"
            what = "the daemon refuses this token" if self._login else "the daemon asks for a login"
            return kind(what, where=self.url, fix=fix)
        try:
            error = json.loads(content)["error"]
            parts = [error["what"], error.get("got"), error.get("fix")]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            said = content.decode(errors="replace").strip()
            parts = [said or f"status {status}", None, None]
        shown = [None if each is None else printable(str(each)) for each in parts]
        return kind(str(shown[0]), where=self.url, got=shown[1], fix=shown[2])


def how_to_start(root: Path = Path("/"), *, here: bool) -> str:
    if in_container(os.environ):
        return _START_CONTAINER
    if not here:
        return "check the address, and on its device whether edged runs"
    is_service = any((root / folder / UNIT).exists() for folder in FOLDERS)
    return f"start it: {'sudo systemctl start edged' if is_service else 'edged run'}"


@contextmanager
def _ending(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """The connection's own timeout starts again with each byte that comes; this one does not.

    Raises TimeoutError."""
    deadline, over = time.monotonic() + seconds, Event()
    connection.connect()
    held: socket.socket = connection.sock  # the connection forgets it before the answer is read

    def end() -> None:
        over.set()
        with suppress(OSError):
            socket.socket.shutdown(held, socket.SHUT_RDWR)  # of an SSLSocket too

    timer = Timer(deadline - time.monotonic(), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not over.is_set():
            raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError


def basic(user: str, password: str) -> str:
    """The value of `Authorization`. Raises InputError for a name that no user can have."""
    if ":" in user or not user.isprintable():
        raise InputError("not the name of a user", got=repr(user))
    try:
        text = f"{user}:{password}".encode()
    except UnicodeEncodeError:
        raise InputError("expected a password in UTF-8") from None
    return f"Basic {base64.b64encode(text).decode()}"


def _token() -> str:
    token = os.environ.get(TOKEN, "").strip()
    if token and not (token.isascii() and token.isprintable()):
        raise InputError(f"{TOKEN} is not a token", fix="edged new-token makes one")
    return f"Bearer {token}" if token else ""


def _address(url: str) -> tuple[str, int, str]:
    """Host, port and path."""
    fix = "for example: http://127.0.0.1:9640"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError("not a URL", where=url, fix=fix) from None
    if "@" in parts.netloc:
        raise InputError("expected a URL without a user", where=url, fix="use --user NAME")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InputError("expected the URL of a daemon", where=url, fix=fix)
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise InputError("expected a URL in ASCII", got=repr(url), fix=fix)
    default = 443 if parts.scheme == "https" else 80
    return host, default if port is None else port, parts.path.rstrip("/")


def _context(certificate: str) -> ssl.SSLContext:
    """Trusts the daemon's own certificate, whatever names it has: it is at an address of this
    device."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise EdgedError(
            "the daemon's certificate cannot be read", where=certificate, got=error.strerror
        ) from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context

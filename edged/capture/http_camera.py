"""A camera's HTTP address: asking it for something, with its login, and what its refusals mean.

User and password come from the URL and are sent, to that host only, when the camera asks for them
(Basic, Digest). The connection is kept where the camera keeps it. Proxies are not used: a camera is
reached directly. What the answers hold is not known here.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from edged.capture import Failure, SourceError
from edged.capture.http_login import Login
from edged.secret import redact

ANSWER_SECONDS = 10.0
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HEADERS = {"User-Agent": "edged"}
_PLAIN = "%/:=&?~+!$,;'@()*"
"""Characters of a path and query that are sent as they stand."""


class HttpCamera:
    """url: may hold user and password. Errors are SourceErrors of the reason that is asked for."""

    def __init__(self, url: str) -> None:
        self.where = redact(url)
        self._connection: http.client.HTTPConnection | None = None
        self._connected_to = ("", "")
        self._response: http.client.HTTPResponse | None = None
        try:
            self._url, user, password = without_login(url)
        except ValueError:
            fix = "in the user and password write / ? # as %2F %3F %23"
            raise self.error("not an address", Failure.OPEN_FAILED, fix=fix) from None
        self._login = None if user is None else Login(user, password)

    def get(
        self, headers: Mapping[str, str] | None = None, *, reason: Failure = Failure.OPEN_FAILED
    ) -> http.client.HTTPResponse:
        """The answer, its body unread: status 200, or 304 where `headers` allow that. It is to be
        read to its end before the next one is asked for, or `close` comes first.
        """
        try:
            response = self._follow(dict(headers or {}))
        except TimeoutError:
            raise self.error(f"no answer within {ANSWER_SECONDS:g} s", reason) from None
        except ssl.SSLCertVerificationError as error:
            fix = "add it to the system's certificates, or use http:// inside your own network"
            what = "its certificate is not trusted"
            raise self.error(what, reason, got=error.verify_message, fix=fix) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise self.error(f"cannot be reached: {text}", reason) from None
        if response.status in (200, 304):
            return response
        self.close()
        got = f"HTTP status {response.status}"
        if response.status not in (401, 403):
            raise self.error("the camera refuses", reason, got=got)
        raise self.error(
            "the camera refuses the login",
            Failure.UNAUTHORIZED,
            got=got,
            fix="check the user and password in the URL",
        )

    def close(self) -> None:
        """Answer and connection; the next question opens another one."""
        for each in (self._response, self._connection):
            if each is not None:
                each.close()
        self._response = self._connection = None

    def error(
        self, what: str, reason: Failure, *, got: str | None = None, fix: str | None = None
    ) -> SourceError:
        return SourceError(reason, what, where=self.where, got=got, fix=fix)

    def _follow(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Past redirections, which get the login only on the camera's own host."""
        url = self._url
        for _ in range(_MOST_REDIRECTS):
            own = urlsplit(url)[:2] == urlsplit(self._url)[:2]
            login = self._login if own else None
            response = self._ask(url, login, headers)
            # One answer to each question: cameras lock accounts after a few wrong passwords.
            if response.status == 401 and login is not None:
                challenges = response.headers.get_all("WWW-Authenticate", [])
                if login.understands(challenges):
                    self.close()
                    response = self._ask(url, login, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            self.close()
            url = urljoin(url, location)
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError("it redirects to something else")
        raise ValueError("it redirects in a circle")

    def _ask(
        self, url: str, login: Login | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        """Once more, when a kept connection turns out to be closed."""
        parts = urlsplit(url)
        target = quote(urlunsplit(("", "", parts.path or "/", parts.query, "")), _PLAIN)
        if self._connected_to != parts[:2]:
            self.close()
        while True:
            kept = self._connection is not None
            connection = self._connection or self._connect(parts.scheme, parts.netloc)
            answer = login.authorization(target) if login is not None else None
            own = {} if answer is None else {"Authorization": answer}
            try:
                connection.request("GET", target, headers={**_HEADERS, **headers, **own})
                self._response = connection.getresponse()
                return self._response
            except (ConnectionError, http.client.ImproperConnectionState):
                self.close()
                if not kept:
                    raise

    def _connect(self, scheme: str, address: str) -> http.client.HTTPConnection:
        secure = scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = kind(address, timeout=ANSWER_SECONDS)
        self._connected_to = (scheme, address)
        return self._connection


def without_login(url: str) -> tuple[str, str | None, str]:
    """(the URL without user and password, user, password). ValueError when it has no host."""
    parts = urlsplit(url)
    if not parts.hostname or (parts.port or 1) < 1:
        raise ValueError(url)
    _, _, host = parts.netloc.rpartition("@")
    user = None if parts.username is None else unquote(parts.username)
    return urlunsplit(parts._replace(netloc=host)), user, unquote(parts.password or "")

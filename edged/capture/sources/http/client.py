"""HTTP client of a camera: requests, authentication, and the meaning of refusals.

User and password come from the URL and are sent only to that host, when it asks for them (Basic,
Digest). Connections are kept alive and cookies stored. Proxies are not used.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from edged.capture.source import SILENT_SECONDS, Failure, SourceError
from edged.capture.sources.http.auth import Login, parsed
from edged.printable import printable
from edged.secret import masked, query_credentials, redact

CONNECT_SECONDS = 10.0
_MOST_REDIRECTS = 5
_MOST_COOKIES = 32
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HEADERS = {"User-Agent": "edged"}
_PLAIN = "%/:=&?~+!$,;'@()*"
"""Characters of path and query that are not quoted."""
_PORTS = {"http": 80, "https": 443}
_CHUNK_BYTES = 256 * 1024
_ESCAPES = "in user and password write / ? # as %2F %3F %23"


class HttpCamera:
    """url: may contain user and password. silent_seconds: longest silence before or within a
    response. Errors are SourceErrors with the `reason` of the call.
    """

    def __init__(self, url: str, silent_seconds: float = SILENT_SECONDS) -> None:
        self.where = redact(url)
        self._connection: http.client.HTTPConnection | None = None
        self._connected_to = ("", "")
        self._response: http.client.HTTPResponse | None = None
        self._silent_seconds = silent_seconds
        self._waits_seconds = CONNECT_SECONDS
        self._authorization: str | None = None
        """Sent with the last request."""
        self._cookies: dict[str, str] = {}
        self._login: Login | None = None
        self._secrets: list[str] = []
        """Texts that no message may show, in the order of masking."""
        try:
            self._url, user, password = without_login(url)
        except ValueError:
            raise self.error("invalid URL", Failure.OPEN_FAILED, fix=_ESCAPES) from None
        if user is not None:
            self._login = Login(user, password)
            self._secrets += self._login.secrets
        self._secrets += query_credentials(self._url)

    def get(
        self, headers: Mapping[str, str] | None = None, *, reason: Failure = Failure.OPEN_FAILED
    ) -> http.client.HTTPResponse:
        """The response, its body unread: status 200, or 304 if `headers` permit it. Read it to its
        end, or call `close`, before the next request.
        """
        try:
            response, url = self._follow(dict(headers or {}))
        except TimeoutError:
            raise self.error(f"no response within {self._waits_seconds:g} s", reason) from None
        except ssl.SSLCertVerificationError as error:
            fix = "add it to the system's trust store, or use http:// inside your own network"
            what = "its certificate is not trusted"
            raise self.error(what, reason, got=error.verify_message, fix=fix) from None
        except (OSError, ValueError) as error:
            # `http://user:12/34@host` and `12#34` are also URLs of the host `user`.
            misread = self._login is None and "@" in self._url
            what = f"connection failed: {self._shown(error)}"
            raise self.error(what, reason, fix=_ESCAPES if misread else None) from None
        except http.client.HTTPException as error:
            got = str(error).removeprefix("got ")
            raise self.error("the response is not HTTP", reason, got=got) from None
        if response.status in (200, 304):
            return response
        self.close()
        raise self._refusal(response, url, reason)

    def read(self, response: http.client.HTTPResponse, reason: Failure) -> bytes:
        """The next part of the body, as soon as it arrives; empty at the end."""
        try:
            return response.read1(_CHUNK_BYTES)
        except TimeoutError:
            raise self.error(f"no data for {self._waits_seconds:g} s", reason) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.error(
                f"the response was interrupted: {self._shown(error)}", reason
            ) from None

    def close(self) -> None:
        """Close response and connection; the next request opens another one."""
        for each in (self._response, self._connection):
            if each is not None:
                each.close()
        self._response = self._connection = None

    def error(
        self, what: str, reason: Failure, *, got: str | None = None, fix: str | None = None
    ) -> SourceError:
        """got: text from the camera, which may contain the login; it is masked."""
        shown = None if got is None else self._shown(got)
        return SourceError(reason, what, where=self.where, got=shown, fix=fix)

    def no_pictures(self, got: str) -> SourceError:
        """The camera responds, but with `got` instead of a picture."""
        fix = "check the path of the URL, and whether the login is still valid"
        return self.error("the camera sends no pictures", Failure.NO_PICTURES, got=got, fix=fix)

    def _shown(self, text: str | Exception) -> str:
        """Text of the camera, or of a library that quotes it, without secrets."""
        if isinstance(text, Exception):
            text = getattr(text, "strerror", None) or str(text) or type(text).__name__
        return printable(masked(text, self._secrets))

    def _refusal(
        self, response: http.client.HTTPResponse, url: str, reason: Failure
    ) -> SourceError:
        got = f"HTTP status {response.status}"
        if response.status not in (401, 403):
            fix = "check the path of the URL" if response.status == 404 else None
            return self.error("the camera refused the request", reason, got=got, fix=fix)
        if response.status == 403 and self._authorization is None:
            fix = None if self._login else "it may need a user and password in the URL"
            return self.error(
                "the camera refused the request", Failure.UNAUTHORIZED, got=got, fix=fix
            )
        reason = Failure.UNAUTHORIZED
        if self._authorization is not None:
            fix = "check the user and password in the URL"
            return self.error("the camera refused the login", reason, got=got, fix=fix)
        if not self._is_own(url):
            host = urlsplit(url).hostname
            what = f"the camera redirects to {self._shown(str(host))}, which requires a login"
            fix = "use that address as the source, with user and password"
            return self.error(what, reason, got=got, fix=fix)
        if self._login is None:
            fix = "write user:password@ before the host of the URL"
            return self.error("the camera requires a login", reason, got=got, fix=fix)
        asked = response.headers.get_all("WWW-Authenticate", [])
        schemes = ", ".join(
            " ".join(filter(None, (scheme, parameters.get("algorithm"))))
            for scheme, parameters in parsed(asked)
        )
        what = "the camera requires an unsupported authentication scheme"
        fix = "set it to Basic, or to Digest with MD5 or SHA-256"
        return self.error(what, reason, got=schemes or got, fix=fix)

    def _is_own(self, url: str) -> bool:
        """Whether it is the camera's host, which receives the login; also after a redirect to
        https."""
        (scheme, host, port), own = _origin(url), _origin(self._url)
        upgraded = scheme == "https" and own[0] == "http" and host == own[1]
        return (scheme, host, port) == own or upgraded

    def _follow(self, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, str]:
        """(response, its URL), after redirects."""
        url = self._url
        for _ in range(_MOST_REDIRECTS):
            own = self._is_own(url)
            login = self._login if own else None
            response = self._ask(url, login, headers, own=own)
            # Once per challenge: cameras lock accounts after a few wrong passwords.
            if response.status == 401 and login is not None:
                challenges = response.headers.get_all("WWW-Authenticate", [])
                if login.understands(challenges) and not login.repeats(self._authorization):
                    self.close()
                    response = self._ask(url, login, headers, own=own)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response, url
            self.close()
            url, _, _ = without_login(urljoin(url, location))
            if urlsplit(url).scheme not in _PORTS:
                raise ValueError("redirect to another scheme")
        raise ValueError("too many redirects")

    def _ask(
        self, url: str, login: Login | None, headers: dict[str, str], *, own: bool
    ) -> http.client.HTTPResponse:
        """Send one request; again if a kept connection was closed, or holds the rest of the
        previous response.
        """
        parts = urlsplit(url)
        target = quote(urlunsplit(("", "", parts.path or "/", parts.query, "")), _PLAIN)
        if self._connected_to != parts[:2]:
            self.close()
        while True:
            kept = self._connection is not None
            connection = self._connection or self._connect(parts.scheme, parts.netloc)
            answer = self._authorization = None if login is None else login.authorization(target)
            sent = {**_HEADERS, **headers}
            if answer is not None:
                sent["Authorization"] = answer
            if own and self._cookies:
                sent["Cookie"] = "; ".join(f"{key}={each}" for key, each in self._cookies.items())
            try:
                connection.request(
                    "GET", target, headers={key: each.encode() for key, each in sent.items()}
                )
                self._waits_seconds = self._silent_seconds
                connection.sock.settimeout(self._waits_seconds)
                response = self._response = connection.getresponse()
            except (ConnectionError, http.client.HTTPException):
                self.close()
                if not kept:
                    raise
            else:
                if own:
                    self._remember_cookies(response.headers.get_all("Set-Cookie", []))
                return response

    def _remember_cookies(self, headers: list[str]) -> None:
        for header in headers:
            name, equals, content = header.partition(";")[0].strip().partition("=")
            known = name in self._cookies or len(self._cookies) < _MOST_COOKIES
            if equals and known and (name + content).isascii():
                self._cookies[name] = content

    def _connect(self, scheme: str, address: str) -> http.client.HTTPConnection:
        secure = scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._waits_seconds = CONNECT_SECONDS
        self._connection = kind(address, timeout=self._waits_seconds)
        self._connected_to = (scheme, address)
        return self._connection


def without_login(url: str) -> tuple[str, str | None, str]:
    """(URL without user and password, user, password). Raises ValueError without a host."""
    parts = urlsplit(url)
    if not parts.hostname or (parts.port or 1) < 1:
        raise ValueError("invalid URL")
    _, _, host = parts.netloc.rpartition("@")
    user = None if parts.username is None else unquote(parts.username)
    return urlunsplit(parts._replace(netloc=host)), user, unquote(parts.password or "")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)

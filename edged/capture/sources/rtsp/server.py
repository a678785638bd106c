"""Why an RTSP camera refuses its stream.

FFmpeg hides most of it: it reports nearly everything as an input/output error, most refusals as
"4XX", and ignores unsupported authentication schemes silently.
"""

from __future__ import annotations

import re
import socket
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import av

from edged.capture.source import Failure, SourceError
from edged.capture.sources.http.auth import Login
from edged.printable import printable
from edged.secret import masked, query_credentials, redact

ANSWER_SECONDS = 10.0
LONGEST_ANSWER = 65536
_PORTS = {"rtsp": 554, "rtsps": 322}
_REFUSAL = re.compile(r"method (\w+) failed: (\d{3}) ?(.*)", re.DOTALL)
_CHALLENGE = re.compile(rb"^WWW-Authenticate:[ \t]*(\w+)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_ALGORITHM = re.compile(rb"algorithm=\"?([\w-]+)", re.IGNORECASE)
_FFMPEG_KNOWS = ("MD5", "MD5-SESS")
_OTHER_TRANSPORT = (406, 461)
"""461 is the standard's; some cameras send 406."""
_MEANINGS = {
    404: ("the camera has no such stream", "check the path of the URL"),
    453: ("the camera has too many viewers", "close other viewers, or raise its limit"),
    454: ("the camera has dropped the session", None),
    503: ("the camera is busy", "close other viewers"),
}


class RtspServer:
    """The server of a URL, which may contain user and password."""

    def __init__(self, url: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._where = redact(url)
        self._secrets: list[str] = []
        """Texts that no message may show, in the order of masking."""
        try:
            parts = urlsplit(url)
            self._secure = parts.scheme.lower() == "rtsps"
            self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme.lower()]
            self._has_user = parts.username is not None
            login = Login(unquote(parts.username or ""), unquote(parts.password or ""))
            self._secrets += [*login.secrets, *query_credentials(url)]
            bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
            self._bare_url = bare.geturl()
        except ValueError:
            self._host = None

    def knock(self) -> None:
        """Raises SourceError if no RTSP server responds."""
        if not self._host:
            fix = "in user and password write / ? # as %2F %3F %23"
            raise self._error("invalid URL", fix=fix)
        try:
            answer = self._asked("OPTIONS")
        except socket.gaierror as error:
            raise self._error(f"unknown host: {error.strerror}") from None
        except TimeoutError:
            raise self._error(f"no response within {self._answer_seconds:g} s") from None
        except ConnectionResetError:
            return  # it exists; FFmpeg may succeed
        except OSError as error:
            raise self._error(f"connection failed: {error.strerror}") from None
        if answer and not answer.startswith(b"RTSP/"):
            got = self._shown(answer.split(b"\n")[0].decode(errors="replace").strip())
            fix = "check the port; RTSP usually uses 554"
            raise self._error("the response is not RTSP", got=got, fix=fix)

    def refusal(self, error: Any, seconds: float) -> SourceError:
        """error: FFmpeg's, after `seconds`."""
        method, status, reason = refused(error)
        got = self._shown(f"{status} {reason}".strip())
        if status == 401:
            return self._no_login(got)
        if status == 403:
            what = "the camera denies access to this stream"
            fix = "check the user's permissions in the camera's settings, and the path of the URL"
            return self._error(what, Failure.UNAUTHORIZED, got=got, fix=fix)
        if method == "SETUP" and status in _OTHER_TRANSPORT:
            return self._error("the camera refused TCP and UDP", got=got)
        if status:
            what, help_ = _MEANINGS.get(status, ("the camera refused the request", None))
            return self._error(what, got=got, fix=help_)
        if isinstance(error, av.error.TimeoutError | av.error.ExitError):
            return self._error(f"no stream within {seconds:.0f} s")
        return self._error(f"cannot be opened: {printable(error.strerror or str(error))}")

    def _no_login(self, got: str) -> SourceError:
        if not self._has_user:
            what, fix = (
                "the camera requires a login",
                "write rtsp://USER:PASSWORD@HOST…",
            )
            return self._error(what, Failure.UNAUTHORIZED, got=got, fix=fix)
        unknown = self._unknown_login()
        if unknown is not None:
            what = f"the camera requires {unknown} authentication, which FFmpeg does not support"
            fix = "allow only Digest with MD5, or Basic, in the camera's settings (for RTSP)"
            return self._error(what, Failure.UNAUTHORIZED, fix=fix)
        what, fix = "the camera refused the login", "check the user and password in the URL"
        return self._error(what, Failure.UNAUTHORIZED, got=got, fix=fix)

    def _unknown_login(self) -> str | None:
        """The offered scheme that FFmpeg does not support: it uses the last Digest offered,
        whatever its algorithm, and Basic only without a Digest."""
        try:
            answer = self._asked("DESCRIBE")
        except OSError:
            return None
        offers = [(match[1].upper(), match[2]) for match in _CHALLENGE.finditer(answer)]
        digests = [_ALGORITHM.search(offer) for kind, offer in offers if kind == b"DIGEST"]
        if not digests:
            others = [kind.decode() for kind, _ in offers]
            return None if not others or "BASIC" in others else self._shown(others[0], 20)
        last = "MD5" if digests[-1] is None else digests[-1][1].decode().upper()
        return None if last in _FFMPEG_KNOWS else f"Digest {printable(last, 20)}"

    def _asked(self, method: str) -> bytes:
        """The head of the response to a request without a login; empty with TLS."""
        address = (self._host, self._port)
        with socket.create_connection(address, self._answer_seconds) as connection:
            if self._secure:
                return b""
            question = f"{method} {self._bare_url} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: edged\r\n\r\n"
            connection.sendall(question.encode())
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < LONGEST_ANSWER:
                chunk = connection.recv(4096)
                if not chunk:
                    break
                answer += chunk
                if not answer.startswith(b"RTSP/"[: len(answer)]):
                    break
            return answer

    def _shown(self, text: str, most: int = 80) -> str:
        """Text of the camera, which may repeat the login."""
        return printable(masked(text, self._secrets), most)

    def _error(
        self,
        what: str,
        reason: Failure = Failure.OPEN_FAILED,
        *,
        got: str | None = None,
        fix: str | None = None,
    ) -> SourceError:
        return SourceError(reason, what, where=self._where, got=got, fix=fix)


def other_transport(error: Any) -> bool:
    """Whether the camera only refused the transport."""
    method, status, _ = refused(error)
    return method == "SETUP" and status in _OTHER_TRANSPORT


def refused(error: Any) -> tuple[str, int, str]:
    """(method, status, reason) of the camera's response; status 0 if unknown."""
    log = getattr(error, "log", None)
    said = _REFUSAL.search(log[2]) if log else None
    if said is not None:
        return said[1], int(said[2]), said[3].strip().strip("()").strip()
    status = {
        av.error.HTTPBadRequestError: 400,
        av.error.HTTPUnauthorizedError: 401,
        av.error.HTTPForbiddenError: 403,
        av.error.HTTPNotFoundError: 404,
    }.get(type(error), 0)
    return "", status, HTTPStatus(status).phrase if status else ""

"""Events or results, as JSON or in a form of your own, to a web server, one POST each, in order.

Failed requests are retried with growing pauses until the bounded backlog is full. Only an answer
that refuses the message itself (400, 413, …) drops it at once; after one that refuses address or
login (401, 404, a redirect, …), the backlog can still be sent once a person has fixed the
configuration. Redirects are not followed. The log shows only the URL's host, because its path is
often a secret.
"""

from __future__ import annotations

import email.utils
import http.client
import socket
import ssl
import threading
import time
from contextlib import suppress
from enum import Enum
from urllib.parse import urlsplit

from edged import __version__
from edged.clock import monotonic_ns
from edged.printable import printable
from edged.result import Event, Result, to_json_line
from edged.sinks.backlog import Entry
from edged.sinks.lookup import LookupTimeoutError, addresses
from edged.sinks.template import escape_for, fields_of, fill
from edged.sinks.tls import tls_context, tls_trouble
from edged.sinks.webhook.options import WebhookConfig
from edged.sinks.worker import TIMING, Timing, Worker

LONGEST_ASKED_PAUSE_SECONDS = 300.0
"""Upper limit of a Retry-After."""
MOST_ATTEMPTS = 5
"""After this many failures that a message may have caused itself, the next message is tried."""
_LONGEST_ANSWER_BYTES = 64 * 1024
_REFUSED = (400, 411, 413, 414, 415, 422, 431)
"""Status codes that refuse the message itself: a retry is pointless."""
_NOT_THE_MESSAGE = (401, 403, 404, 405, 407, 408, 410, 421, 425, 429, 502, 503, 504)
"""Status codes about the address, the login or the server, besides redirects."""
_HINTS = {
    **dict.fromkeys((401, 403), "; check authorization"),
    **dict.fromkeys((404, 405, 410), "; check the path of the url"),
}


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # server unreachable or too slow; drops the oldest
    GIVEN_UP = "given_up"  # the server accepts others but not this one
    REFUSED = "refused"  # by the server, or not encodable as JSON
    CLOSED = "closed"  # not sent before the daemon ended


class _FailedError(Exception):
    """A failed attempt. final: a retry is pointless. suspect: the message may be the cause.
    again_seconds: the server's Retry-After."""

    def __init__(
        self, what: str, *, final: bool = False, suspect: bool = False, again_seconds: float = 0.0
    ) -> None:
        super().__init__(what)
        self.final = final
        self.suspect = suspect
        self.again_seconds = again_seconds


class Webhook(Worker):
    """The sink."""

    def __init__(self, config: WebhookConfig, timing: Timing = TIMING) -> None:
        """Raises EdgedError for an unusable certificate."""
        super().__init__("webhook", f"{config.host}:{config.port}", DropReason, timing)
        self._config = config
        self._tls: ssl.SSLContext | None = None
        self.renew()
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        """A duplicate of the connection's socket, which TLS and responses take over."""
        self._failing = False
        self._tried: Entry | None = None
        self._attempts = 0
        """Failures of `_tried` that it may have caused itself."""

    def renew(self) -> None:
        if self._config.tls is not None:
            self._tls = tls_context(self._config.tls)

    def publish(self, result: Result) -> None:
        if self._config.results:
            self._backlog.put(result)

    def publish_event(self, event: Event) -> None:
        if self._config.events:
            self._backlog.put(event)

    def _run(self) -> None:
        super()._run()
        self._hang_up()

    def _is_over(self) -> bool:
        return super()._is_over() or (self._failing and self._closing.is_set())

    def _send(self, put_ns: int, entry: Entry) -> float | None:
        failure = self._attempt(put_ns, entry)
        if failure is None or failure.final:
            return None
        if entry is not self._tried:
            self._tried, self._attempts = entry, 0
        self._attempts += failure.suspect
        if self._attempts >= MOST_ATTEMPTS and (following := self._backlog.take()) is not None:
            others = self._attempt(*following)
            if others is None:
                failure = self._attempt(put_ns, entry)
                if failure is None or failure.final:
                    return None
                if failure.suspect:
                    self._counts[DropReason.GIVEN_UP.value] += 1
                    self._log.warning("webhook: dropped, as others are accepted: %s", failure)
                    return None
            elif not others.final:
                self._backlog.put_back(*following)
        self._backlog.put_back(put_ns, entry)
        self._outage.failed(str(failure))
        return min(failure.again_seconds, LONGEST_ASKED_PAUSE_SECONDS)

    def _attempt(self, put_ns: int, entry: Entry) -> _FailedError | None:
        """POST one entry; None on success. Does not raise."""
        try:
            self._post(entry)
        except _FailedError as error:
            failure = error
        except Exception as error:
            failure = _FailedError(_why(error, secure=self._tls is not None))
        else:
            self._failing = False
            self._deliver(put_ns)
            self._outage.worked()
            return None
        self._failing = not failure.final
        self._hang_up()
        if failure.final:
            self._counts[DropReason.REFUSED.value] += 1
        self._outage.failed(f"{failure}; not retried" if failure.final else str(failure))
        return failure

    def _post(self, entry: Entry) -> None:
        try:
            body = self._body_of(entry).encode()
        except Exception:  # a score is NaN, or a time is out of range
            raise _FailedError("cannot be encoded", final=True) from None
        until_ns = monotonic_ns() + int(self._config.timeout_seconds * 1e9)
        kept = self._connection is not None
        try:
            answer = self._ask(body, until_ns)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not kept or monotonic_ns() >= until_ns:
                raise
            self._hang_up()  # the server has closed the idle connection
            answer = self._ask(body, until_ns)
        if not 200 <= answer.status < 300:
            raise _refusal(answer)

    def _body_of(self, entry: Entry) -> str:
        config = self._config
        if config.body is None:
            return to_json_line(entry)
        return fill(config.body.reveal(), fields_of(entry), escape_for(config.content_type))

    def _ask(self, body: bytes, until_ns: int) -> http.client.HTTPResponse:
        """One request; returns the response. Raises TimeoutError at `until_ns`: a timer closes the
        connection, because a socket's own time-out restarts with every byte.
        """
        config = self._config
        headers = {"Content-Type": config.content_type, "User-Agent": f"edged/{__version__}"}
        if config.authorization is not None:
            headers["Authorization"] = config.authorization.reveal()
        timer = threading.Timer(_seconds_to(until_ns), self._cut)
        timer.daemon = True
        timer.start()
        try:
            connection = self._connection or self._connect(until_ns)
            connection.request("POST", config.target.reveal(), body, headers)
            answer = connection.getresponse()
            answer.read(_LONGEST_ANSWER_BYTES)
        except Exception:
            if monotonic_ns() >= until_ns:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            timer.join()
        if monotonic_ns() >= until_ns:  # the timer's shutdown looks like the end of the body
            raise TimeoutError
        # Not read to its end, or closed by the server.
        if not answer.isclosed() or connection.sock is None:
            self._hang_up()
        return answer

    def _connect(self, until_ns: int) -> http.client.HTTPConnection:
        config = self._config
        plain = _connected(config.host, config.port, until_ns)
        plain.settimeout(None)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = self._tls is not None
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = self._connection = kind(config.host, config.port)
        connection.auto_open, connection.sock = 0, plain
        self._socket = plain.dup()
        if monotonic_ns() >= until_ns:  # the timer may have fired before `_socket` was set
            raise TimeoutError
        if self._tls is not None:
            connection.sock = self._tls.wrap_socket(plain, server_hostname=config.host)
        return connection

    def _cut(self) -> None:
        """Called by the timer; wakes the thread that reads or writes."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _hang_up(self) -> None:
        for each in (self._connection, self._socket):
            if each is not None:
                each.close()
        self._connection = self._socket = None


def _connected(host: str, port: int, until_ns: int) -> socket.socket:
    """Connect to the first address that responds. Lookup and attempts share the time-out."""
    failed: OSError = OSError("the name has no address")
    for family, address in addresses(host, port, _seconds_to(until_ns)):
        if monotonic_ns() >= until_ns:
            raise TimeoutError
        plain = socket.socket(family, socket.SOCK_STREAM)
        plain.settimeout(_seconds_to(until_ns))
        try:
            plain.connect(address)
        except OSError as error:
            plain.close()
            failed = error
        else:
            return plain
    raise failed


def _refusal(answer: http.client.HTTPResponse) -> _FailedError:
    status = answer.status
    what = f"the server answered with status {status}"
    if 300 <= status < 400 and (location := answer.getheader("Location")):
        what = f"the server redirects with status {status}"
        with suppress(ValueError):
            to = urlsplit(location)
            # The path may contain the secret.
            if to.scheme and to.hostname:
                port = f":{to.port}" if to.port else ""
                what += f" to {printable(f'{to.scheme}://{to.hostname}{port}')}"
        what += "; redirects are not followed, set url to the new address"
    what += _HINTS.get(status, "")
    again_seconds = _seconds_asked(answer.getheader("Retry-After", ""))
    final = status in _REFUSED
    suspect = status >= 400 and status not in _NOT_THE_MESSAGE
    return _FailedError(what, final=final, suspect=suspect, again_seconds=again_seconds)


def _seconds_asked(retry_after: str) -> float:
    """Seconds of a Retry-After, a number or a date; 0 if it is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0


def _seconds_to(moment_ns: int) -> float:
    return max(0.001, (moment_ns - monotonic_ns()) / 1e9)


def _why(error: Exception, secure: bool) -> str:
    """The reason, without text of the error that may contain the URL."""
    if isinstance(error, LookupTimeoutError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "request timed out"
    if isinstance(error, ssl.SSLError):
        return tls_trouble(error, "http://")
    hint = "" if secure else "; if that port uses TLS, write https://"
    if isinstance(error, ConnectionResetError) and error.strerror:
        return error.strerror.lower() + hint
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, http.client.HTTPException):
        return f"invalid HTTP response ({type(error).__name__}){hint}"
    return f"request failed ({type(error).__name__})"

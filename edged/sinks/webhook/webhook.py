"""Events, or results, as JSON to a web server: one POST each.

A server that does not answer, or answers with a failure, is asked again with growing pauses, for as
long as there is room in the bounded backlog; events leave in their order. Only an answer that
refuses the message itself (400, 413, …) loses it at once: one that refuses the address or the login
(401, 404, a redirect, …) is a matter for a person, and what waits can still be sent after a reload.
No redirect is followed. No address is logged beyond its host: it is common that the path itself is
what lets in.
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
from edged.sinks.tls import tls_context, tls_trouble
from edged.sinks.webhook.options import WebhookConfig
from edged.sinks.worker import TIMING, Timing, Worker

LONGEST_ASKED_PAUSE_SECONDS = 300.0
"""The most of a Retry-After that is granted."""
MOST_ATTEMPTS = 5
"""After so many failures of one message that may be its own fault, the next one shows that."""
_LONGEST_ANSWER_BYTES = 64 * 1024
_REFUSED = (400, 411, 413, 414, 415, 422, 431)
"""Answers about the message itself: it would get the same one again."""
_NOT_THE_MESSAGE = (401, 403, 404, 405, 407, 408, 410, 421, 425, 429, 502, 503, 504)
"""Answers about the address, the login or the server; so are redirects."""
_IN_WORDS = {
    401: "; see authorization",
    403: "; see authorization",
    404: "; see the path of the url",
    405: "; see the path of the url",
    410: "; see the path of the url",
}


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # the server is away or too slow: the oldest gave way
    GIVEN_UP = "given_up"  # the server takes others, and not this one
    REFUSED = "refused"  # the message itself, or it is no JSON
    CLOSED = "closed"  # the daemon ended before it was sent


class _FailedError(Exception):
    """An attempt without success. final: another one would fail as well. suspect: it may be the
    message's own fault. again_seconds: the server asks for so long a pause."""

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
        """Raises EdgedError for a certificate that cannot be used."""
        super().__init__("webhook", f"{config.host}:{config.port}", DropReason, timing)
        self._config = config
        self._tls: ssl.SSLContext | None = None
        self.renew()
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        """The connection's, once more: the connection gives its own away, to TLS and answers."""
        self._failing = False
        self._tried: Entry | None = None
        self._attempts = 0
        """How often that one has failed in a way that may be its own fault."""

    def renew(self) -> None:
        """Certificates may have been replaced. Raises EdgedError for one that cannot be used."""
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
                    self._log.warning("webhook: given up, as others are accepted: %s", failure)
                    return None
            elif not others.final:
                self._backlog.put_back(*following)
        self._backlog.put_back(put_ns, entry)
        self._outage.failed(str(failure))
        return min(failure.again_seconds, LONGEST_ASKED_PAUSE_SECONDS)

    def _attempt(self, put_ns: int, entry: Entry) -> _FailedError | None:
        """Whatever happens in it, the thread goes on."""
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
        self._outage.failed(f"{failure}; it is not sent again" if failure.final else str(failure))
        return failure

    def _post(self, entry: Entry) -> None:
        try:
            body = to_json_line(entry).encode()
        except Exception:  # a score that is not a number, a time that no calendar has
            raise _FailedError("it cannot be encoded as JSON", final=True) from None
        until_ns = monotonic_ns() + int(self._config.timeout_seconds * 1e9)
        kept = self._connection is not None
        try:
            answer = self._ask(body, until_ns)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not kept or monotonic_ns() >= until_ns:
                raise
            self._hang_up()  # idle for too long: the server has hung up meanwhile
            answer = self._ask(body, until_ns)
        if not 200 <= answer.status < 300:
            raise _refusal(answer)

    def _ask(self, body: bytes, until_ns: int) -> http.client.HTTPResponse:
        """One request; the head of its answer. TimeoutError when not all of it is there in time.

        A time-out of the socket would begin anew with every byte: a timer ends the connection.
        """
        config = self._config
        headers = {"Content-Type": "application/json", "User-Agent": f"edged/{__version__}"}
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
        if monotonic_ns() >= until_ns:  # a cut looks like an end
            raise TimeoutError
        # A longer answer is nobody's, and after some the connection is closed.
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
        if monotonic_ns() >= until_ns:  # the timer may have come too early
            raise TimeoutError
        if self._tls is not None:
            connection.sock = self._tls.wrap_socket(plain, server_hostname=config.host)
        return connection

    def _cut(self) -> None:
        """From the timer's thread: whoever reads or writes is woken."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _hang_up(self) -> None:
        for each in (self._connection, self._socket):
            if each is not None:
                each.close()
        self._connection = self._socket = None


def _connected(host: str, port: int, until_ns: int) -> socket.socket:
    """To the first address that answers; all of them, and their look-up, have one time-out."""
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
    what = f"it answered with status {status}"
    if 300 <= status < 400 and (location := answer.getheader("Location")):
        what = f"it redirects with status {status}"
        with suppress(ValueError):
            to = urlsplit(location)
            # The path may repeat what lets in.
            if to.scheme and to.hostname:
                port = f":{to.port}" if to.port else ""
                what += f" to {printable(f'{to.scheme}://{to.hostname}{port}')}"
        what += "; no redirect is followed: write the new address as url"
    what += _IN_WORDS.get(status, "")
    again_seconds = _seconds_asked(answer.getheader("Retry-After", ""))
    final = status in _REFUSED
    suspect = status >= 400 and status not in _NOT_THE_MESSAGE
    return _FailedError(what, final=final, suspect=suspect, again_seconds=again_seconds)


def _seconds_asked(retry_after: str) -> float:
    """A number of seconds or a date; 0 for what is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0


def _seconds_to(moment_ns: int) -> float:
    return max(0.001, (moment_ns - monotonic_ns()) / 1e9)


def _why(error: Exception, secure: bool) -> str:
    """Without the error's own text, where that may hold the address."""
    if isinstance(error, LookupTimeoutError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return tls_trouble(error, "http://")
    hint = "" if secure else "; if that port speaks TLS, write https://"
    if isinstance(error, ConnectionResetError) and error.strerror:
        return error.strerror.lower() + hint
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, http.client.HTTPException):
        return f"no answer of HTTP ({type(error).__name__}){hint}"
    return f"the request failed ({type(error).__name__})"

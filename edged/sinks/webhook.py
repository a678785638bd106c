"""Events, or results, as JSON to a web server: one POST each.

A server that does not answer, or answers with a failure, is asked again with growing pauses; what
comes meanwhile waits in a bounded backlog. No address is logged beyond its host: it is common that
the path itself is what lets in.
"""

from __future__ import annotations

import http.client
import logging
import random
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from edged import __version__
from edged.clock import Clock, monotonic_ns
from edged.config.results import WebhookConfig
from edged.frame import Event, Result
from edged.sinks import to_json_line
from edged.sinks.backlog import Backlog
from edged.sinks.tls import tls_context, tls_trouble

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
MOST_ATTEMPTS = 5
LASTING_SECONDS = 10.0
"""What has not failed for as long works again; and another trouble is told after as long."""
_LONGEST_ANSWER_BYTES = 64 * 1024
_AGAIN = (408, 425, 429)
"""Failures that are not the request's own; so are those from 500 on."""

log = logging.getLogger(__name__)


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # the server is away or too slow: the oldest gave way
    GIVEN_UP = "given_up"  # no attempt succeeded
    REFUSED = "refused"  # the server will not have it
    CLOSED = "closed"  # the daemon ended before it was sent


class _FailedError(Exception):
    """An attempt without success. again: another one may have it."""

    def __init__(self, what: str, again: bool = True) -> None:
        super().__init__(what)
        self.again = again


class Webhook:
    """The sink."""

    def __init__(
        self,
        config: WebhookConfig,
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        lasting_seconds: float = LASTING_SECONDS,
        clock: Clock = monotonic_ns,
    ) -> None:
        """Raises EdgedError for a certificate that cannot be used."""
        self.name = "webhook"
        self.observe_delivery: Callable[[float], None] = lambda seconds: None
        self.delivered = 0
        self._dropped = dict.fromkeys(DropReason, 0)
        self._config = config
        self._tls = None if config.tls is None else tls_context(config.tls)
        self._first_pause_seconds = first_pause_seconds
        self._lasting_seconds = lasting_seconds
        self._clock = clock
        self._woken = threading.Event()
        self._backlog = Backlog(self._woken.set, clock=clock)
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        """The connection's, once more: the connection gives its own away, to TLS and answers."""
        self._closing = threading.Event()
        self._send_until_ns = 0
        self._trouble: str | None = None
        """Of the last attempt."""
        self._told: str | None = None
        self._told_ns = self._failed_ns = 0
        self._thread = threading.Thread(target=self._run, name="sink-webhook", daemon=True)

    @property
    def dropped(self) -> dict[str, int]:
        counts = {reason.value: count for reason, count in self._dropped.items()}
        counts[DropReason.QUEUE_FULL.value] = self._backlog.dropped
        return counts

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def publish(self, result: Result) -> None:
        if self._config.results:
            self._backlog.put(result)

    def publish_event(self, event: Event) -> None:
        if self._config.events:
            self._backlog.put(event)

    def close(self, timeout_seconds: float) -> None:
        """Send what waits; a server that does not answer is left after the time-out."""
        self._send_until_ns = self._clock() + int(timeout_seconds * 1e9)
        self._closing.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        settled = self.delivered + sum(self.dropped.values())
        self._dropped[DropReason.CLOSED] += self._backlog.received - settled

    def _run(self) -> None:
        while not self._is_over():
            self._woken.clear()
            waiting = self._backlog.take()
            if waiting is None:
                if self._closing.is_set():
                    break
                ends = self._told is not None and self._trouble is None
                self._woken.wait(self._lasting_seconds if ends else None)
                self._tell()
                continue
            put_ns, entry = waiting
            self._deliver(entry, put_ns)
        self._hang_up()

    def _is_over(self) -> bool:
        if not self._closing.is_set():
            return False
        return self._trouble is not None or self._clock() >= self._send_until_ns

    def _deliver(self, entry: Result | Event, put_ns: int) -> None:
        """With as many attempts as it takes, up to a bound; when the sink ends, with one."""
        pause_seconds = self._first_pause_seconds
        for attempt in range(1, MOST_ATTEMPTS + 1):
            failure = self._attempt(entry)
            if failure is None:
                self.delivered += 1
                self.observe_delivery((self._clock() - put_ns) / 1e9)
                return
            if not failure.again or attempt == MOST_ATTEMPTS:
                reason = DropReason.GIVEN_UP if failure.again else DropReason.REFUSED
                self._dropped[reason] += 1
                return
            if self._closing.wait(pause_seconds * random.uniform(0.5, 1)):
                return
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _attempt(self, entry: Result | Event) -> _FailedError | None:
        """Whatever happens in it, the thread goes on."""
        failure = None
        try:
            self._post(entry)
        except _FailedError as error:
            failure = error
        except Exception as error:
            failure = _FailedError(_why(error, secure=self._tls is not None))
        self._trouble = None if failure is None else str(failure)
        if failure is not None:
            self._hang_up()
            self._failed_ns = self._clock()
        self._tell()
        return failure

    def _post(self, entry: Result | Event) -> None:
        try:
            body = to_json_line(entry).encode()
        except ValueError:
            raise _FailedError("a score is no number: JSON cannot tell it", again=False) from None
        until_ns = monotonic_ns() + int(self._config.timeout_seconds * 1e9)
        kept = self._connection is not None
        try:
            status = self._ask(body, until_ns)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not kept or monotonic_ns() >= until_ns:
                raise
            self._hang_up()  # idle for too long: the server has hung up meanwhile
            status = self._ask(body, until_ns)
        if not 200 <= status < 300:
            again = status >= 500 or status in _AGAIN
            raise _FailedError(f"it answered with status {status}", again)

    def _ask(self, body: bytes, until_ns: int) -> int:
        """One request; the answer's status. TimeoutError when not all of it is there in time.

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
        return answer.status

    def _connect(self, until_ns: int) -> http.client.HTTPConnection:
        config = self._config
        plain = socket.create_connection((config.host, config.port), _seconds_to(until_ns))
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

    def _tell(self) -> None:
        """One line for each change of state that lasts."""
        now_ns, lasting_ns = self._clock(), self._lasting_seconds * 1e9
        address = f"{self._config.host}:{self._config.port}"
        lasts = self._told is None or now_ns - self._told_ns >= lasting_ns
        if self._trouble not in (None, self._told) and lasts:
            self._told, self._told_ns = self._trouble, now_ns
            log.warning("webhook: %s: %s", address, self._trouble)
        ends = self._trouble is None and now_ns - self._failed_ns >= lasting_ns
        if self._told is not None and ends:
            self._told = None
            log.info("webhook: %s takes what it is sent again", address)


def _seconds_to(moment_ns: int) -> float:
    return max(0.001, (moment_ns - monotonic_ns()) / 1e9)


def _why(error: Exception, secure: bool) -> str:
    """Without the error's own text, where that may hold the address."""
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
    return f"it cannot be asked ({type(error).__name__})"

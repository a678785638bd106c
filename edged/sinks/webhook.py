"""Events, or results, as JSON to a web server: one POST each.

A server that does not answer, or answers with a failure, is asked again with growing pauses; what
comes meanwhile waits in a bounded backlog. No address is logged beyond its host: it is common that
the path itself is what lets in.
"""

from __future__ import annotations

import http.client
import logging
import random
import ssl
import threading
from collections.abc import Callable
from enum import Enum

from edged import __version__
from edged.clock import Clock, monotonic_ns
from edged.config.results import WebhookConfig
from edged.frame import Event, Result
from edged.sinks import to_json_line
from edged.sinks.backlog import Backlog
from edged.sinks.tls import tls_context

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
MOST_ATTEMPTS = 5
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
        self._clock = clock
        self._woken = threading.Event()
        self._backlog = Backlog(self._woken.set, clock=clock)
        self._connection: http.client.HTTPConnection | None = None
        self._closing = threading.Event()
        self._send_until_ns = 0
        self._under_way = 0
        self._trouble: str | None = None
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
        self._dropped[DropReason.CLOSED] += len(self._backlog) + self._under_way

    def _run(self) -> None:
        while not self._is_over():
            self._woken.clear()
            waiting = self._backlog.take()
            if waiting is None:
                if self._closing.is_set():
                    break
                self._woken.wait()
                continue
            put_ns, entry = waiting
            self._under_way = 1
            self._deliver(to_json_line(entry).encode(), put_ns)
        self._hang_up()

    def _is_over(self) -> bool:
        if not self._closing.is_set():
            return False
        return self._trouble is not None or self._clock() >= self._send_until_ns

    def _deliver(self, body: bytes, put_ns: int) -> None:
        """With as many attempts as it takes, up to a bound; when the sink ends, with one."""
        pause_seconds = self._first_pause_seconds
        for attempt in range(1, MOST_ATTEMPTS + 1):
            failure = self._attempt(body)
            if failure is None:
                self._under_way = 0
                self.delivered += 1
                self.observe_delivery((self._clock() - put_ns) / 1e9)
                return
            if not failure.again or attempt == MOST_ATTEMPTS:
                self._under_way = 0
                reason = DropReason.GIVEN_UP if failure.again else DropReason.REFUSED
                self._dropped[reason] += 1
                return
            if self._closing.wait(pause_seconds * random.uniform(0.5, 1)):
                self._under_way = 0
                self._dropped[DropReason.CLOSED] += 1
                return
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _attempt(self, body: bytes) -> _FailedError | None:
        try:
            self._post(body)
        except _FailedError as failure:
            self._hang_up()
            self._tell(str(failure))
            return failure
        self._tell(None)
        return None

    def _post(self, body: bytes) -> None:
        config = self._config
        headers = {"Content-Type": "application/json", "User-Agent": f"edged/{__version__}"}
        if config.authorization is not None:
            headers["Authorization"] = config.authorization.reveal()
        kept = self._connection is not None
        connection = self._connection = self._connection or self._connect()
        try:
            try:
                connection.request("POST", config.target.reveal(), body, headers)
                answer = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not kept:
                    raise
                connection.close()  # idle for too long: the server has hung up meanwhile
                connection.request("POST", config.target.reveal(), body, headers)
                answer = connection.getresponse()
            answer.read(_LONGEST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _FailedError(_why(error)) from None
        if not answer.isclosed():  # a longer answer is nobody's
            self._hang_up()
        if answer.status >= 300:
            again = answer.status >= 500 or answer.status in _AGAIN
            raise _FailedError(f"it answered with status {answer.status}", again)

    def _connect(self) -> http.client.HTTPConnection:
        config = self._config
        if self._tls is None:
            return http.client.HTTPConnection(
                config.host, config.port, timeout=config.timeout_seconds
            )
        return http.client.HTTPSConnection(
            config.host, config.port, timeout=config.timeout_seconds, context=self._tls
        )

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _tell(self, trouble: str | None) -> None:
        """One line for each change of state."""
        if trouble == self._trouble:
            return
        first, self._trouble = self._trouble is None, trouble
        address = f"{self._config.host}:{self._config.port}"
        if trouble is not None:
            log.warning("webhook: %s: %s", address, trouble)
        elif not first:
            log.info("webhook: %s takes what it is sent again", address)


def _why(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"no answer of HTTP ({type(error).__name__})"

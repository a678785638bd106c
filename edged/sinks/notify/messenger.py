"""Hands messages to the child process, which runs only while there are some."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from edged.clock import monotonic_ns
from edged.effort import Effort, Observed, Silence
from edged.printable import printable
from edged.process import child_environment, own_python
from edged.secret import MASK, Secret
from edged.sinks.notify.options import apprise_hint, apprise_is_missing

PROGRAM = ("-m", "edged.sinks.notify.child")
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}
_ANSWER_BYTES = 16384
_END_SECONDS = 2.0
_LOOK_SECONDS = 0.5


class Message(NamedTuple):
    """picture: a JPEG."""

    title: str
    text: str
    picture: bytes | None = None


class Answer(NamedTuple):
    """why: the reason, where it was not taken, or not whole; never with the address. final: a retry
    is pointless. suspect: the message itself may be the cause."""

    taken: bool
    why: str = ""
    final: bool = False
    suspect: bool = False


class Patience(NamedTuple):
    """Seconds of silence after which the child is killed, when it starts and with each message:
    time that it works or waits for a core counts less. idle_seconds: when it ends after a message.
    """

    start_seconds: float = 60.0
    answer_seconds: float = 30.0
    idle_seconds: float = 60.0


PATIENCE = Patience()


class Messenger:
    """Sends one message at a time. Thread-safe."""

    def __init__(
        self,
        patience: Patience = PATIENCE,
        *,
        program: Sequence[str] = PROGRAM,
        missing: Callable[[], bool] = apprise_is_missing,
    ) -> None:
        self._patience = patience
        self._program = program
        self._missing = missing
        self._sending = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._observed: Observed | None = None
        self._idle: threading.Timer | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return None if self._process is None else self._process.pid

    def send(self, address: Secret, message: Message) -> Answer:
        """Waits until the message is taken, refused or given up. Does not raise."""
        if self._missing():
            return Answer(False, f"apprise is not installed; {apprise_hint()}")
        with self._sending:
            if self._idle is not None:
                self._idle.cancel()
            try:
                answer = self._answer_to(address, message)
            except OSError as error:  # no memory, too many processes
                self._end()
                answer = Answer(False, f"cannot start a process: {error.strerror}")
            self._idle = threading.Timer(self._patience.idle_seconds, self._end_if_idle)
            self._idle.daemon = True
            self._idle.start()
        return answer

    def close(self) -> None:
        """End the child, also in the middle of a message."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._sending:
            if self._idle is not None:
                self._idle.cancel()
            self._end()

    def _answer_to(self, address: Secret, message: Message) -> Answer:
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it was killed while it was idle
        if self._process is None:
            failure = self._start()
            if failure is not None:
                return failure
        values = self._exchange(_order(address, message), self._patience.answer_seconds)
        if isinstance(values, str):
            return Answer(False, values, suspect=True)
        flags = [values.get(name) is True for name in ("taken", "final", "suspect")]
        why = without_address(str(values.get("why", "")), address.reveal())
        return Answer(flags[0], printable(why), *flags[1:])

    def _start(self) -> Answer | None:
        """Why it cannot be started, if so."""
        self._process = subprocess.Popen(
            [*own_python(), *self._program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the daemon
            env={**child_environment(os.environ), **_ENVIRONMENT},
        )
        self._observed = Observed.of_new(Path(f"/proc/{self._process.pid}"))
        if self._closed:  # `close` may have come too early to end it
            self._process.kill()
        values = self._exchange(b"", self._patience.start_seconds)
        if isinstance(values, str):
            return Answer(False, values)
        if values.get("missing"):
            self._end()
            return Answer(False, f"apprise cannot be imported; {apprise_hint()}")
        return None

    def _exchange(self, order: bytes, seconds: float) -> dict[str, Any] | str:
        """The next line of the child, or why there is none; it has then ended."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        assert self._observed is not None
        line = b""
        watched = _killed_after(process, seconds, self._observed.effort)
        with watched as expired, suppress(BrokenPipeError):
            process.stdin.write(order)
            process.stdin.flush()
            line = process.stdout.readline(_ANSWER_BYTES)
        with suppress(ValueError):
            values = json.loads(line)
            if isinstance(values, dict):
                return values
        process.kill()
        status = process.wait()
        self._end()
        if self._closed:
            return "edged ends"
        if expired.is_set():
            return f"no answer within {seconds:g} s"
        if line:
            return "the process that sends messages gave an invalid answer"
        how = f"with status {status}" if status >= 0 else f"of {signal.Signals(-status).name}"
        return f"the process that sends messages ended {how}"

    def _end_if_idle(self) -> None:
        if self._sending.acquire(blocking=False):  # otherwise it is not idle
            try:
                self._end()
            finally:
                self._sending.release()

    def _end(self) -> None:
        """Let the child end, which it does at the end of its standard input."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        if self._observed is not None:
            self._observed.close()
        with suppress(OSError):
            process.stdin.close()
        with _killed_after(process, _END_SECONDS):
            process.wait()
        process.stdout.close()


@contextmanager
def _killed_after(
    process: subprocess.Popen[bytes],
    seconds: float,
    effort: Callable[[], Effort | None] = lambda: None,
) -> Iterator[threading.Event]:
    """Kill the process unless the block ends before it was silent for so long. Yields whether that
    has happened."""
    expired, done = threading.Event(), threading.Event()
    silence = Silence(monotonic_ns())

    def watch() -> None:
        while not done.wait(min(_LOOK_SECONDS, seconds / 4)):
            if silence.look(monotonic_ns(), effort) >= seconds:
                expired.set()
                process.kill()
                return

    threading.Thread(target=watch, name="message", daemon=True).start()
    try:
        yield expired
    finally:
        done.set()


def _order(address: Secret, message: Message) -> bytes:
    picture = message.picture
    order = {
        "address": address.reveal(),
        "title": message.title,
        "text": message.text,
        "picture": None if picture is None else b64encode(picture).decode(),
    }
    return json.dumps(order).encode() + b"\n"


def without_address(text: str, address: str) -> str:
    """`text` without any part of the address but its scheme, plain or percent-encoded, and without
    any other URL."""
    rest = address.partition("://")[2]
    words = {rest, *re.split(r"[/?&=@:#,;+\s]+", rest)}
    words |= {unquote(each) for each in words}
    text = re.sub(r"\S*://\S*", MASK, text)
    for word in sorted(filter(None, words), key=len, reverse=True):
        pattern = re.escape(word)
        if len(word) < 4:  # as a part of other words it says nothing
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, MASK, text, flags=re.IGNORECASE)
    return text

"""Starts the confined process that decodes pictures from outside, and asks it."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from edged.errors import EdgedError
from edged.printable import printable
from edged.process import child_environment, own_python
from edged.state import credentials

_CHUNK = 65536
_LONGEST_LINE = 16384
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "OPENCV_LOG_LEVEL": "SILENT",
}


class EndedError(Exception):
    """The process ended, or takes too long, before it has answered; it has to be closed."""


class DecodeProcess:
    """program: arguments of Python that start one which calls `serve` (serving.py). most_bytes:
    limit of what it may send with one line of its answer. It ends with the thread that made it.
    """

    def __init__(self, program: Sequence[str], most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [*own_python(), *program],
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent
                env={**child_environment(os.environ), **_ENVIRONMENT},
                **credentials(),  # type: ignore[call-overload]
            )
        except BaseException:
            self._orders.close()
            raise
        finally:
            theirs.close()
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self._fd = self._process.stdout.fileno()
        self._rest = bytearray()

    def ask(
        self, order: Mapping[str, Any], fd: int, seconds: float
    ) -> Iterator[tuple[dict[str, Any], bytes]]:
        """The answers about one file, each with its bytes.

        seconds: to wait for each. Raises EndedError, ValueError for nonsense, and EdgedError where
        the process could not be confined.
        """
        with suppress(OSError):  # it has ended; it may have said why
            socket.send_fds(self._orders, [json.dumps(order).encode()], [fd])
        while True:
            until = time.monotonic() + seconds
            values = json.loads(self._line(until, seconds))
            if not isinstance(values, dict):
                raise ValueError("not an answer")
            if "unconfined" in values:
                raise EdgedError(
                    "the process that decodes pictures could not be confined",
                    got=printable(str(values["unconfined"])),
                )
            if "next" in values:
                return
            length = int(values.get("bytes", 0))
            if not 0 <= length <= self.most_bytes:
                raise ValueError("an answer that is too long")
            yield values, self._bytes(length, until, seconds)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._orders.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _line(self, until: float, seconds: float) -> bytes:
        while b"\n" not in self._rest:
            self._read(until, seconds)
            if len(self._rest) > _LONGEST_LINE + self.most_bytes:
                raise ValueError("an answer without an end")
        return self._taken(self._rest.index(b"\n") + 1)

    def _bytes(self, length: int, until: float, seconds: float) -> bytes:
        while len(self._rest) < length:
            self._read(until, seconds)
        return self._taken(length)

    def _taken(self, length: int) -> bytes:
        content = bytes(self._rest[:length])
        del self._rest[:length]
        return content

    def _read(self, until: float, seconds: float) -> None:
        left = until - time.monotonic()
        if left <= 0 or not select.select((self._fd,), (), (), left)[0]:
            raise EndedError(f"took longer than {seconds:g} s")
        chunk = os.read(self._fd, _CHUNK)
        if not chunk:
            raise _crashed()
        self._rest += chunk


def _crashed() -> EndedError:
    return EndedError("the process that decodes it has crashed")

"""The addresses of a host name, found within a given time.

The system's resolver waits as long as it likes (half a minute where no name server answers), and
nothing can interrupt it: it runs in a thread that is left behind when the time is up.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

_MOST_WAITING = 4
"""Threads that may be left behind in the resolver at a time; each ends when that gives up."""
_waiting = threading.BoundedSemaphore(_MOST_WAITING)

Address = tuple[socket.AddressFamily, tuple[Any, ...]]


class LookupTimeoutError(TimeoutError):
    def __init__(self) -> None:
        super().__init__("no answer from the name server in time")


def addresses(
    host: str, port: int, seconds: float, resolve: Callable[..., list[Any]] = socket.getaddrinfo
) -> list[Address]:
    """In the order in which they are to be tried. Raises what `resolve` raises, or
    LookupTimeoutError."""
    if not _waiting.acquire(timeout=seconds):
        raise LookupTimeoutError
    found: list[Address] = []
    failed: list[Exception] = []
    done = threading.Event()

    def look() -> None:
        try:
            for family, _, _, _, address in resolve(host, port, 0, socket.SOCK_STREAM):
                found.append((family, address))
        except Exception as error:
            failed.append(error)
        finally:
            _waiting.release()
            done.set()

    threading.Thread(target=look, name="lookup", daemon=True).start()
    if not done.wait(seconds):
        raise LookupTimeoutError
    if failed:
        raise failed[0]
    return found

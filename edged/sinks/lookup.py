"""Host name lookup with a time-out.

The system's resolver cannot be interrupted, and takes half a minute if no name server responds. It
runs in a thread that is abandoned after the time-out.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

_MOST_WAITING = 4
"""Most threads in the resolver at a time; an abandoned one ends when the resolver gives up."""
_waiting = threading.BoundedSemaphore(_MOST_WAITING)

Address = tuple[socket.AddressFamily, tuple[Any, ...]]


class LookupTimeoutError(TimeoutError):
    def __init__(self) -> None:
        super().__init__("name lookup timed out")


def addresses(
    host: str, port: int, seconds: float, resolve: Callable[..., list[Any]] = socket.getaddrinfo
) -> list[Address]:
    """Addresses in the order to try. Raises what `resolve` raises, or LookupTimeoutError."""
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

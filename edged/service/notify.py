"""Notification of systemd over its datagram socket, in the standard library alone.

The protocol is that of sd_notify(3) and sd_watchdog_enabled(3). Without a supervisor (no
NOTIFY_SOCKET) every call does nothing. Does not know whether the daemon is healthy: the caller
asks for a watchdog ping only when every loop has made progress.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from edged.clock import Clock, monotonic_ns

SEND_SECONDS = 1.0
"""A supervisor that does not read is waited for no longer than this."""

STATUS_SECONDS = 5.0
"""Every status wakes the first process of the machine."""

log = logging.getLogger("edged.telemetry.systemd")


class Notifier:
    """Speaks to the supervisor that started this process. No method raises on a dead socket."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        pid: int | None = None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._clock = clock
        self._last_ping_ns: int | None = None
        self._last_status_ns: int | None = None
        self._last_start_ns: int | None = None
        self._failing = False
        self.watchdog_interval_ns = (
            _watchdog_interval_ns(environ, os.getpid() if pid is None else pid)
            if self._address is not None
            else None
        )
        """How often the supervisor is pinged at most, half its limit; None when it does not
        watch. `watchdog` wants to be called a good deal more often than that."""

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is read again; `ready` says that this is over, well or not."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={self._clock() // 1000}")

    def starting(self, seconds: int) -> None:
        """The start makes progress: it may now take so long before it says that again or is over,
        whatever the unit's time-out. Call it as often as you like."""
        now_ns = self._clock()
        if _is_due(self._last_start_ns, now_ns, seconds * 1e9 / 6):
            self._last_start_ns = now_ns
            self._send(f"EXTEND_TIMEOUT_USEC={seconds * 1_000_000}")

    def status(self, status: str, *, at_once: bool = False) -> None:
        """One line that `systemctl status` shows. Call it as often as you like: one that comes
        sooner than STATUS_SECONDS after the last is left out, unless it must be seen."""
        now_ns = self._clock()
        if at_once or _is_due(self._last_status_ns, now_ns, STATUS_SECONDS * 1e9):
            self._last_status_ns = now_ns
            self._send(f"STATUS={_one_line(status)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """All is well. Call it as often as you like: it is passed on when a ping is due."""
        if self.watchdog_interval_ns is None:
            return
        now_ns = self._clock()
        due = _is_due(self._last_ping_ns, now_ns, self.watchdog_interval_ns)
        if due and self._send("WATCHDOG=1"):
            self._last_ping_ns = now_ns

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(SEND_SECONDS)
                channel.sendto(message.encode(errors="replace"), self._address)
        except OSError as error:
            if not self._failing:
                log.warning("systemd does not take notifications: %s", error.strerror or error)
            self._failing = True
            return False
        self._failing = False
        return True


def _address(name: str) -> bytes | None:
    """NOTIFY_SOCKET: a path, or an abstract name written with a leading `@`."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    if name.startswith("/"):
        return os.fsencode(name)
    if name:
        log.warning("NOTIFY_SOCKET is of a kind that is not supported: %s", name)
    return None


def _watchdog_interval_ns(environ: Mapping[str, str], pid: int) -> int | None:
    limit_usec = environ.get("WATCHDOG_USEC", "")
    if not limit_usec.isdecimal() or int(limit_usec) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None  # meant for another process
    return int(limit_usec) * 1000 // 2


def _is_due(last_ns: int | None, now_ns: int, interval_ns: float) -> bool:
    return last_ns is None or now_ns - last_ns >= interval_ns


def _one_line(text: str) -> str:
    """A newline would begin another assignment."""
    return " ".join(text.splitlines())

"""Notification of systemd, sd_notify(3) and sd_watchdog_enabled(3), by hand to spare a dependency.

Without NOTIFY_SOCKET the calls do nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from edged.clock import Clock, monotonic_ns

SEND_SECONDS = 1.0
"""Time-out if systemd does not read."""

STATUS_SECONDS = 5.0
"""Least time between two statuses: each wakes PID 1."""

log = logging.getLogger("edged.telemetry.systemd")


class Notifier:
    """Sends notifications. No method raises if the socket fails."""

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
        """Least time between two pings, half the watchdog's limit; None without a watchdog. Call
        `watchdog` much more often."""

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it, successful or not."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={self._clock() // 1000}")

    def starting(self, seconds: int) -> None:
        """Start-up makes progress: extend the unit's start time-out to `seconds` from now. May be
        called at any rate."""
        now_ns = self._clock()
        if _is_due(self._last_start_ns, now_ns, seconds * 1e9 / 6):
            self._last_start_ns = now_ns
            self._send(f"EXTEND_TIMEOUT_USEC={seconds * 1_000_000}")

    @property
    def status_due(self) -> bool:
        """Whether `status` would send one now."""
        due = _is_due(self._last_status_ns, self._clock(), STATUS_SECONDS * 1e9)
        return due and self._address is not None

    def status(self, status: str, *, at_once: bool = False) -> None:
        """Set the line that `systemctl status` shows. May be called at any rate: at most one per
        STATUS_SECONDS is sent, except with `at_once`."""
        if at_once or self.status_due:
            self._last_status_ns = self._clock()
            self._send(f"STATUS={_one_line(status)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """Ping the watchdog if due. Call it only while every loop makes progress."""
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
                log.warning("cannot notify systemd: %s", error.strerror or error)
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
        log.warning("unsupported NOTIFY_SOCKET: %s", name)
    return None


def _watchdog_interval_ns(environ: Mapping[str, str], pid: int) -> int | None:
    limit_usec = environ.get("WATCHDOG_USEC", "")
    if not limit_usec.isdecimal() or int(limit_usec) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None  # for another process
    return int(limit_usec) * 1000 // 2


def _is_due(last_ns: int | None, now_ns: int, interval_ns: float) -> bool:
    return last_ns is None or now_ns - last_ns >= interval_ns


def _one_line(text: str) -> str:
    """A newline would start another assignment."""
    return " ".join(text.splitlines())

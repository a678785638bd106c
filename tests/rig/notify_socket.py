"""The receiving end of NOTIFY_SOCKET, as systemd holds it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


class Supervisor:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str | bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(5)

    def next(self) -> str:
        return self.socket.recv(4096).decode()

    def waiting(self) -> list[str]:
        """What has come since."""
        self.socket.setblocking(False)
        messages = []
        try:
            while True:
                messages.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return messages
        finally:
            self.socket.settimeout(5)


@contextmanager
def supervised(
    folder: Path, program: str, *arguments: str, watchdog_usec: int
) -> Iterator[tuple[Supervisor, subprocess.Popen[bytes]]]:
    """`program`, which runs the daemon of folder/edged.yaml, as systemd would start it; killed at
    the end."""
    notify = str(folder / "notify")
    supervisor = Supervisor(notify)
    environ = {
        "NOTIFY_SOCKET": notify,
        "WATCHDOG_USEC": str(watchdog_usec),
        "STATE_DIRECTORY": str(folder / "state"),
    }
    with (
        closing(supervisor.socket),
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder / "edged.yaml"), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environ},
        ) as process,
    ):
        supervisor.socket.settimeout(60)
        try:
            yield supervisor, process
        finally:
            process.kill()

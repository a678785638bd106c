"""What systemd says about edged.service, and what the running service says about itself."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request

UNIT = "edged.service"
ADDRESS = "http://127.0.0.1:9640"


def systemctl(*arguments: str) -> tuple[int, str]:
    """(status, everything it said)."""
    done = subprocess.run(
        ["systemctl", "--no-pager", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip()


def show(name: str) -> str:
    """A property of the unit."""
    return systemctl("show", UNIT, "--value", "-p", name)[1]


def seconds_to_ready() -> float:
    """Of the latest start: from the first process to READY."""
    begun, ready = show("InactiveExitTimestampMonotonic"), show("ActiveEnterTimestampMonotonic")
    return (int(ready) - int(begun)) / 1e6


def journal() -> str:
    command = ["journalctl", "-u", UNIT, "-o", "cat", "--no-pager"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def starts() -> int:
    """How often systemd has begun to start it."""
    return sum(line.startswith("Starting edged") for line in journal().splitlines())


def metric(sample: str) -> float:
    """NaN when it is not there, or nobody answers."""
    try:
        with urllib.request.urlopen(f"{ADDRESS}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, OSError):
        return float("nan")
    values = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"{sample} ")]
    return float(values[0]) if values else float("nan")

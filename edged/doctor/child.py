"""Runs commands that may crash, hang or be missing, in a child process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edged.process import child_environment

_REAP_SECONDS = 1.0
_ENVIRONMENT = {
    "LC_ALL": "C",
    # No telemetry of ONNX Runtime (edged/backends/onnxruntime.py).
    "ORT_TELEMETRY_DISABLED": "1",
    "TF_BUILD": "true",
    "LIBCAMERA_LOG_LEVELS": "*:ERROR",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: as in `subprocess`; None if it could not be started or timed out. said: the reason,
    or the last line of standard error."""

    status: int | None
    out: str = ""
    err: str = ""
    problem: str = ""

    @property
    def said(self) -> str:
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        return self.problem or (lines[-1] if lines else f"status {self.status}")

    @property
    def signal(self) -> str | None:
        """The signal that killed it, such as `SIGILL`; else None."""
        if self.status is None or self.status >= 0:
            return None
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            return f"signal {-self.status}"


Run = Callable[[Sequence[str], float], Outcome]
"""(command, time-out in seconds); never raises."""


def run(command: Sequence[str], seconds: float) -> Outcome:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**child_environment(os.environ), **_ENVIRONMENT},
        )
    except OSError as error:
        return Outcome(None, problem=f"{command[0]}: {error.strerror}")
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in a driver
            process.communicate(timeout=_REAP_SECONDS)
        return Outcome(None, problem=f"timed out after {seconds:g} s")
    return Outcome(process.returncode, out, err)

"""Child processes: what may crash, hang or not be there is run in one."""

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
    # ONNX Runtime calls home from its import on (edged/backends/onnxruntime.py).
    "ORT_TELEMETRY_DISABLED": "1",
    "TF_BUILD": "true",
    "LIBCAMERA_LOG_LEVELS": "*:ERROR",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: as of `subprocess`, None when it could not be started or did not end; `said` is why
    then, else the last line of its standard error."""

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
        """`SIGILL`, if that ended it."""
        if self.status is None or self.status >= 0:
            return None
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            return f"signal {-self.status}"


Run = Callable[[Sequence[str], float], Outcome]
"""(command, the seconds that it may take); never raises, never takes much longer."""


def run(command: Sequence[str], seconds: float) -> Outcome:
    """The real one."""
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
        with suppress(subprocess.TimeoutExpired):  # a driver that hangs does not let go of it
            process.communicate(timeout=_REAP_SECONDS)
        return Outcome(None, problem=f"no answer within {seconds:g} s")
    return Outcome(process.returncode, out, err)

"""How the daemon is run here, and what it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.device.checks.patience import wait_for
from tests.rig.daemon import RunningDaemon

SLOW = 120.0
"""Seconds of an idle machine for what takes one or two on a real processor."""
CONFIG = """
variants: [mobilenet_v1_0.25_128]
latency_budget_ms: 5000
http: {listen: "127.0.0.1:0"}
"""


class PatientDaemon(RunningDaemon):
    """Waits as long as the machine is busy."""

    def wait_for(self, condition: Callable[[], object], seconds: float = SLOW) -> float:
        ended = self.process.poll
        held, waited = wait_for(lambda: condition() or ended() is not None, seconds)
        assert held and condition(), f"waited {waited:.1f} s; exit {ended()}; log:\n{self.text}"
        return waited


def cameras(sources: dict[str, str]) -> str:
    """The rest of the configuration, by the cameras' names."""
    return "cameras:\n" + "".join(
        f"  {name}: {{source: {path}}}\n" for name, path in sources.items()
    )


def results_of(daemon: RunningDaemon, view: str, count: int, seconds: float) -> list[Any]:
    """At least so many of a view or camera; fails when they do not come in time."""
    daemon.wait_for(lambda: len(daemon.results_of(view)) >= count, seconds)
    return daemon.results_of(view)


def processes(daemon: RunningDaemon) -> list[int]:
    return [daemon.process.pid, *daemon.capture_processes()]


def pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no Pss of process {pid}")


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())

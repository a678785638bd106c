"""Unplugged, failing, disconnected: results come back by themselves, and nothing grows."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.device.checks import vivid
from tests.device.checks.daemon import (
    CONFIG,
    SLOW,
    PatientDaemon,
    cameras,
    descriptors,
    processes,
    pss_mb,
)
from tests.device.checks.patience import wait_for
from tests.device.checks.report import Report

ROUNDS = 20
RETURN_SECONDS = 10.0
"""Of an idle machine: the daemon's own pauses are in it, not how fast a process starts."""
GROWTH_MB = 2.0
LONG_AWAY_SECONDS = 40.0
"""By then the pauses between tries have grown."""
SETTLED_RESULTS = 40


def run(report: Report) -> None:
    vivid.load()
    with (
        tempfile.TemporaryDirectory() as folder,
        PatientDaemon(Path(folder), CONFIG + cameras({"door": vivid.BY_PATH})) as daemon,
    ):
        first = daemon.wait_for_results(1, SLOW)
        report.note(f"first result {first:.1f} s after the start")
        before = settled(daemon)
        report.note(f"PSS {before[0]:.1f} MB in {before[2]} processes")
        rounds(report, daemon)
        after = settled(daemon)
        compare(report, before, after)

        vivid.unplug()
        time.sleep(LONG_AWAY_SECONDS)
        seconds = until_results(daemon, vivid.plug)
        report.check(
            f"results resume after {LONG_AWAY_SECONDS:.0f} s away",
            seconds < math.inf,
            f"{seconds:.1f} s after its return",
        )
        report.check("the daemon is healthy", daemon.get("/healthz")[0] == 200, "/healthz")
        states = [line for line in daemon.log if "camera door" in line]
        report.note(f"{len(states)} lines in the log about {ROUNDS + 1} faults; the first round's:")
        for line in states[:6]:
            report.note(line)
        daemon.stop()


def rounds(report: Report, daemon: PatientDaemon) -> None:
    """unplug, fatal streaming error and disconnect by turns."""
    faults = {"unplug": unplug, "fatal streaming error": fatal_error, "disconnect": disconnect}
    seconds: dict[str, list[float]] = {name: [] for name in faults}
    for number in range(ROUNDS):
        name = list(faults)[number % len(faults)]
        seconds[name].append(faults[name](daemon))
        report.note(f"{number + 1} of {ROUNDS}, {name}: back after {seconds[name][-1]:.1f} s")
    for name, each in seconds.items():
        report.check(
            f"results resume after {name}",
            max(each) < math.inf,
            f"{len(each)} times, {min(each):.1f} to {max(each):.1f} s after its return",
        )
    restarts = restarted(daemon)
    report.check("each fault is counted", restarts >= ROUNDS, f"{restarts:.0f} restarts")


def unplug(daemon: PatientDaemon) -> float:
    """With the device open; back as soon as the daemon has noticed. Seconds until results."""
    noticed(daemon, vivid.unplug)
    return until_results(daemon, vivid.plug)


def disconnect(daemon: PatientDaemon) -> float:
    noticed(daemon, vivid.disconnect)
    vivid.unplug()
    return until_results(daemon, vivid.plug)


def fatal_error(daemon: PatientDaemon) -> float:
    """The device is never away."""
    begun = time.monotonic()
    noticed(daemon, vivid.fail_streaming)
    until_results(daemon, lambda: None)
    return time.monotonic() - begun


def noticed(daemon: PatientDaemon, fault: Callable[[], None]) -> None:
    told = len(daemon.log)
    fault()
    daemon.wait_for(lambda: any("backoff" in line for line in daemon.log[told:]), SLOW)


def until_results(daemon: PatientDaemon, mend: Callable[[], None]) -> float:
    """Of frames captured since then: one from before the fault may still be in the pipeline.

    Infinite when they do not come in RETURN_SECONDS.
    """
    mended = datetime.now(UTC)
    mend()
    held, seconds = wait_for(lambda: captured(daemon.results[-1]) > mended, RETURN_SECONDS)
    return seconds if held else math.inf


def captured(result: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(result["captured_at"])


def restarted(daemon: PatientDaemon) -> float:
    _, text = daemon.get("/metrics")
    lines = [line for line in text.splitlines() if line.startswith("edged_source_restarts_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def settled(daemon: PatientDaemon) -> tuple[float, list[int], int]:
    """(PSS of all processes in MB, descriptors of each, number of processes) after a while."""
    daemon.wait_for_results(len(daemon.results) + SETTLED_RESULTS, SLOW)
    pids = processes(daemon)
    return sum(map(pss_mb, pids)), [descriptors(pid) for pid in pids], len(pids)


def compare(
    report: Report, before: tuple[float, list[int], int], after: tuple[float, list[int], int]
) -> None:
    growth_mb = after[0] - before[0]
    report.check(
        f"memory after {ROUNDS} faults",
        growth_mb <= GROWTH_MB,
        f"PSS {before[0]:.1f} MB before, {after[0]:.1f} MB after: {growth_mb:+.1f} MB",
    )
    report.check(
        f"descriptors after {ROUNDS} faults",
        before[1:] == after[1:],
        f"{before[1]} before, {after[1]} after",
    )

"""Runs one contender for some seconds and reads off what it took, from outside.

CPU is that of all its processes, by the kernel's own count; so is PSS, which counts a page that
several share once among them. Latencies are what each says of its results: from the moment a frame
was due until its result was there.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline_clips import FPS, FRAMES

from edged.control.profile import quantile
from edged.variants.variant import Variant
from tests.rig.daemon import RunningDaemon, pss_mb

SETTLING_SECONDS = 7.0
"""Then the start is over, and the measuring that belongs to it: this is what a day costs."""
LONGEST_START_SECONDS = 60.0
_SCHEDULED = 2  # CPUCLOCK_SCHED, linux/posix-timers.h

CONFIG = """
model: {model}
variants: [{variant}]
threads: [1]
latency_budget_ms: 100
cameras:
{cameras}
results: {{jsonl: {results}, top_k: 3}}
http: {{listen: 127.0.0.1:0}}
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """cpu_ms and wall_ms: of a result. latencies_ms: with the number of the frame in its clip."""

    cpu_ms: float
    wall_ms: float
    pss_mb: float
    start_seconds: float
    latencies_ms: tuple[tuple[int, float], ...]

    def latency_ms(self, share: float) -> float:
        return quantile((latency for _, latency in self.latencies_ms), share)


def run_script(command: list[str], folder: Path, seconds: float) -> Measured:
    results = folder / "results.jsonl"
    begun_unix_ns = time.time_ns()
    with results.open("wb") as output, (folder / "script.log").open("wb") as log:
        script = subprocess.Popen(command, stdout=output, stderr=log)
    try:
        begun = time.monotonic()
        while not results.stat().st_size:
            if script.poll() is not None or time.monotonic() - begun > LONGEST_START_SECONDS:
                raise SystemExit(f"{command} failed:\n" + (folder / "script.log").read_text())
            time.sleep(0.05)
        taken = _watch(results, lambda: [script.pid], seconds)
    finally:
        script.kill()
        script.wait()
    lines = [json.loads(line) for line in taken.lines]
    first = json.loads(results.read_bytes().partition(b"\n")[0])
    start_seconds = (first["at_unix_ns"] - begun_unix_ns) / 1e9
    latencies = tuple((line["frame"] % FRAMES, line["latency_ms"]) for line in lines)
    return Measured(taken.cpu_ms, taken.wall_ms, taken.pss_mb, start_seconds, latencies)


def run_edged(
    family: Path, variant: Variant, sources: Sequence[str], folder: Path, seconds: float
) -> Measured:
    """The state directory is that of `learn_profile`: the profile is known."""
    results = folder / "results.jsonl"
    results.unlink(missing_ok=True)
    config = _config(family, variant, sources, results)
    begun_unix_ns = time.time_ns()
    with RunningDaemon(folder, config) as daemon:
        daemon.wait_for(lambda: _size(results) > 0, LONGEST_START_SECONDS)
        taken = _watch(results, lambda: [daemon.process.pid, *daemon.capture_processes()], seconds)
        daemon.stop()
    lines = [json.loads(line) for line in taken.lines]
    first = json.loads(results.read_bytes().partition(b"\n")[0])
    captured = _captured_seconds(first)
    start_seconds = captured + first["latency_ms"] / 1e3 - begun_unix_ns / 1e9
    latencies = tuple(
        (
            # Frames before the first result were pictures that a newer one replaced.
            (first["sequence"] - 1 + round((_captured_seconds(line) - captured) * FPS)) % FRAMES,
            line["latency_ms"],
        )
        for line in lines
    )
    return Measured(taken.cpu_ms, taken.wall_ms, taken.pss_mb, start_seconds, latencies)


def learn_profile(family: Path, variant: Variant, clip: Path, state: Path) -> None:
    """Let the daemon run until it has measured and stored its profile."""
    results = state.parent / "results.jsonl"
    config = _config(family, variant, [str(clip)], results)
    with RunningDaemon(state.parent, config) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 60)
        daemon.stop()
    if not list(state.glob("profile-*.json")):
        raise SystemExit(f"no profile was stored:\n{daemon.text}")


def _config(family: Path, variant: Variant, sources: Sequence[str], results: Path) -> str:
    cameras = "\n".join(
        f"  camera{number}: {{source: '{source}'{'' if ':' in source else ', loop: true'}}}"
        for number, source in enumerate(sources)
    )
    return CONFIG.format(model=family, variant=variant.name, cameras=cameras, results=results)


def _captured_seconds(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["captured_at"].replace("Z", "+00:00")).timestamp()


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


@dataclass(frozen=True, slots=True)
class _Taken:
    lines: list[bytes]
    cpu_ms: float
    wall_ms: float
    pss_mb: float


def _watch(results: Path, processes: Callable[[], list[int]], seconds: float) -> _Taken:
    """Count for so long, once it has settled."""
    time.sleep(SETTLING_SECONDS)
    pids = processes()
    begun, cpu_ns, offset = time.monotonic_ns(), _cpu_ns(pids), _size(results)
    time.sleep(seconds)
    end, cpu_ns, size = time.monotonic_ns(), _cpu_ns(pids) - cpu_ns, _size(results)
    pss = sum(pss_mb(pid) for pid in pids)
    with results.open("rb") as file:
        file.seek(offset)
        # A size may be taken while a line is being written.
        lines = [line for line in file.read(size - offset).splitlines() if line[:1] == b"{"]
    if lines and not lines[-1].endswith(b"}"):
        lines.pop()
    if not lines:
        raise SystemExit("no results came")
    count = len(lines)
    return _Taken(lines, cpu_ns / 1e6 / count, (end - begun) / 1e6 / count, pss)


def _cpu_ns(pids: Sequence[int]) -> int:
    """User and system time of all threads, ended ones too. The kernel's clock of a process
    (clock_getcpuclockid(3)) counts in nanoseconds, /proc/PID/stat in hundredths of a second."""
    return sum(time.clock_gettime_ns((~pid << 3) | _SCHEDULED) for pid in pids)

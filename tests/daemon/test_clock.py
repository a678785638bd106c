from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edged.clock import WallClock
from tests.rig.daemon import RunningDaemon

S = 1_000_000_000

# Adds the seconds that a file holds to the wall clock of whoever loads it, and to no other clock.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    FILE *file = clock == CLOCK_REALTIME ? fopen(getenv("CLOCK_AHEAD"), "r") : NULL;
    long seconds = 0;
    if (file) { if (fscanf(file, "%ld", &seconds) == 1) now->tv_sec += seconds; fclose(file); }
    return failed;
}
"""
STEPS = "edged_clock_steps_total"


def test_only_a_clock_that_is_set_has_stepped() -> None:
    monotonic, unix = [5 * S], [1_800_000_000 * S]
    clock = WallClock(lambda: monotonic[0], lambda: unix[0])

    def step_after(monotonic_seconds: float, unix_seconds: float) -> float:
        monotonic[0] += round(monotonic_seconds * S)
        unix[0] += round(unix_seconds * S)
        return clock.step_seconds()

    assert step_after(1000, 1000) == 0
    assert step_after(1000, 1000.4) == 0  # a rate that is being corrected
    assert step_after(0.2, 3600.2) == 3600
    assert step_after(0.2, 0.2) == 0
    assert step_after(0.2, -7199.8) == -7200


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to step one process's clock")
def test_a_clock_that_steps_is_told_and_counted_and_harms_no_frame(tmp_path: Path) -> None:
    (tmp_path / "shim.c").write_text(SHIM)
    shim, ahead = tmp_path / "shim.so", tmp_path / "ahead"
    compiler = ["gcc", "-shared", "-fPIC", "-o", str(shim), str(tmp_path / "shim.c"), "-ldl"]
    subprocess.run(compiler, check=True)
    ahead.write_text("0")
    config = (
        "variants: [mobilenet_v1_0.25_128]\nlatency_budget_ms: 5000\n"
        "cameras: {door: {source: synthetic, size: 320x240, fps: 10}}\n"
        "http: {listen: 127.0.0.1:0}\n"
    )
    environ = {"LD_PRELOAD": str(shim), "CLOCK_AHEAD": str(ahead)}
    with RunningDaemon(tmp_path, config, **environ) as daemon:
        daemon.wait_for_results(3)
        assert daemon.metric(STEPS) == 0
        for steps, seconds in enumerate((86_400, -86_400), start=1):
            (tmp_path / "new").write_text(str(seconds))
            (tmp_path / "new").replace(ahead)
            daemon.wait_for(lambda steps=steps: daemon.metric(STEPS) == steps)
            daemon.wait_for_results(len(daemon.results) + 5)
        assert daemon.stop()[0] == 0
    assert "the system clock changed by +86400.0 s" in daemon.text
    assert "the system clock changed by -172800.0 s" in daemon.text
    assert all(result["on_time"] and result["latency_ms"] > 0 for result in daemon.results)
    numbers = [result["sequence"] for result in daemon.results]
    assert numbers == sorted(set(numbers))

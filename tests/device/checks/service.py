"""edged under real systemd, installed by its own `edged service install`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.device.checks import vivid
from tests.device.checks.daemon import SLOW
from tests.device.checks.patience import wait_for
from tests.device.checks.report import Report
from tests.device.checks.systemctl import UNIT, journal, metric, seconds_to_ready, show, systemctl

CONFIG = Path("/etc/edged/edged.yaml")
STATE = (Path("/var/lib/edged"), Path("/var/cache/edged"), Path("/run/edged"))
BUDGET_MS, OTHER_BUDGET_MS = 5000, 4000
EXPOSURE = 2.0
RETURN_SECONDS = 10.0
"""Of an idle machine."""
RESULTS = 'edged_results_total{camera="door"}'
BUDGET = 'edged_latency_budget_seconds{camera="door"}'
BACKOFF = 'edged_source_state{camera="door",state="backoff"}'
RELOADED = "edged_config_last_reload_success"
_PATH_FILE = Path("/usr/lib/python3/dist-packages/edged.pth")
_WRITTEN = (Path("/etc/systemd/system/edged.service"), Path("/etc/sysusers.d/edged.conf"))
_TEXT = """variants: [mobilenet_v1_0.25_128]
latency_budget_ms: {budget_ms}
results: {{jsonl: none}}
cameras:
  door: {{source: {source}}}
"""


def run(report: Report) -> None:
    vivid.load()
    write_config(BUDGET_MS)
    try:
        install_unit(report)
        ready(report)
        watchdog(report)
        unplug(report)
        reload(report)
        exposure(report)
        stop(report)
    finally:
        if report.failed:
            print(journal(), flush=True)
        remove_unit()


def write_config(budget_ms: float) -> None:
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(_TEXT.format(budget_ms=budget_ms, source=vivid.BY_PATH))


def install_unit(report: Report) -> None:
    """As after `pip install`: the interpreter finds edged by itself."""
    _PATH_FILE.write_text("/opt/edged\n/opt/site\n")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "edged", "service", "install"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    report.check("edged service install", done.returncode == 0, done.stdout.strip())
    status, said = systemctl("enable", "--now", UNIT)
    report.check("systemctl enable --now", status == 0, said)


def remove_unit() -> None:
    """For the parts that come after this one."""
    systemctl("disable", "--now", UNIT)
    for path in (_PATH_FILE, *_WRITTEN):
        path.unlink(missing_ok=True)
    for folder in (CONFIG.parent, *STATE):
        shutil.rmtree(folder, ignore_errors=True)
    systemctl("daemon-reload")


def ready(report: Report) -> None:
    held, _ = wait_for(lambda: show("ActiveState") == "active", SLOW)
    report.check("it is ready", held, f"{seconds_to_ready():.1f} s after its start")
    assert held, "without a running service there is nothing to look at"
    held, seconds = wait_for(lambda: metric(RESULTS) >= 5, SLOW)
    report.check("results come", held, f"{metric(RESULTS):.0f} after {seconds:.1f} s more")
    held, _ = wait_for(lambda: "%" in show("StatusText"), SLOW)
    report.check("its status line tells", held, show("StatusText"))


def watchdog(report: Report) -> None:
    """A daemon that is stopped does nothing, and so must be ended and started anew."""
    before = show("MainPID")
    os.kill(int(before), signal.SIGSTOP)
    held, seconds = wait_for(
        lambda: show("MainPID") not in (before, "0") and show("ActiveState") == "active", SLOW
    )
    report.check(
        "the watchdog starts a stopped daemon anew",
        held and show("NRestarts") == "1",
        f"ready again after {seconds:.1f} s, {show('NRestarts')} restarts",
    )


def unplug(report: Report) -> None:
    vivid.unplug()
    held, seconds = wait_for(lambda: metric(BACKOFF) == 1, SLOW)
    report.check("an unplugged camera is a state", held, f"backoff after {seconds:.1f} s")
    before = metric(RESULTS)
    vivid.plug()
    held, seconds = wait_for(lambda: metric(RESULTS) > before, RETURN_SECONDS)
    report.check("results resume", held, f"{seconds:.1f} s after its return")


def reload(report: Report) -> None:
    before = show("MainPID")
    write_config(OTHER_BUDGET_MS)
    systemctl("reload", UNIT)
    held, seconds = wait_for(lambda: metric(BUDGET) == OTHER_BUDGET_MS / 1000, SLOW)
    report.check(
        "a good file is taken",
        held and metric(RELOADED) == 1 and show("MainPID") == before,
        f"budget {metric(BUDGET):g} s after {seconds:.1f} s, in the same process",
    )
    CONFIG.write_text("cameras: 7\n")
    systemctl("reload", UNIT)
    held, _ = wait_for(lambda: metric(RELOADED) == 0, SLOW)
    seen = metric(RESULTS)
    goes_on, _ = wait_for(lambda: metric(RESULTS) > seen, SLOW)
    report.check(
        "a bad file changes nothing",
        held and goes_on and metric(BUDGET) == OTHER_BUDGET_MS / 1000,
        show("StatusText"),
    )
    write_config(BUDGET_MS)


def exposure(report: Report) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", UNIT],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    line = done.stdout.strip().splitlines()[-1]
    figures = [word for word in line.split() if word.replace(".", "", 1).isdigit()]
    report.check("exposure", bool(figures) and float(figures[0]) <= EXPOSURE, line)


def stop(report: Report) -> None:
    begun = time.monotonic()
    status, said = systemctl("stop", UNIT)
    seconds = time.monotonic() - begun
    left = subprocess.run(["pgrep", "-u", "edged"], stdout=subprocess.PIPE, text=True, check=False)
    report.check(
        "it stops, with all its processes",
        status == 0
        and (show("Result"), show("ExecMainStatus")) == ("success", "0")
        and not left.stdout,
        f"in {seconds:.1f} s, status {show('ExecMainStatus')} {said}{left.stdout}",
    )

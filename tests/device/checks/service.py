"""edged under real systemd: from the .deb in the share, else by its own `edged service install`."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.device.checks import vivid
from tests.device.checks.daemon import SLOW
from tests.device.checks.report import Report
from tests.device.checks.systemctl import (
    UNIT,
    journal,
    metric,
    seconds_to_ready,
    show,
    systemctl,
    wait_for,
)

SHARE = Path("/host")
CONFIG = Path("/etc/edged/edged.yaml")
STATE = (Path("/var/lib/edged"), Path("/var/cache/edged"), Path("/run/edged"))
BUDGET_MS, OTHER_BUDGET_MS = 5000, 4000
EXPOSURE = 2.0
RETURN_SECONDS = 10.0
RESULTS = 'edged_results_total{camera="door"}'
BUDGET = 'edged_latency_budget_seconds{camera="door"}'
BACKOFF = 'edged_source_state{camera="door",state="backoff"}'
RELOADED = "edged_config_last_reload_success"
_TEXT = """variants: [mobilenet_v1_0.25_128]
latency_budget_ms: {budget_ms}
results: {{jsonl: none}}
cameras:
  door: {{source: {source}}}
"""


def run(report: Report) -> None:
    vivid.load()
    write_config(BUDGET_MS)
    packages = sorted(SHARE.glob("*.deb"))
    try:
        if packages:
            install_package(report, packages[0], "install")
        else:
            install_unit(report)
        ready(report)
        watchdog(report)
        unplug(report)
        reload(report)
        exposure(report)
        if packages:
            upgrade(report, packages[-1])
            purge(report)
        else:
            status, said = systemctl("stop", UNIT)
            report.check("it stops", status == 0 and show("Result") == "success", said)
    finally:
        if report.failed:
            print(journal(), flush=True)


def write_config(budget_ms: float) -> None:
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(_TEXT.format(budget_ms=budget_ms, source=vivid.BY_PATH))


def install_package(report: Report, package: Path, what: str) -> None:
    begun = time.monotonic()
    status, said = dpkg("--force-confold", "--force-unsafe-io", "-i", str(package))
    seconds = time.monotonic() - begun
    report.check(what, status == 0, f"{package.name} in {seconds:.0f} s")
    assert status == 0, said


def install_unit(report: Report) -> None:
    """As after `pip install`: the interpreter finds edged by itself."""
    Path("/usr/lib/python3/dist-packages/edged.pth").write_text("/opt/edged\n/opt/site\n")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "edged", "service", "install"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    report.check("edged service install", done.returncode == 0, done.stdout)
    status, said = systemctl("enable", "--now", UNIT)
    report.check("systemctl enable --now", status == 0, said)


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
        lambda: show("ActiveState") == "active" and show("MainPID") != before, SLOW
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
    held, seconds = wait_for(lambda: metric(RESULTS) > before, SLOW)
    report.check(
        "results resume", held and seconds <= RETURN_SECONDS, f"{seconds:.1f} s after its return"
    )


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


def upgrade(report: Report, package: Path) -> None:
    """To the last of the packages in the share; the same one again, if there is no other."""
    before, text = show("MainPID"), CONFIG.read_text()
    install_package(report, package, "upgrade")
    held, seconds = wait_for(
        lambda: show("ActiveState") == "active" and show("MainPID") not in (before, "0"), SLOW
    )
    report.check("it runs again", held, f"after {seconds:.1f} s")
    report.check("the configuration is kept", CONFIG.read_text() == text, CONFIG)


def purge(report: Report) -> None:
    status, said = dpkg("--remove", "edged")
    report.check("remove keeps the configuration", status == 0 and CONFIG.exists(), said)
    status, said = dpkg("--purge", "edged")
    left = [str(path) for path in (CONFIG.parent, *STATE) if path.exists()]
    report.check("purge leaves no file", status == 0 and not left, ", ".join(left) or "none")
    report.check("the user is left", any(each.pw_name == "edged" for each in pwd.getpwall()))


def dpkg(*arguments: str) -> tuple[int, str]:
    """(status, everything it said)."""
    done = subprocess.run(
        ["dpkg", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    return done.returncode, done.stdout

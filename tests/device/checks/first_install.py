"""The .deb on a fresh system: it starts by itself, as it was shipped, and sees the first camera."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from pathlib import Path

from tests.device.checks import vivid
from tests.device.checks.patience import wait_for
from tests.device.checks.report import Report
from tests.device.checks.runtimes import RUNTIMES
from tests.device.checks.systemctl import UNIT, journal, metric, seconds_to_ready, show, systemctl

SHARE = Path("/host")
FIRST_SECONDS = 300.0
"""Of an idle machine. All variants are checked and measured at the first start."""
STATE = Path("/var/lib/edged")
SHIPPED_CAMERA = 'edged_results_total{camera="camera"}'


def run(report: Report) -> None:
    vivid.load()
    try:
        install(report, packages()[0], "installs")
        as_shipped(report)
        both_measured(report)
    finally:
        if report.failed:
            print(journal(), flush=True)


def packages() -> list[Path]:
    """In the order in which the host has laid them there."""
    return sorted(SHARE.glob("*.deb"), key=lambda path: path.stat().st_mtime_ns)


def install(report: Report, package: Path, what: str) -> None:
    begun = time.monotonic()
    status, said = dpkg("--force-unsafe-io", "-i", str(package))
    seconds = time.monotonic() - begun
    size_mb = package.stat().st_size / 1e6
    report.check(what, status == 0, f"{package.name}, {size_mb:.1f} MB, in {seconds:.0f} s")
    assert status == 0, said


def as_shipped(report: Report) -> None:
    """Nothing is edited, nothing started by hand."""
    held, _ = wait_for(lambda: show("ActiveState") == "active", FIRST_SECONDS)
    report.check("it starts by itself and is ready", held, f"{seconds_to_ready():.1f} s")
    assert held, "without a running service there is nothing to look at"
    held, seconds = wait_for(lambda: metric(SHIPPED_CAMERA) >= 5, FIRST_SECONDS)
    count = metric(SHIPPED_CAMERA)
    report.check("the first camera gives results", held, f"{count:.0f} after {seconds:.1f} s more")
    report.check("at every boot", systemctl("is-enabled", UNIT)[1] == "enabled", UNIT)
    owner = pwd.getpwuid(Path(f"/proc/{show('MainPID')}").stat().st_uid).pw_name
    report.check("as its own user", owner == "edged", owner)
    report.note(show("StatusText"))


def both_measured(report: Report) -> None:
    """The package brings both runtimes, and `backend: auto` measures both."""

    def measured() -> list[str]:
        texts = [path.read_text() for path in STATE.glob("profile-*.json")]
        return [name for name in RUNTIMES if any(name in text for text in texts)]

    held, _ = wait_for(lambda: measured() == list(RUNTIMES), FIRST_SECONDS)
    report.check("both runtimes are measured", held, ", ".join(measured()))


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

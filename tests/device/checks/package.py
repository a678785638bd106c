"""The .deb's whole life: install, work, upgrade, remove, purge."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.device.checks import vivid
from tests.device.checks.daemon import SLOW
from tests.device.checks.first_install import as_shipped, dpkg, install, packages
from tests.device.checks.patience import wait_for
from tests.device.checks.report import Report
from tests.device.checks.service import (
    BUDGET_MS,
    CONFIG,
    exposure,
    ready,
    reload,
    stop,
    unplug,
    watchdog,
    write_config,
)
from tests.device.checks.systemctl import UNIT, journal, show, starts, systemctl

PLACES = ("/etc", "/opt", "/run", "/usr", "/var")
OURS = ("/opt/edged", "/opt/site", "/var/log")
"""The checks run from the first two; a log may name what was here."""


def run(report: Report) -> None:
    vivid.load()
    old, new = packages()[0], packages()[-1]
    before = set(traces())
    try:
        install(report, old, "installs")
        as_shipped(report)
        write_config(BUDGET_MS)
        stop(report)
        systemctl("start", UNIT)
        ready(report)
        doctor(report)
        watchdog(report)
        unplug(report)
        reload(report)
        exposure(report)
        upgrade(report, new)
        remove_and_purge(report, before)
    finally:
        if report.failed:
            print(journal(), flush=True)


def doctor(report: Report) -> None:
    done = subprocess.run(["edged", "doctor", "--json"], stdout=subprocess.PIPE, check=False)
    told = json.loads(done.stdout)
    report.check("edged doctor finds no error", told["counts"]["error"] == 0, told["counts"])
    for each in told["findings"]:
        if each["severity"] in ("warning", "error"):
            report.note(f"{each['severity']}  {each['check']}: {each['what']} ({each['got']})")


def upgrade(report: Report, package: Path) -> None:
    """To the last of the packages in the share; the same one again, if there is no other."""
    before, text, count = show("MainPID"), CONFIG.read_text(), starts()
    install(report, package, "upgrades")
    held, seconds = wait_for(
        lambda: show("MainPID") not in (before, "0") and show("ActiveState") == "active", SLOW
    )
    report.check("it is ready again", held, f"after {seconds:.1f} s")
    report.check("it was started once", starts() == count + 1, f"{starts() - count} starts")
    report.check("the edited configuration is kept", CONFIG.read_text() == text, CONFIG)
    report.check("the unit is still enabled", systemctl("is-enabled", UNIT)[0] == 0, UNIT)


def remove_and_purge(report: Report, before: set[str]) -> None:
    status, _ = dpkg("--remove", "edged")
    left = sorted(set(traces()) - before)
    report.check("remove keeps the configuration", status == 0 and CONFIG.exists(), CONFIG)
    report.check("it has stopped", show("ActiveState") in ("inactive", ""), show("ActiveState"))
    report.note(f"left by remove: {', '.join(left)}")
    status, _ = dpkg("--purge", "edged")
    left = sorted(set(traces()) - before)
    figure = ", ".join(left) or f"nothing of edged in {', '.join(PLACES)}"
    report.check("purge leaves no file", status == 0 and not left, figure)
    user = [each.pw_name for each in pwd.getpwall() if each.pw_name == "edged"]
    report.check("but the user", user == ["edged"], user)


def traces() -> Iterator[str]:
    """Every file and folder that has the name, or lies in one that has."""
    for place in PLACES:
        for folder, folders, files in os.walk(place):
            if folder.startswith(OURS):
                folders.clear()
                continue
            for name in (*folders, *files):
                if "edged" in name.lower() and not f"{folder}/{name}".startswith(OURS):
                    yield f"{folder}/{name}"

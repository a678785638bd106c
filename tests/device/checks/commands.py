"""What a person reads: the list of cameras, a camera without permission, a camera in use."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.device.checks import vivid
from tests.device.checks.daemon import CONFIG, SLOW, PatientDaemon, cameras
from tests.device.checks.report import Report

NOBODY = 65534


def run(report: Report) -> None:
    vivid.load()
    listing(report)
    permission(report)
    held(report)


def listing(report: Report) -> None:
    status, said = edged("cameras")
    parts = (vivid.BY_PATH, "vivid", "YUYV", "NV12", "640x360", "source:")
    missing = [part for part in parts if part not in said]
    report.check("edged cameras lists it", status == 0 and not missing, f"missing: {missing}")
    report.note(said[said.find("# for the configuration") :])


def permission(report: Report) -> None:
    """A user who is in no group."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "edged.yaml"
        config.write_text(CONFIG + cameras({"door": vivid.BY_PATH}))
        os.chown(folder, NOBODY, NOBODY)
        status, said = edged("run", "-c", str(config), "--duration", "5", home_of_nobody=folder)
    line = next((line for line in said.splitlines() if "permission" in line), said)
    held = status == 0 and "usermod -aG video" in line
    report.check("permission denied names the group", held, line)


def held(report: Report) -> None:
    """Another program streams from it."""
    holder = subprocess.Popen(
        ["v4l2-ctl", "-d", vivid.BY_PATH, "--stream-mmap"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert holder.stderr is not None
    holder.stderr.read(1)  # its first frame
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            PatientDaemon(Path(folder), CONFIG + cameras({"door": vivid.BY_PATH})) as daemon,
        ):
            daemon.wait_for(lambda: "backoff" in daemon.text, SLOW)
            line = next(line for line in daemon.log if "backoff" in line)
            report.check("a camera in use is said to be in use", "in use by" in line, line)
            status, listed = edged("cameras")
            pid = f"{holder.pid}"
            report.check("edged cameras says who", status == 0 and pid in listed, f"process {pid}")
            holder.kill()
            seconds = daemon.wait_for_results(1, SLOW)
            report.note(f"results {seconds:.1f} s after it was free")
            daemon.stop()
    finally:
        holder.kill()
        holder.wait()
        holder.stderr.close()


def edged(*arguments: str, home_of_nobody: str | None = None) -> tuple[int, str]:
    """(status, everything it said), as root or as nobody."""
    as_nobody: dict[str, Any] = {}
    if home_of_nobody is not None:
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        as_nobody["env"] = {**os.environ, "HOME": home_of_nobody}
    done = subprocess.run(
        [sys.executable, "-m", "edged", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **as_nobody,
    )
    return done.returncode, done.stdout

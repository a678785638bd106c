"""The device's disk: its root with the dependencies of edged, and a unit that runs the checks.

The project itself is not on it: a change of code needs no new disk.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.device.root import PYTHON, Architecture
from tests.device.step import step

SIZE = "4G"
"""Sparse: it takes what is in it."""
_MANYLINUX = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28")

RUNNER = """[Unit]
Description=Run what the host has laid ready, then switch off
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /host && \\
  mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host /host && \\
  sh /host/run > /host/output 2>&1; echo $$? > /host/status; sync'
ExecStopPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=infinity
"""


def make_image(rig: Path, architecture: Architecture, root: Path, requirements: list[str]) -> Path:
    def install(target: Path) -> None:
        platforms = [f"--platform={name}_{architecture.machine}" for name in _MANYLINUX]
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--target", target),
                *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"),
                *platforms,
                *requirements,
            ],
            check=True,
        )

    def write(target: Path) -> None:
        (root / "etc" / "hostname").write_text(f"edged-{architecture.name}\n")
        (root / "etc" / "fstab").write_text("/dev/vda / ext4 defaults,noatime 0 0\n")
        units = root / "etc" / "systemd" / "system"
        (units / "runner.service").write_text(RUNNER)
        wanted = units / "default.target.wants" / "runner.service"
        wanted.parent.mkdir(exist_ok=True)
        wanted.unlink(missing_ok=True)
        wanted.symlink_to("../runner.service")
        target.touch()
        subprocess.run(["truncate", "--size", SIZE, target], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", root, target], check=True)

    site = step(root / "opt" / "site", "\n".join(requirements), install)
    notes = [each.with_name(f"{each.name}.recipe").read_text() for each in (root, site)]
    return step(rig / f"{architecture.name}.ext4", "".join([*notes, RUNNER]), write)

"""Build what is missing, boot, and pass on what the checks inside say."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.device.boot import boot
from tests.device.image import make_image
from tests.device.packages import make_packages
from tests.device.root import ARCHITECTURES, make_root
from tests.device.share import fill_share
from tests.device.step import say

PREPARE = Path(__file__).with_name("prepare.sh")
PARTS = {
    "amd64": ("formats", "views", "faults", "commands", "confinement", "service", "package"),
    "arm64": ("family", "frames", "runtimes", "first_install"),
}
"""Modules of `checks` by architecture. The faults are the kernel's and the daemon's, not the
processor's; the wheels and their arithmetic are the processor's."""
WITH_PACKAGES = {"package", "first_install"}
SECONDS = 1800
"""How long it may say nothing before it is switched off."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.device", description=__doc__)
    parser.add_argument("architecture", choices=ARCHITECTURES)
    parser.add_argument("parts", nargs="*", help="of tests/device/checks; without it, the usual")
    parser.add_argument(
        "--file",
        type=Path,
        action="append",
        default=[],
        help="a .deb instead of this tree's: the first is installed, the last upgrades it",
    )
    parser.add_argument("--cpu", help="as QEMU names it: cortex-a76 is a Raspberry Pi 5's")
    parser.add_argument("--accel", default="tcg", help="kvm where it works, for the same processor")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of silence, then it is off")
    options = parser.parse_args()
    architecture = ARCHITECTURES[options.architecture]
    parts = options.parts or PARTS[options.architecture]
    for part in set(parts) - {part for usual in PARTS.values() for part in usual}:
        parser.error(f"there is no part {part}")
    for file in options.file:
        if not file.is_file():
            parser.error(f"no such file: {file}")
    if os.geteuid() != 0:
        print(
            "the virtual device needs root: its Debian system is made in a chroot, with device "
            f"nodes and owners; sudo make test-device, or sudo {sys.executable} -m tests.device",
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the device must not outlive us
    rig = Path(os.environ.get("EDGED_RIG") or Path.home() / ".cache" / "edged-rig")
    rig.mkdir(parents=True, exist_ok=True)
    lock = (rig / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another virtual device runs in {rig}; set EDGED_RIG, or wait", file=sys.stderr)
        return 2
    subprocess.run([PREPARE], check=True)
    root = make_root(rig, architecture)
    files = options.file
    if not files and WITH_PACKAGES & set(parts):
        files = make_packages(rig, architecture)
    share, requirements = fill_share(rig, files)
    image = make_image(rig, architecture, root, requirements)
    say(f"booting {architecture.name}: {', '.join(parts)}")
    status = boot(
        rig,
        architecture,
        image,
        share,
        f"python3 -m tests.device.checks {' '.join(parts)}",
        cpu=options.cpu or architecture.cpu,
        accel=options.accel,
        seconds=options.seconds,
    )
    say("all is well" if status == 0 else f"failed, status {status}")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"status {error.returncode} of {' '.join(map(str, error.cmd))}")

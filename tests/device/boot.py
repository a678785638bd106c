"""Boots the device, shows what its command prints while it prints, and returns its status."""

from __future__ import annotations

import codecs
import subprocess
import sys
import time
from pathlib import Path

from tests.device.root import Architecture, initrd, kernel

MEMORY_MB = 2048
CORES = 2
NOT_FINISHED = 124
"""The status of a device that was switched off, or that ended by itself, as of timeout(1)."""
_CONSOLE_LINES = 40

RUN = """set -e
python3 -m zipfile -e /host/edged-*.whl /opt/edged
export PYTHONPATH=/opt/edged:/opt/site:/host
cd /tmp
exec {command}
"""


def boot(
    rig: Path,
    architecture: Architecture,
    image: Path,
    share: Path,
    command: str,
    *,
    cpu: str,
    accel: str,
    seconds: float,
) -> int:
    """Nothing that the device writes stays, except in the share."""
    (share / "run").write_text(RUN.format(command=command))
    output, status = share / "output", share / "status"
    console = rig / "console.log"
    console.unlink(missing_ok=True)
    root = rig / f"root-{architecture.name}"
    qemu = subprocess.Popen(
        [
            *architecture.qemu,
            *("-cpu", cpu, "-smp", str(CORES), "-m", str(MEMORY_MB)),
            *("-accel", "tcg,thread=multi" if accel == "tcg" else accel),
            *("-kernel", str(kernel(root)), "-initrd", str(initrd(root))),
            *("-append", f"root=/dev/vda rw console={architecture.console} panic=-1 quiet"),
            *("-drive", f"file={image},if=none,id=disk,format=raw,snapshot=on"),
            *("-device", "virtio-blk-pci,drive=disk"),
            *("-virtfs", f"local,path={share},mount_tag=host,security_model=none"),
            *("-serial", f"file:{console}", "-monitor", "none", "-display", "none"),
            *("-nic", "none", "-no-reboot"),
        ],
        stdin=subprocess.DEVNULL,
    )
    heard = time.monotonic()
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    try:
        shown = 0
        while True:
            ended = qemu.poll() is not None or time.monotonic() - heard > seconds
            if output.exists():
                with output.open("rb") as stream:
                    stream.seek(shown)
                    fresh = stream.read()
                shown += len(fresh)
                heard = time.monotonic() if fresh else heard
                sys.stdout.write(decode(fresh))
                sys.stdout.flush()
            if ended:
                break
            time.sleep(0.2)
    finally:
        qemu.kill()
        qemu.wait()
    if status.exists():
        return int(status.read_text())
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    print(f"the device did not finish; the end of {console}:", *lines[-_CONSOLE_LINES:], sep="\n")
    return NOT_FINISHED

"""The kernel's virtual camera: a webcam with YUYV, NV12 and grey, which can be made to fail.

Facts: Documentation/admin-guide/media/vivid.rst of the kernel.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

BY_PATH = "/dev/v4l/by-path/platform-vivid.0-video-index0"
"""Its stable name; /dev/videoN may change when it comes back."""
_DRIVER = Path("/sys/bus/platform/drivers/vivid")
_COLOUR_BARS = 1
"""test_pattern: 100 % bars."""
_NO_TEXT = 2
_EXPOSURE = 1
"""timestamp_source: where a frame begins. Its end, the default, is computed, and may come later
than the frame itself."""


def load() -> None:
    """One webcam that shows plain colour bars."""
    options = ("n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0x00")
    subprocess.run(["modprobe", "vivid", *options], check=True)
    _settle()
    control(test_pattern=_COLOUR_BARS, osd_text_mode=_NO_TEXT, timestamp_source=_EXPOSURE)


def control(**values: int) -> None:
    for name, value in values.items():
        subprocess.run(["v4l2-ctl", "-d", BY_PATH, "-c", f"{name}={value}"], check=True)


def ask(*arguments: str) -> str:
    """What v4l2-ctl says."""
    command = ["v4l2-ctl", "-d", BY_PATH, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def unplug() -> None:
    (_DRIVER / "unbind").write_text("vivid.0")
    _settle()


def plug() -> None:
    (_DRIVER / "bind").write_text("vivid.0")
    _settle()


def fail_streaming() -> None:
    """Every further call fails until streaming is begun anew."""
    control(inject_fatal_streaming_error=1)


def disconnect() -> None:
    """Its nodes go, as when a cable is pulled; only `unplug` and `plug` bring them back."""
    control(disconnect=1)
    _settle()


def _settle() -> None:
    subprocess.run(["udevadm", "settle", "--timeout=20"], check=True)

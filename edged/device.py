"""Identifies the device by what determines its speed.

Uses no serial number: a memory card moved to another device of the same model keeps its profile.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_MODELS = ("proc/device-tree/model", "sys/class/dmi/id/product_name")
"""Boards with a device tree (Raspberry Pi, Jetson), and PCs."""
KEEP_WARM_SECONDS = 0.1
"""Longest pause between runs with `keep_warm`, as with a camera at 10 pictures a second.

The driver of a Jetson's GPU powers it down after 500 ms without work (railgate_delay in NVIDIA's
nvgpu). Whether this little work also keeps its clocks up was not measured; `edged bench` shows it.
"""


def device_facts(root: Path = Path("/"), cores: int | None = None) -> dict[str, str]:
    """Facts by name, without those that the device does not report.

    cores: number available to this process; default: asked of the system.
    """
    facts = {
        "model": next(filter(None, (_text(root / name) for name in _MODELS)), ""),
        "processor": _processor(_text(root / "proc/cpuinfo")),
        "machine": platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if cores is None else cores),
        "highest_mhz": _highest_mhz(root / "sys/devices/system/cpu/cpufreq"),
    }
    return {name: fact for name, fact in facts.items() if fact}


def device_name(root: Path = Path("/")) -> str:
    """The model (`Raspberry Pi 4 Model B Rev 1.4`), or else the processor, for display."""
    facts = device_facts(root)
    return facts.get("model") or facts.get("processor") or facts["machine"]


def has_dot_product(root: Path = Path("/")) -> bool | None:
    """Of 8-bit integers (asimddp). None where the kernel does not tell: not an ARM processor."""
    cpuinfo = _text(root / "proc/cpuinfo")
    features = re.search(r"^Features\s*:(.*)$", cpuinfo, re.MULTILINE)
    return None if features is None else "asimddp" in features[1].split()


def _processor(cpuinfo: str) -> str:
    """The model name on x86; the part numbers of all cores on ARM (0xd08: Cortex-A72)."""
    names = re.findall(r"^(?:model name|CPU part)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return ", ".join(sorted({name.strip() for name in names}))


def _highest_mhz(cpufreq: Path) -> str:
    """Of the fastest cores, as set in the firmware: an overclocked device counts as another."""
    highest_khz = [_text(path) for path in cpufreq.glob("policy*/cpuinfo_max_freq")]
    return str(max((int(khz) // 1000 for khz in highest_khz if khz.isdecimal()), default=""))


def _text(path: Path) -> str:
    """Empty if the file is missing. Device tree texts end with NUL."""
    try:
        return path.read_text(errors="replace").strip(" \n\0")
    except OSError:
        return ""

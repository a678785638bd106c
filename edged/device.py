"""Which device this is, as far as it decides how fast networks run on it.

Knows no serial number: a memory card that moves to another device of the same make keeps its
profile. Knows nothing of the present state, such as temperature and clocks (edged/sensors).
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_MODELS = ("proc/device-tree/model", "sys/class/dmi/id/product_name")
"""Of boards with a device tree (Raspberry Pi, Jetson), and of PCs."""
KEEP_WARM_SECONDS = 0.1
"""How long no network runs with `keep_warm`: what a camera of ten pictures a second leaves.

The driver of a Jetson's GPU switches it off after half a second without work (railgate_delay in
NVIDIA's nvgpu: 500 ms). Whether so little work also holds its clocks up was not measured on one;
`edged bench` tells it there.
"""


def device_facts(root: Path = Path("/"), cores: int | None = None) -> dict[str, str]:
    """Facts by name; what the device does not tell is left out.

    cores: those that this process may use, if not asked of the system.
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
    """For people: `Raspberry Pi 4 Model B Rev 1.4`, or else the processor."""
    facts = device_facts(root)
    return facts.get("model") or facts.get("processor") or facts["machine"]


def _processor(cpuinfo: str) -> str:
    """x86 tells its name; of ARM, the parts of all cores tell it (0xd08: Cortex-A72)."""
    names = re.findall(r"^(?:model name|CPU part)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return ", ".join(sorted({name.strip() for name in names}))


def _highest_mhz(cpufreq: Path) -> str:
    """Of the fastest cores, as the firmware is set: overclocking makes it another device."""
    highest_khz = [_text(path) for path in cpufreq.glob("policy*/cpuinfo_max_freq")]
    return str(max((int(khz) // 1000 for khz in highest_khz if khz.isdecimal()), default=""))


def _text(path: Path) -> str:
    """Empty where there is no such file. A device tree ends its texts with NUL."""
    try:
        return path.read_text(errors="replace").strip(" \n\0")
    except OSError:
        return ""

"""The clocks of the processor, and of a Jetson's GPU.

On a Raspberry Pi the kernel's figure is what it asked for: the firmware may run slower, which only
the flags of throttling.py tell (raspberrypi/linux#2986).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edged.sensors.reading import Gauge, read_number

# 17000000.gpu, 17000000.ga10b (Orin), 17000000.gv11b (Xavier), 57000000.gpu (Nano)
_GPU = re.compile(r"([0-9a-f]+\.)?(gpu.*|g[abpv][0-9]+b)")


class Frequency:
    """By cpufreq policy (cores that share a clock), and by GPU."""

    def __init__(self, root: Path) -> None:
        self._policies = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
        devices = sorted((root / "sys/class/devfreq").glob("*"))
        self._gpus = [device for device in devices if _GPU.fullmatch(device.name)]

    def read(self) -> Iterable[Gauge]:
        yield Gauge(
            "edged_cpu_frequency_hertz",
            "Clock that the kernel has set, by cpufreq policy.",
            ("policy",),
            _hertz(self._policies, "scaling_cur_freq", 1000),
        )
        yield Gauge(
            "edged_cpu_frequency_max_hertz",
            "Highest clock of the hardware, by cpufreq policy.",
            ("policy",),
            _hertz(self._policies, "cpuinfo_max_freq", 1000),
        )
        yield Gauge(
            "edged_gpu_frequency_hertz",
            "Clock of the GPU, by device.",
            ("device",),
            _hertz(self._gpus, "cur_freq", 1),
        )


def _hertz(folders: Sequence[Path], file: str, unit: int) -> dict[tuple[str, ...], float]:
    """unit: of the file's number, in hertz."""
    found = {folder.name: read_number(folder / file) for folder in folders}
    return {(name,): float(number * unit) for name, number in found.items() if number is not None}

"""Clocks of the CPU, and of a Jetson's GPU and memory.

On a Raspberry Pi the kernel reports the clock that it requested; the firmware may run slower, which
only the flags of throttling.py show (raspberrypi/linux#2986). A Jetson's power mode sets the
limits; `jetson_clocks` raises the lower to the upper one. Names of the nodes:
rbonghi/jetson_stats#323, #825 and #885 (JetPack 5 to 7). Tested with copies of such files, not on a
device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edged.sensors.reading import Gauge, read_number

# 17000000.gpu, 17000000.ga10b (Orin), gpu-gpc-0 (Thor), …gv11b (Xavier), 57000000.gpu (Nano)
_GPU = re.compile(r"([0-9a-f]+\.)?(gpu.*|g[abpv][0-9]+b)")

# Thor; Orin, where only root can read debugfs but everybody can read the cap.
_MEMORY = ("sys/class/devfreq/bwmgr/cur_freq", "sys/kernel/debug/bpmp/debug/clk/emc/rate")
_MEMORY_LIMIT = ("sys/class/devfreq/bwmgr/max_freq", "sys/kernel/nvpmodel_clk_cap/emc")


class Frequency:
    """Clocks by cpufreq policy (cores that share a clock), by GPU, and of the memory."""

    def __init__(self, root: Path) -> None:
        self._policies = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
        devices = sorted((root / "sys/class/devfreq").glob("*"))
        self._gpus = [device for device in devices if _GPU.fullmatch(device.name)]
        self._memory = [root / file for file in _MEMORY]
        self._memory_limit = [root / file for file in _MEMORY_LIMIT]

    def read(self) -> Iterable[Gauge]:
        for what, file, documentation in (
            ("", "scaling_cur_freq", "CPU clock set by the kernel, by cpufreq policy."),
            ("_max", "cpuinfo_max_freq", "Highest CPU clock of the hardware, by cpufreq policy."),
            ("_limit", "scaling_max_freq", "Highest CPU clock allowed now, by cpufreq policy."),
            ("_floor", "scaling_min_freq", "Lowest CPU clock allowed now, by cpufreq policy."),
        ):
            values = _hertz(self._policies, file, 1000)
            yield Gauge(f"edged_cpu_frequency{what}_hertz", documentation, ("policy",), values)
        for what, file, documentation in (
            ("", "cur_freq", "GPU clock, by device."),
            ("_limit", "max_freq", "Highest GPU clock allowed now, by device."),
            ("_floor", "min_freq", "Lowest GPU clock allowed now, by device."),
        ):
            values = _hertz(self._gpus, file, 1)
            yield Gauge(f"edged_gpu_frequency{what}_hertz", documentation, ("device",), values)
        for what, files, documentation in (
            ("", self._memory, "Memory clock."),
            ("_limit", self._memory_limit, "Highest memory clock allowed now."),
        ):
            found = next(filter(None, map(read_number, files)), None)
            known: dict[tuple[str, ...], float] = {} if found is None else {(): float(found)}
            yield Gauge(f"edged_memory_frequency{what}_hertz", documentation, (), known)


def _hertz(folders: Sequence[Path], file: str, unit: int) -> dict[tuple[str, ...], float]:
    """unit: of the file's value, in hertz."""
    found = {folder.name: read_number(folder / file) for folder in folders}
    return {(name,): float(number * unit) for name, number in found.items() if number is not None}

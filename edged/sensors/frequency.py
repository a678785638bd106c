"""The clocks of the processor, and of a Jetson's GPU and memory.

On a Raspberry Pi the kernel's figure is what it asked for: the firmware may run slower, which only
the flags of throttling.py tell (raspberrypi/linux#2986). A power mode of a Jetson moves the limits;
`jetson_clocks` raises the lower one to the upper one. The names of the nodes are those that
rbonghi/jetson_stats#323, #825 and #885 tell of JetPack 5 to 7; read from trees of files, on no
real Jetson.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edged.sensors.reading import Gauge, read_number

# 17000000.gpu, 17000000.ga10b (Orin), gpu-gpc-0 (Thor), …gv11b (Xavier), 57000000.gpu (Nano)
_GPU = re.compile(r"([0-9a-f]+\.)?(gpu.*|g[abpv][0-9]+b)")

# Of a Thor; of an Orin, where root alone can look into debugfs, but everybody sees the cap.
_MEMORY = ("sys/class/devfreq/bwmgr/cur_freq", "sys/kernel/debug/bpmp/debug/clk/emc/rate")
_MEMORY_LIMIT = ("sys/class/devfreq/bwmgr/max_freq", "sys/kernel/nvpmodel_clk_cap/emc")


class Frequency:
    """By cpufreq policy (cores that share a clock), by GPU, and of the memory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._policies = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
        devices = sorted((root / "sys/class/devfreq").glob("*"))
        self._gpus = [device for device in devices if _GPU.fullmatch(device.name)]

    def read(self) -> Iterable[Gauge]:
        for what, file, documentation in (
            ("", "scaling_cur_freq", "Clock that the kernel has set, by cpufreq policy."),
            ("_max", "cpuinfo_max_freq", "Highest clock of the hardware, by cpufreq policy."),
            ("_limit", "scaling_max_freq", "Highest clock that is allowed now."),
            ("_floor", "scaling_min_freq", "Lowest clock that is allowed now."),
        ):
            values = _hertz(self._policies, file, 1000)
            yield Gauge(f"edged_cpu_frequency{what}_hertz", documentation, ("policy",), values)
        for what, file, documentation in (
            ("", "cur_freq", "Clock of the GPU, by device."),
            ("_limit", "max_freq", "Highest clock that the GPU is allowed now, by device."),
            ("_floor", "min_freq", "Lowest clock that the GPU is allowed now, by device."),
        ):
            values = _hertz(self._gpus, file, 1)
            yield Gauge(f"edged_gpu_frequency{what}_hertz", documentation, ("device",), values)
        for what, files, documentation in (
            ("", _MEMORY, "Clock of the memory."),
            ("_limit", _MEMORY_LIMIT, "Highest clock that the memory is allowed now."),
        ):
            found = next(filter(None, (read_number(self._root / file) for file in files)), None)
            known: dict[tuple[str, ...], float] = {} if found is None else {(): float(found)}
            yield Gauge(f"edged_memory_frequency{what}_hertz", documentation, (), known)


def _hertz(folders: Sequence[Path], file: str, unit: int) -> dict[tuple[str, ...], float]:
    """unit: of the file's number, in hertz."""
    found = {folder.name: read_number(folder / file) for folder in folders}
    return {(name,): float(number * unit) for name, number in found.items() if number is not None}

"""Power mode of a Jetson, which limits its cores and clocks.

nvpmodel stores the number in a file (`pmode:0002`); its configuration has the names, which differ
between modules (`< POWER_MODEL ID=2 NAME=MAXN_SUPER >`). Both files are world-readable.
Source: NVIDIA, Jetson Linux Developer Guide, power management, and quotations by users of JetPack 5
to 7. Tested with copies of such files, not on a device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edged.sensors.reading import Gauge, read_text

NAME = "edged_power_mode_info"

_MODEL = re.compile(r"^< *POWER_MODEL +ID=(\d+) +NAME=(\S+) *>", re.MULTILINE)


class PowerMode:
    def __init__(self, root: Path) -> None:
        self._status = root / "var/lib/nvpmodel/status"
        try:
            models = (root / "etc/nvpmodel.conf").read_text(errors="replace")
        except OSError:
            models = ""
        self._names = {int(number): name for number, name in _MODEL.findall(models)}

    def read(self) -> Iterable[Gauge]:
        values: dict[tuple[str, ...], float] = {}
        mode = re.search(r"\bpmode:(\d+)", read_text(self._status) or "")
        if mode is not None:
            number = int(mode[1])
            values[str(number), self._names.get(number, "")] = 1.0
        yield Gauge(NAME, "1 for the current nvpmodel power mode (Jetson).", ("id", "name"), values)

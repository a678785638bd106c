"""Temperature of the SoC, from the kernel's thermal zones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edged.sensors.reading import Gauge, read_number, read_text

NAME = "edged_soc_temperature_celsius"

# Raspberry Pi: cpu-thermal, on old kernels bcm2835_thermal. Jetson: CPU-therm, GPU-therm, or
# cpu-thermal, gpu-thermal, soc0-thermal, tj-thermal (the hottest of all). Rockchip: soc-thermal,
# bigcore0-thermal. x86: x86_pkg_temp. Excluded: batteries, radios, boards, the fan's estimate, and
# PMIC-Die, which always reads 100 on a Jetson Nano.
_SOC_ZONE = re.compile(
    r"(cpu|gpu|soc|tj|package|bigcore|littlecore|cluster|bcm2835)[0-9]*[-_]therm(al)?|x86_pkg_temp",
    re.IGNORECASE,
)
_PLAUSIBLE_C = (-40.0, 150.0)
"""An Orin reports -256 for a part that is switched off."""


class Temperature:
    """Zones are listed once: they exist from the kernel's start."""

    def __init__(self, root: Path) -> None:
        self._zones = [
            (kind, zone / "temp")
            for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))
            if (kind := read_text(zone / "type")) is not None and _SOC_ZONE.fullmatch(kind)
        ]

    @property
    def measures(self) -> bool:
        return any(gauge.values for gauge in self.read())

    def read(self) -> Iterable[Gauge]:
        """The hottest of several zones with one name."""
        values: dict[tuple[str, ...], float] = {}
        for kind, path in self._zones:
            thousandths = read_number(path)
            if thousandths is None:
                continue
            celsius = thousandths / 1000
            if _PLAUSIBLE_C[0] < celsius < _PLAUSIBLE_C[1]:
                values[kind,] = max(celsius, values.get((kind,), celsius))
        yield Gauge(NAME, "Temperature of the SoC, by thermal zone.", ("zone",), values)

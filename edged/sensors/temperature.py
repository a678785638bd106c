"""How hot the processor's chip is, from the kernel's thermal zones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edged.sensors.reading import Gauge, read_number, read_text

NAME = "edged_soc_temperature_celsius"

# Raspberry Pi: cpu-thermal, on old kernels bcm2835_thermal. Jetson: CPU-therm, GPU-therm, or
# cpu-thermal, gpu-thermal, soc0-thermal, tj-thermal (the hottest of all). Rockchip: soc-thermal,
# bigcore0-thermal. x86: x86_pkg_temp. Left out are batteries, radios, boards, a fan's estimate and
# PMIC-Die, which on a Jetson Nano always says 100.
_SOC_ZONE = re.compile(
    r"(cpu|gpu|soc|tj|package|bigcore|littlecore|cluster|bcm2835)[0-9]*[-_]therm(al)?|x86_pkg_temp",
    re.IGNORECASE,
)
_BELIEVABLE_C = (-40.0, 150.0)
"""An Orin says -256 for a part that is switched off."""


class Temperature:
    """Zones are looked for once: they are there when the kernel has started."""

    def __init__(self, root: Path) -> None:
        self._zones = [
            (kind, zone / "temp")
            for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))
            if (kind := read_text(zone / "type")) is not None and _SOC_ZONE.fullmatch(kind)
        ]

    def read(self) -> Iterable[Gauge]:
        """Of zones of the same name the hottest counts."""
        values: dict[tuple[str, ...], float] = {}
        for kind, path in self._zones:
            thousandths = read_number(path)
            if thousandths is None:
                continue
            celsius = thousandths / 1000
            if _BELIEVABLE_C[0] < celsius < _BELIEVABLE_C[1]:
                values[kind,] = max(celsius, values.get((kind,), celsius))
        yield Gauge(
            NAME, "Temperature of the processor's chip, by thermal zone.", ("zone",), values
        )

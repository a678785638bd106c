"""Sensors of the device: a file and a line of the table for each.

Absent hardware gives no values and no error. edged/control/thermal.py decides what follows from
`Heat` and the power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edged.sensors import temperature, throttling
from edged.sensors.frequency import Frequency
from edged.sensors.memory import Memory
from edged.sensors.power import Power
from edged.sensors.power_mode import PowerMode
from edged.sensors.reading import Gauge
from edged.sensors.temperature import Temperature
from edged.sensors.throttling import NOW, Throttle, Throttling


class Sensor(Protocol):
    def read(self) -> Iterable[Gauge]:
        """The present values. Never raises, and takes a second at most, in the main loop."""


SENSORS: tuple[Callable[[Path], Sensor], ...] = (
    Temperature,
    Throttling,
    Frequency,
    PowerMode,
    Power,
    Memory,
)
"""Each takes the folder that stands for `/`."""

_BY_HEAT = (Throttle.FREQUENCY_CAPPED, Throttle.THROTTLED)


@dataclass(frozen=True, slots=True)
class Heat:
    """temperature_c: of the hottest zone, None if unknown. throttled: slowed because of heat, None
    if unknown.
    """

    temperature_c: float | None
    throttled: bool | None

    @classmethod
    def of(cls, gauges: Iterable[Gauge]) -> Heat:
        values = {gauge.name: gauge.values for gauge in gauges}
        zones = values.get(temperature.NAME, {}).values()
        flags = {
            kind: on for (kind, when), on in values.get(throttling.NAME, {}).items() if when == NOW
        }
        # Under-voltage also throttles, but not because of heat. The soft limit (60 degrees on a
        # Raspberry Pi 3B+) costs little and may be exceeded.
        slowed = [flags[kind] for kind in _BY_HEAT if kind in flags]
        throttled = any(slowed) and not flags.get(Throttle.UNDER_VOLTAGE)
        return cls(max(zones, default=None), throttled if slowed else None)

    def readings(self) -> dict[str, float]:
        """Known values by name, for a trace."""
        known = {"temperature_c": self.temperature_c, "throttled": self.throttled}
        return {name: float(value) for name, value in known.items() if value is not None}


class Sensors:
    """All sensors. gauges: the latest readings, for any thread."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._sensors = [make(root) for make in SENSORS]
        self.gauges: tuple[Gauge, ...] = ()

    def read(self) -> Heat:
        """Read every sensor."""
        self.gauges = tuple(gauge for sensor in self._sensors for gauge in sensor.read())
        return Heat.of(self.gauges)

"""Sensors: what the device says of itself. One file is one fact, one line of the table each.

Hardware that is absent gives no value, never a failure. Nothing here decides anything: what
follows from `Heat` is in edged/control/thermal.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edged.sensors import temperature, throttling
from edged.sensors.frequency import Frequency
from edged.sensors.memory import Memory
from edged.sensors.power_mode import PowerMode
from edged.sensors.reading import Gauge
from edged.sensors.temperature import Temperature
from edged.sensors.throttling import NOW, Throttle, Throttling


class Sensor(Protocol):
    def read(self) -> Iterable[Gauge]:
        """The present values; never raises. A second at most, in the thread of the main loop."""


SENSORS: tuple[Callable[[Path], Sensor], ...] = (
    Temperature,
    Throttling,
    Frequency,
    PowerMode,
    Memory,
)
"""Each is made with the folder that stands for `/`."""

_BY_HEAT = (Throttle.FREQUENCY_CAPPED, Throttle.THROTTLED)


@dataclass(frozen=True, slots=True)
class Heat:
    """temperature_c: of the hottest zone of the chip, None where there is none.

    throttled: the device runs slower because it is hot; None where nothing tells.
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
        # The firmware throttles for want of voltage as well, which is no matter of heat; and its
        # soft limit, 60 degrees on a Raspberry Pi 3B+, costs little and is meant to be passed.
        slowed = [flags[kind] for kind in _BY_HEAT if kind in flags]
        throttled = any(slowed) and not flags.get(Throttle.UNDER_VOLTAGE)
        return cls(max(zones, default=None), throttled if slowed else None)

    def readings(self) -> dict[str, float]:
        """What is known, by name, for a trace."""
        known = {"temperature_c": self.temperature_c, "throttled": self.throttled}
        return {name: float(value) for name, value in known.items() if value is not None}


class Sensors:
    """All of the table. `gauges`: the latest reading, for any thread."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._sensors = [make(root) for make in SENSORS]
        self.gauges: tuple[Gauge, ...] = ()

    def read(self) -> Heat:
        """Ask every sensor anew."""
        self.gauges = tuple(gauge for sensor in self._sensors for gauge in sensor.read())
        return Heat.of(self.gauges)

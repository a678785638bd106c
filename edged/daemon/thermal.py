"""Reads the sensors and sets the share of the time that the pipeline may compute.

The rule is in edged/control/thermal.py. The same readings show what a result costs
(edged/control/energy.py).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from edged.config.config import Config
from edged.control.energy import Energy, Uses
from edged.control.thermal import Allowance, Limit, averaged, next_share
from edged.sensors.power import total_watts
from edged.sensors.sensors import Heat, Sensors

log = logging.getLogger("edged")

READING_SECONDS = 1.0
LOST_SECONDS = 60.0
"""After this long without a reading, it is logged that a limit's sensor is lost."""
CALM_SECONDS = 300.0
"""After this long without shedding, its end is logged."""


class Thermostat:
    """limits: `max_temperature_c` and `max_power_w`; None: no limit, but the sensors are read for
    metrics. power_w: the average that max_power_w limits. energy: what the readings show of it."""

    def __init__(
        self,
        sensors: Sensors,
        max_temperature_c: float | None = None,
        max_power_w: float | None = None,
        energy: Energy | None = None,
    ) -> None:
        self.limits = max_temperature_c, max_power_w
        self.allowance = Allowance()
        self.energy = energy or Energy()
        self._sensors = sensors
        self.power_w: float | None = None
        self._read_ns: int | None = None
        self._shed_ns: int | None = None
        self._known_ns: dict[str, int] = {}
        """When the sensor of each limit was last read."""
        self._lost: set[str] = set()
        """Limits whose sensors are lost."""

    @classmethod
    def of(cls, config: Config, sensors: Sensors, before: Thermostat | None) -> Thermostat:
        """The one before, or with other limits one that knows what it knew of energy."""
        limits = config.max_temperature_c, config.max_power_w
        if before is None:
            return cls(sensors, *limits)
        if before.limits == limits:
            return before
        after = cls(sensors, *limits, before.energy)
        after._read_ns = before._read_ns
        return after

    def tick(self, now_ns: int, used: Callable[[], Uses] = dict) -> Allowance:
        """Update and return the allowance; called a few times per second. used: what has run."""
        seconds = READING_SECONDS if self._read_ns is None else (now_ns - self._read_ns) / 1e9
        if seconds < READING_SECONDS:
            return self.allowance
        heat = self._sensors.read()
        watts = total_watts(self._sensors.gauges)
        self.energy.observe(seconds, watts, used())
        self.power_w = averaged(self.power_w, watts, seconds)
        share, by_power = self._share(heat, seconds)
        readings = heat.readings() | ({} if watts is None else {"power_w": watts})
        self.allowance = Allowance(share, readings, by_power)
        self._read_ns = now_ns
        self._tell(heat.temperature_c, now_ns)
        self._tell_lost(heat.temperature_c, watts, now_ns)
        return self.allowance

    def _share(self, heat: Heat, seconds: float) -> tuple[float, bool]:
        """What both limits allow, and whether it is the power that allows no more. A limit whose
        reading is unknown counts for nothing; without any, the share stays."""
        share, (max_temperature_c, max_power_w) = self.allowance.share, self.limits
        by_heat = by_power = math.inf
        if max_temperature_c is not None and (heat.throttled or heat.temperature_c is not None):
            limit = Limit.of_temperature(max_temperature_c)
            by_heat = next_share(share, limit, heat.temperature_c, heat.throttled, seconds)
        if max_power_w is not None and self.power_w is not None:
            limit = Limit.of_power(max_power_w)
            by_power = next_share(share, limit, self.power_w, None, seconds)
        if by_heat == by_power == math.inf:
            return share, self.allowance.by_power
        return min(by_heat, by_power), by_power < by_heat

    def _tell(self, temperature_c: float | None, now_ns: int) -> None:
        allowance, (max_temperature_c, max_power_w) = self.allowance, self.limits
        if allowance.share < 1:
            if self._shed_ns is None and allowance.by_power:
                log.info(
                    "%.1f W: reducing work to stay below max_power_w %g", self.power_w, max_power_w
                )
            elif self._shed_ns is None:
                why = "throttled" if temperature_c is None else f"{temperature_c:.1f} degrees"
                limit = f"max_temperature_c {max_temperature_c:g}"
                log.info("%s: reducing work to stay below %s", why, limit)
            self._shed_ns = now_ns
        elif self._shed_ns is not None and now_ns - self._shed_ns > CALM_SECONDS * 1e9:
            self._shed_ns = None
            log.info("work is no longer reduced")

    def _tell_lost(self, temperature_c: float | None, watts: float | None, now_ns: int) -> None:
        """Of sensors that were read before."""
        readings = {"max_temperature_c": temperature_c, "max_power_w": watts}
        for (key, reading), limit in zip(readings.items(), self.limits, strict=True):
            known_ns, lost = self._known_ns.get(key, now_ns), key in self._lost
            if reading is not None:
                self._known_ns[key] = now_ns
                self._lost.discard(key)
                if lost:
                    log.info("%s %g: its sensor gives readings again", key, limit)
            elif limit is not None and not lost and now_ns - known_ns > LOST_SECONDS * 1e9:
                self._lost.add(key)
                log.warning(
                    "%s %g: its sensor has given no reading for %.0f s; until it does, the limit "
                    "changes nothing",
                    *(key, limit, LOST_SECONDS),
                )

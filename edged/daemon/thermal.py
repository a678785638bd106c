"""Reads the sensors and sets the share of the time that the pipeline may compute.

The rule is in edged/control/thermal.py.
"""

from __future__ import annotations

import logging

from edged.control.thermal import Allowance, next_share
from edged.sensors.sensors import Sensors

log = logging.getLogger("edged")

READING_SECONDS = 1.0
CALM_SECONDS = 300.0
"""After this long without shedding, its end is logged."""


class Thermostat:
    """limit_c: `max_temperature_c`; None: no limit, but the sensors are read for metrics."""

    def __init__(self, sensors: Sensors, limit_c: float | None) -> None:
        self.allowance = Allowance()
        self._sensors = sensors
        self._limit_c = limit_c
        self._read_ns: int | None = None
        self._shed_ns: int | None = None

    def tick(self, now_ns: int) -> Allowance:
        """Update and return the allowance; called a few times per second."""
        seconds = READING_SECONDS if self._read_ns is None else (now_ns - self._read_ns) / 1e9
        if seconds < READING_SECONDS:
            return self.allowance
        heat = self._sensors.read()
        share = 1.0
        if self._limit_c is not None:
            share = next_share(
                self.allowance.share, self._limit_c, heat.temperature_c, heat.throttled, seconds
            )
            if self._read_ns is None and heat.temperature_c is None:
                log.warning(
                    "max_temperature_c %g has no effect: no temperature sensor for the processor",
                    self._limit_c,
                )
            self._tell(share, heat.temperature_c, now_ns)
        self._read_ns = now_ns
        self.allowance = Allowance(share, heat.readings())
        return self.allowance

    def _tell(self, share: float, temperature_c: float | None, now_ns: int) -> None:
        if share < 1:
            if self._shed_ns is None:
                why = "throttled" if temperature_c is None else f"{temperature_c:.1f} degrees"
                log.info("%s: reducing work to stay below max_temperature_c %g", why, self._limit_c)
            self._shed_ns = now_ns
        elif self._shed_ns is not None and now_ns - self._shed_ns > CALM_SECONDS * 1e9:
            self._shed_ns = None
            log.info("cool again: work is no longer reduced")

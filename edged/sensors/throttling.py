"""Throttling, now and since boot, and its causes.

Raspberry Pi: the firmware's flags. No way to read them is reliable, so all are read and combined
(raspberrypi/linux#2367): the sysfs file stays at 0 if no driver refreshes it, and a Raspberry Pi 5
does not have it; `vcgencmd` needs /dev/vcio, to which a container or a service may have no access;
the alarm of the driver rpi_volt covers voltage only.
Elsewhere (Jetson, Rockchip, x86) the kernel slows the device by cooling devices, whose state is
then above 0.

Sources: raspberrypi.com, config and tools, `vcgencmd get_throttled`; Linux, drivers/thermal, and
device trees of Jetson. Tested with copies of such files, not on a device.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path

from edged.process import child_environment
from edged.sensors.reading import Gauge, read_number, read_text

log = logging.getLogger(__name__)

NAME = "edged_soc_throttled"
VCGENCMD_READINGS = 10
"""It starts a process, so it runs at every tenth reading only."""
VCGENCMD_SECONDS = 1.0


class Throttle(str, Enum):
    """The cause, as the metric's label."""

    UNDER_VOLTAGE = "under_voltage"
    FREQUENCY_CAPPED = "frequency_capped"
    THROTTLED = "throttled"
    SOFT_TEMPERATURE_LIMIT = "soft_temperature_limit"


NOW, SINCE_BOOT = "now", "since_boot"
_BITS_NOW = {kind: 1 << bit for bit, kind in enumerate(Throttle)}
_BITS_SINCE = {kind: bit << 16 for kind, bit in _BITS_NOW.items()}

# Fans and displays are cooling devices too, but do not slow the device.
_SLOWS = re.compile(r"(thermal-)?(cpufreq|devfreq)-.*|.*-throttle-alert|Processor")

Run = Callable[[Sequence[str]], str | None]


def run_command(command: Sequence[str]) -> str | None:
    """Standard output; None if the command cannot be run, fails, or takes too long."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=VCGENCMD_SECONDS,
            check=True,
            env=child_environment(os.environ),
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout


class Throttling:
    """Remembers the flags seen, because firmware and drivers may clear those of the past."""

    def __init__(self, root: Path, run: Run = run_command) -> None:
        self._run = run
        model = read_text(root / "sys/firmware/devicetree/base/model") or ""
        self._is_raspberry = "Raspberry Pi" in model
        # soc/soc:firmware, or soc@107c000000/soc@107c000000:firmware
        platform = root / "sys/devices/platform"
        self._flag_files = sorted(platform.glob("soc*/soc*:firmware/get_throttled"))
        self._voltage_alarms = [
            chip / "in0_lcrit_alarm"
            for chip in sorted((root / "sys/class/hwmon").glob("hwmon*"))
            if read_text(chip / "name") == "rpi_volt"
        ]
        self._cooling_states = [
            device / "cur_state"
            for device in sorted((root / "sys/class/thermal").glob("cooling_device*"))
            if _SLOWS.fullmatch(read_text(device / "type") or "")
        ]
        self._readings = 0
        self._vcgencmd_bits: int | None = None
        self._disagreed = False
        self._seen: set[Throttle] = set()

    def read(self) -> Iterable[Gauge]:
        """A kind that this device cannot report has no values."""
        known, now = set[Throttle](), set[Throttle]()
        bits = self._firmware_bits()
        if bits is not None:
            known.update(Throttle)
            now.update(kind for kind, bit in _BITS_NOW.items() if bits & bit)
            self._seen.update(kind for kind, bit in _BITS_SINCE.items() if bits & bit)
        for files, kind in (
            (self._voltage_alarms, Throttle.UNDER_VOLTAGE),
            (self._cooling_states, Throttle.THROTTLED),
        ):
            states = [state for file in files if (state := read_number(file)) is not None]
            if states:
                known.add(kind)
            if any(state > 0 for state in states):
                now.add(kind)
        self._seen |= now
        values = dict[tuple[str, ...], float]()
        for kind in Throttle:
            if kind in known | self._seen:
                values[kind.value, NOW] = float(kind in now)
                values[kind.value, SINCE_BOOT] = float(kind in self._seen)
        yield Gauge(
            NAME,
            "1 if the device is throttled, by kind: now, or at some time since boot.",
            ("kind", "when"),
            values,
        )

    def _firmware_bits(self) -> int | None:
        """The union of file and command; the command's answer is kept until the next one."""
        if self._is_raspberry and self._readings % VCGENCMD_READINGS == 0:
            answer = re.search(r"0x([0-9a-fA-F]+)", self._run(["vcgencmd", "get_throttled"]) or "")
            self._vcgencmd_bits = None if answer is None else int(answer[1], 16)
        self._readings += 1
        found = [bits for file in self._flag_files if (bits := read_number(file, 16)) is not None]
        if self._vcgencmd_bits is not None:
            if found and not found[0] and self._vcgencmd_bits and not self._disagreed:
                self._disagreed = True
                log.info(
                    "%s reads 0 but vcgencmd get_throttled returns %#x; using both",
                    *(self._flag_files[0], self._vcgencmd_bits),
                )
            found.append(self._vcgencmd_bits)
        bits = 0
        for each in found:
            bits |= each
        return bits if found else None

"""Electric power by rail: the kernel's hardware monitors (hwmon) and the processor's energy
counters (powercap, RAPL).

One reading may contain others: a Jetson's VDD_IN feeds VDD_SOC, a processor's package its cores.
So rails are not to be added up, and one of them, if any, is marked as the total: what the whole
device takes or, where only that is known, its processors. Of monitors whose names tell nothing
(INA219, amdgpu) none is a total: a battery's INA219 measures charging as well.

An INA3221 has volts and amperes of three rails with labels (Jetson with JetPack 5 to 7; JetPack 4
shows it elsewhere, by iio, and is not read). The kernel lets only root read energy counters
(CVE-2020-8694). A Raspberry Pi 5 shows the kernel nothing of what its power supply chip measures.

Sources: Linux, Documentation/hwmon and ABI/testing/sysfs-class-hwmon, drivers/powercap; NVIDIA's
device trees. Tested with copies of such files, not on a device.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from edged.clock import Clock, monotonic_ns
from edged.sensors.reading import Gauge, read_number, read_text

NAME = "edged_power_watts"
TOTAL, PART = "total", "part"

# Orin NX and Orin Nano, Xavier NX: the module with all that it feeds. Thor: the whole device. Not
# VIN_SYS_5V0, which is one rail beside others.
_INPUTS = {"VDD_IN", "VIN"}
_PACKAGE = re.compile(r"package-\d+")
_NOT_CONNECTED = "NC"
_LONGEST_SECONDS = 60.0
"""Between two readings of an energy counter, which may have gone around more than once."""
_MOST_WATTS = 5000.0
"""More means that an energy counter was reset, or that a reading is wrong."""


class _Rail:
    """Of files whose numbers multiply to microwatts: one, or millivolts and milliamperes."""

    def __init__(self, name: str, *files: Path) -> None:
        self.name, self.files = name, files

    def watts(self, now_ns: int) -> float | None:
        """None also for what no device takes: a transfer from the chip has failed."""
        numbers = [number for file in self.files if (number := read_number(file)) is not None]
        microwatts = math.prod(numbers)
        sound = len(numbers) == len(self.files) and abs(microwatts) < _MOST_WATTS * 1e6
        return microwatts / 1e6 if sound else None


class _Counter(_Rail):
    """Of a file that counts microjoules, and after `most` begins at 0 again."""

    def __init__(self, name: str, file: Path, most: int) -> None:
        super().__init__(name, file)
        self._most = most
        self._last: tuple[int, int] | None = None

    def watts(self, now_ns: int) -> float | None:
        """The average since the reading before."""
        energy, last = read_number(self.files[0]), self._last
        self._last = None if energy is None else (now_ns, energy)
        if energy is None or last is None:
            return None
        seconds, joules = (now_ns - last[0]) / 1e9, (energy - last[1]) / 1e6
        if joules < 0:
            joules += self._most / 1e6
        sound = 0 < seconds < _LONGEST_SECONDS and joules < _MOST_WATTS * seconds
        return joules / seconds if sound else None


class Power:
    """Rails are listed once, at the start."""

    def __init__(self, root: Path, clock: Clock = monotonic_ns) -> None:
        self._clock = clock
        counters = list(_energy_counters(root / "sys/class/powercap"))
        rails = [*_monitors(root / "sys/class/hwmon"), *counters]
        self._rails = _named(rails)
        inputs = [rail.name for rail in rails if rail.name in _INPUTS]
        platform = [rail.name for rail in counters if rail.name == "psys"]
        processors = [rail.name for rail in counters if _PACKAGE.fullmatch(rail.name)]
        self._totals = set(inputs[:1] or platform[:1] or processors)

    @property
    def total_files(self) -> Sequence[Path]:
        """What must be readable for the total to be known; empty if nothing measures it."""
        return [
            file
            for name, rail in self._rails.items()
            if name in self._totals
            for file in rail.files
        ]

    @property
    def measures(self) -> bool:
        """The total can be read."""
        files = self.total_files
        return bool(files) and all(read_number(file) is not None for file in files)

    def read(self) -> Iterable[Gauge]:
        """Of an energy counter nothing at first: it takes two readings."""
        now_ns = self._clock()
        values: dict[tuple[str, ...], float] = {}
        for name, rail in self._rails.items():
            watts = rail.watts(now_ns)
            if watts is not None:
                values[name, TOTAL if name in self._totals else PART] = watts
        yield Gauge(
            NAME,
            "Electric power by rail. Parts may be contained in the total or in one another; "
            "several totals, of processors, add up.",
            ("rail", "scope"),
            values,
        )


def total_watts(gauges: Iterable[Gauge]) -> float | None:
    """What the whole device takes, or its processors; None if unknown."""
    values = next((gauge.values for gauge in gauges if gauge.name == NAME), {})
    totals = [watts for (_, scope), watts in values.items() if scope == TOTAL]
    return sum(totals) if totals else None


def _named(rails: Iterable[_Rail]) -> Mapping[str, _Rail]:
    """By names, those that occur again with a number."""
    found: dict[str, _Rail] = {}
    for rail in rails:
        name, number = rail.name, 1
        while name in found:
            number += 1
            name = f"{rail.name} {number}"
        found[name] = rail
    return found


def _monitors(folder: Path) -> Iterator[_Rail]:
    # In the order of the hardware: hwmon numbers change from one start to the next.
    for chip in sorted(folder.glob("hwmon*"), key=lambda chip: (chip.resolve().parent, chip.name)):
        if "power_supply" in chip.resolve().parts:  # a battery, which is also charged
            continue
        of_chip = read_text(chip / "name") or chip.name
        if of_chip == "ina3221":
            yield from _by_volts_and_amperes(chip)
            continue
        one = read_text(chip / "label") or of_chip
        channels = sorted({*chip.glob("power*_input"), *chip.glob("power*_average")})
        for number in dict.fromkeys(path.name.partition("_")[0] for path in channels):
            average = chip / f"{number}_average"
            file = average if average in channels else chip / f"{number}_input"
            label = read_text(chip / f"{number}_label")
            yield _Rail(f"{of_chip} {label}" if label else one, file)


def _by_volts_and_amperes(chip: Path) -> Iterator[_Rail]:
    for label_file in sorted(chip.glob("in[123]_label")):
        number, label = label_file.name[2], read_text(label_file)
        if label is not None and label != _NOT_CONNECTED:
            yield _Rail(label, chip / f"in{number}_input", chip / f"curr{number}_input")


def _energy_counters(folder: Path) -> Iterator[_Rail]:
    """Not intel-rapl-mmio, which shows the same packages again, nor what a processor announces and
    does not count."""
    for zone in sorted(folder.glob("intel-rapl:*")):
        name, most = read_text(zone / "name"), read_number(zone / "max_energy_range_uj")
        file = zone / "energy_uj"
        if name is None or most is None or read_number(file) == 0:
            continue
        _, package, *part = zone.name.split(":")
        outer = read_text(folder / f"intel-rapl:{package}" / "name") if part else None
        yield _Counter(f"{outer} {name}" if outer else name, file, most)

"""What stands around the table of `edged bench`: the device's state, and what a pause costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.backends.bench import PAUSE_SECONDS, PAUSES, Ramp, ramp
from edged.commands.bench import device_state, samples, warning
from edged.control.profile import Candidate
from edged.sensors.sensors import Sensors
from edged.variants.variant import Choice, Variant
from tests.rig.device_files import ORIN, PI, THOR, make_files

SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)
MEASURED = [Candidate(SMALL, 1, 0.6, 1.0, 1.0), Candidate(LARGE, 1, 0.8, 4.0, 4.0)]


def sensors(root: Path, files: dict[str, str]) -> Sensors:
    found = Sensors(make_files(root, files))
    found.read()
    return found


MODE = "power mode MAXN_SUPER (2), CPU at 1510 of 1728 MHz"
FIXED = {"sys/class/devfreq/17000000.gpu/min_freq": "1020000000"}  # as jetson_clocks sets it
UNPRIVILEGED = {"sys/kernel/debug/bpmp/debug/clk/emc/rate": ""}


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        (
            ORIN,
            f"{MODE}, GPU at 306 of 1020 MHz, memory at 2133 of 3199 MHz, 49 degrees, throttled",
        ),
        (
            {**ORIN, **FIXED, **UNPRIVILEGED},
            f"{MODE}, GPU fixed at 1020 MHz, memory at most 3199 MHz, 49 degrees, throttled",
        ),
        (THOR, "GPU at 630 of 1575 MHz, memory at 666 of 4266 MHz"),
        ({"var/lib/nvpmodel/status": "pmode:0001"}, "power mode 1"),
        ({"sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "600000"}, "CPU at 600 MHz"),
        ({}, ""),
    ],
)
def test_the_state_of_the_device(tmp_path: Path, files: dict[str, str], shown: str) -> None:
    assert ", ".join(device_state(sensors(tmp_path, files).gauges)) == shown


def test_samples_are_named_as_in_the_exposition(tmp_path: Path) -> None:
    found = dict(samples(sensors(tmp_path, ORIN).gauges))
    assert found['edged_gpu_frequency_hertz{device="17000000.gpu"}'] == 306e6
    assert found['edged_power_mode_info{id="2",name="MAXN_SUPER"}'] == 1
    assert found["edged_memory_frequency_hertz"] == 2133e6


class Sleepy:
    """A device that has a family, and whose clocks come down when nothing runs for half a second.

    Times are in the runs' own moments, so that nothing has to wait for them.
    """

    def __init__(self, slow: float) -> None:
        self.slow = slow
        self.idle_seconds = 0.0
        self.runs: list[Variant] = []

    def infer(self, choice: Choice, pixels: object) -> tuple[object, int, int]:
        self.runs.append(choice.variant)
        factor = self.slow if self.idle_seconds >= 0.5 else 1.0
        self.idle_seconds = 0.0
        self.now_ns += int({SMALL: 1.0, LARGE: 4.0}[choice.variant] * factor * 1e6)
        return np.zeros(1), 0, self.now_ns

    now_ns = 0

    def clock(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.idle_seconds += seconds


def test_clocks_that_come_down_are_found_and_what_keeps_them_up() -> None:
    device = Sleepy(slow=3.0)
    found = ramp(device, MEASURED, device.sleep, device.clock)  # type: ignore[arg-type]
    assert found == Ramp(LARGE.name, 4.0, 12.0, 4.0)
    assert found.slow
    assert device.runs.count(LARGE) == 2 * PAUSES
    assert device.runs.count(SMALL) == PAUSES * round(PAUSE_SECONDS / 0.1)


def test_clocks_that_stay_are_no_matter() -> None:
    device = Sleepy(slow=1.1)
    found = ramp(device, MEASURED, device.sleep, device.clock)  # type: ignore[arg-type]
    assert found.rested_ms == pytest.approx(4.4)
    assert (found.slow, found.warm_ms) == (False, None)
    assert SMALL not in device.runs


@pytest.mark.parametrize(
    ("files", "warm_ms", "said"),
    [
        (
            ORIN,
            4.5,
            "; sudo jetson_clocks keeps the clocks up; keep_warm: true reduces that to 4.5 ms",
        ),
        (PI, 4.5, "; the CPU governor `performance` keeps the clocks up; keep_warm: true reduces"),
        ({}, 11.0, "instead of 4.0; keep_warm: true does not help here (11.0 ms)"),
    ],
)
def test_the_warning_names_what_helps(
    tmp_path: Path, files: dict[str, str], warm_ms: float, said: str
) -> None:
    pause = Ramp("mobilenet_v1_1.0_224", 4.0, 12.0, warm_ms)
    line = warning(pause, sensors(tmp_path, files).gauges)
    told = "after a pause of one second mobilenet_v1_1.0_224 takes 12.0 ms instead of 4.0"
    assert line.startswith(f"warning: {told}; ")
    assert said in line
    assert "\n" not in line

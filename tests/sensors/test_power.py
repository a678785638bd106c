"""Rails of captured trees: their watts, and which of them is the total."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edged.sensors.power import PART, TOTAL, Power, total_watts
from edged.sensors.sensors import Sensors
from tests.rig.camera import FakeTime
from tests.rig.device_files import (
    AGX_ORIN_POWER,
    AMDGPU_POWER,
    LAPTOP_POWER,
    ORIN,
    ORIN_NX_POWER,
    PI,
    PSYS_POWER,
    THOR_POWER,
    UPS_POWER,
    make_files,
)

SECOND_NS = 1_000_000_000
ENERGY = "sys/class/powercap/intel-rapl:{}/energy_uj"


def watts(power: Power) -> dict[tuple[str, ...], float]:
    (gauge,) = power.read()
    assert (gauge.name, gauge.labels) == ("edged_power_watts", ("rail", "scope"))
    return {labels: round(value, 3) for labels, value in gauge.values.items()}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(
            AGX_ORIN_POWER,
            {
                ("VDD_GPU_SOC", PART): 5.201,
                ("VDD_CPU_CV", PART): 2.681,
                ("VIN_SYS_5V0", PART): 4.735,
                ("VDDQ_VDD2_1V8AO", PART): 0.614,
            },
            id="AGX Orin: no rail measures all of it",
        ),
        pytest.param(
            ORIN_NX_POWER,
            {("VDD_IN", TOTAL): 30.347, ("VDD_CPU_GPU_CV", PART): 15, ("VDD_SOC", PART): 5},
            id="Orin NX",
        ),
        pytest.param(
            THOR_POWER,
            {
                ("VDD_GPU", PART): 0,
                ("VDD_CPU_SOC_MSS", PART): 6.51,
                ("VIN_SYS_5V0", PART): 6.52,
                ("VIN", TOTAL): 23,
            },
            id="Thor",
        ),
        pytest.param(UPS_POWER, {("ina219", PART): 0.176}, id="a battery board"),
        pytest.param(AMDGPU_POWER, {("amdgpu PPT", PART): 28}, id="a graphics card"),
        pytest.param(PI, {}, id="Raspberry Pi 4"),
        pytest.param(ORIN, {}, id="a Jetson whose monitors are not listed"),
        pytest.param({}, {}, id="nothing"),
    ],
)
def test_the_rails_of_a_device(
    tmp_path: Path, files: Mapping[str, str], found: dict[tuple[str, str], float]
) -> None:
    assert watts(Power(make_files(tmp_path, files))) == found


@pytest.mark.parametrize(
    ("files", "total"),
    [(AGX_ORIN_POWER, None), (ORIN_NX_POWER, 30.347), (THOR_POWER, 23.0), ({}, None)],
)
def test_rails_are_not_added_up(
    tmp_path: Path, files: Mapping[str, str], total: float | None
) -> None:
    sensors = Sensors(make_files(tmp_path, files))
    sensors.read()
    found = total_watts(sensors.gauges)
    assert found is None if total is None else found == pytest.approx(total, abs=0.001)


def test_a_rail_that_is_switched_off_comes_back(tmp_path: Path) -> None:
    current = "sys/class/hwmon/hwmon1/curr1_input"
    power = Power(make_files(tmp_path, {**ORIN_NX_POWER, current: ""}))  # fails with ENODATA
    assert set(watts(power)) == {("VDD_CPU_GPU_CV", PART), ("VDD_SOC", PART)}
    make_files(tmp_path, {current: "1000\n"})
    assert watts(power)["VDD_IN", TOTAL] == 5.016


@pytest.mark.parametrize("milliamperes", ["4294967295", "-4294967295", "9" * 400, "nan", ""])
def test_what_no_device_takes_is_no_reading(tmp_path: Path, milliamperes: str) -> None:
    current = "sys/class/hwmon/hwmon1/curr1_input"
    power = Power(make_files(tmp_path, {**ORIN_NX_POWER, current: milliamperes}))
    assert set(watts(power)) == {("VDD_CPU_GPU_CV", PART), ("VDD_SOC", PART)}


def test_a_new_amdgpu_has_another_file(tmp_path: Path) -> None:
    """Linux 6.6; some have both, and the average counts (nokyan/resources#270)."""
    files = {name.replace("_average", "_input"): text for name, text in AMDGPU_POWER.items()}
    assert watts(Power(make_files(tmp_path, files))) == {("amdgpu PPT", PART): 28}
    make_files(tmp_path, {"sys/class/hwmon/hwmon2/power1_average": "27000000\n"})
    assert watts(Power(tmp_path)) == {("amdgpu PPT", PART): 27}


def test_two_monitors_of_one_name_are_told_apart_by_their_place(tmp_path: Path) -> None:
    """Not by the number that the kernel gave them at this start."""
    bus = tmp_path / "sys/devices/platform/soc/fe804000.i2c/i2c-1"
    for address, number, microwatts in (("1-0041", 2, "1000000"), ("1-0040", 5, "2000000")):
        chip = f"{address}/hwmon/hwmon{number}"
        make_files(bus, {f"{chip}/name": "ina226\n", f"{chip}/power1_input": microwatts})
        link = tmp_path / f"sys/class/hwmon/hwmon{number}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(bus / chip)
    assert watts(Power(tmp_path)) == {("ina226", PART): 2, ("ina226 2", PART): 1}


def test_a_battery_is_no_rail(tmp_path: Path) -> None:
    battery = "sys/devices/LNXSYSTM:00/PNP0C0A:00/power_supply/BAT0/hwmon3"
    make_files(tmp_path, {f"{battery}/name": "BAT0", f"{battery}/power1_input": "9000000"})
    (tmp_path / "sys/class/hwmon").mkdir(parents=True)
    (tmp_path / "sys/class/hwmon/hwmon3").symlink_to(tmp_path / battery)
    assert watts(Power(tmp_path)) == {}


# Energy counters


def pass_time(root: Path, time: FakeTime, seconds: float, joules: Mapping[str, float]) -> None:
    """joules: how much more each counter shows."""
    for zone, added in joules.items():
        file = root / ENERGY.format(zone)
        file.write_text(str(int(file.read_text()) + round(added * 1e6)))
    time.sleep(seconds)


def test_energy_becomes_power_between_two_readings(tmp_path: Path) -> None:
    time = FakeTime()
    power = Power(make_files(tmp_path, LAPTOP_POWER), time.clock)
    assert watts(power) == {}
    pass_time(tmp_path, time, 2, {"0": 30, "0:0": 12, "0:1": 1})
    assert watts(power) == {
        ("package-0", TOTAL): 15,
        ("package-0 core", PART): 6,
        ("package-0 uncore", PART): 0.5,
    }


def test_the_platform_contains_its_package(tmp_path: Path) -> None:
    time = FakeTime()
    power = Power(make_files(tmp_path, PSYS_POWER), time.clock)
    watts(power)
    pass_time(tmp_path, time, 1, {"0": 15, "1": 25})
    found = watts(power)
    assert (found["psys", TOTAL], found["package-0", PART]) == (25, 15)
    assert total_watts(power.read()) is None  # no time has passed
    pass_time(tmp_path, time, 1, {"0": 15, "1": 25})
    assert total_watts(power.read()) == 25


def test_a_platform_that_is_not_counted_is_no_total(tmp_path: Path) -> None:
    """Some processors announce it and show 0 for ever (sosy-lab/cpu-energy-meter#25)."""
    power = Power(make_files(tmp_path, {**PSYS_POWER, ENERGY.format("1"): "0"}))
    assert list(power.total_files) == [tmp_path / ENERGY.format("0")]


def test_the_packages_of_two_sockets_add_up(tmp_path: Path) -> None:
    time = FakeTime()
    files = {**PSYS_POWER, "sys/class/powercap/intel-rapl:1/name": "package-1\n"}
    power = Power(make_files(tmp_path, files), time.clock)
    watts(power)
    pass_time(tmp_path, time, 1, {"0": 15, "1": 25})
    assert total_watts(power.read()) == 40


def test_a_counter_goes_around(tmp_path: Path) -> None:
    time = FakeTime()
    near_its_end = {ENERGY.format("0"): str(262143328850 - 4_000_000)}
    power = Power(make_files(tmp_path, {**LAPTOP_POWER, **near_its_end}), time.clock)
    watts(power)
    (tmp_path / ENERGY.format("0")).write_text("6000000")
    time.sleep(1)
    assert watts(power)["package-0", TOTAL] == 10


def test_a_counter_that_was_reset_or_not_read_for_long_gives_nothing_once(tmp_path: Path) -> None:
    time = FakeTime()
    power = Power(make_files(tmp_path, LAPTOP_POWER), time.clock)
    for seconds, change in ((1, -26_963_000_000), (3600, 1000)):
        watts(power)
        pass_time(tmp_path, time, seconds, {"0": change / 1e6})
        assert ("package-0", TOTAL) not in watts(power)
        pass_time(tmp_path, time, 1, {"0": 7})
        assert watts(power)["package-0", TOTAL] == 7


def test_a_counter_that_root_alone_may_read_gives_nothing(tmp_path: Path) -> None:
    time = FakeTime()
    unreadable = dict.fromkeys((ENERGY.format(zone) for zone in ("0", "0:0", "0:1")), "")
    power = Power(make_files(tmp_path, {**LAPTOP_POWER, **unreadable}), time.clock)
    for _ in range(2):
        assert watts(power) == {}
        time.sleep(1)
    assert list(power.total_files) == [tmp_path / ENERGY.format("0")]


def test_this_machine_can_be_read() -> None:
    (gauge,) = Power(Path("/")).read()
    assert all(-50 < value < 5000 for value in gauge.values.values())

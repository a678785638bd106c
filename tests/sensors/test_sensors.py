"""Every sensor on the trees of files that devices show, and on those they do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from edged.sensors.frequency import Frequency
from edged.sensors.memory import Memory
from edged.sensors.power_mode import PowerMode
from edged.sensors.reading import Gauge, read_number, read_text
from edged.sensors.sensors import Heat, Sensors
from edged.sensors.temperature import Temperature
from edged.sensors.throttling import VCGENCMD_READINGS, Throttling, run_command
from tests.rig.device_files import ORIN, PI, THOR, make_files

Plant = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return partial(make_files, tmp_path)


def values(gauges: Iterable[Gauge]) -> dict[str, dict[tuple[str, ...], float]]:
    return {gauge.name: dict(gauge.values) for gauge in gauges}


def on(throttling: Throttling) -> set[tuple[str, ...]]:
    (gauge,) = throttling.read()
    return {labels for labels, value in gauge.values.items() if value}


def silent(command: Sequence[str]) -> None:
    """There is no such command."""


# Files


def test_what_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(" 42000\n")
    assert (read_text(path), read_number(path)) == ("42000", 42000)
    path.write_text("50005\n")
    assert read_number(path, 16) == 0x50005
    path.write_bytes(b"\xff\n")
    assert read_number(path) is None


@pytest.mark.parametrize("content", ["", "\n", "\0"])
def test_an_empty_file_is_absent(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content)
    assert read_text(tmp_path / "file") is None


def test_a_file_that_cannot_be_read_is_absent(tmp_path: Path) -> None:
    assert read_text(tmp_path / "nowhere") is None
    assert read_text(tmp_path) is None  # EISDIR
    assert read_text(tmp_path / "file" / "below") is None
    os.mkfifo(tmp_path / "later")
    reader = os.open(tmp_path / "later", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "later", os.O_WRONLY)
    try:
        assert read_text(tmp_path / "later") is None  # EAGAIN, as of a part that is switched off
    finally:
        os.close(writer)
        os.close(reader)


# One fact each


def test_the_zone_of_a_raspberry_pi(plant: Plant) -> None:
    (gauge,) = Temperature(plant(PI)).read()
    assert (gauge.name, gauge.labels) == ("edged_soc_temperature_celsius", ("zone",))
    assert gauge.values == {("cpu-thermal",): 61.342}


def test_the_zones_of_a_jetson_that_work(plant: Plant) -> None:
    (gauge,) = Temperature(plant(ORIN)).read()
    assert gauge.values == {("cpu-thermal",): 47.5, ("tj-thermal",): 49.218}


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("cpu-thermal", True),
        ("cpu_thermal", True),
        ("bcm2835_thermal", True),
        ("CPU-therm", True),
        ("GPU-therm", True),
        ("soc2-thermal", True),
        ("bigcore0-thermal", True),
        ("x86_pkg_temp", True),
        ("PMIC-Die", False),
        ("thermal-fan-est", False),
        ("acpitz", False),
        ("iwlwifi_1", False),
        ("battery", False),
    ],
)
def test_which_zones_are_the_chip(plant: Plant, kind: str, counts: bool) -> None:
    zone = "sys/class/thermal/thermal_zone0/"
    (gauge,) = Temperature(plant({zone + "type": kind, zone + "temp": "50000"})).read()
    assert bool(gauge.values) == counts


def test_of_two_zones_of_one_name_the_hotter_counts(plant: Plant) -> None:
    files = {}
    for number, temp in enumerate(("50000", "70000", "60000")):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = "x86_pkg_temp"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = temp
    (gauge,) = Temperature(plant(files)).read()
    assert gauge.values == {("x86_pkg_temp",): 70.0}


def test_a_zone_that_comes_back(plant: Plant) -> None:
    sensor = Temperature(plant(PI))
    file = plant({}) / "sys/class/thermal/thermal_zone0/temp"
    file.unlink()
    (gauge,) = sensor.read()
    assert not gauge.values
    file.write_text("50000")
    (gauge,) = sensor.read()
    assert gauge.values == {("cpu-thermal",): 50.0}


def test_clocks(plant: Plant) -> None:
    found = values(Frequency(plant(ORIN)).read())
    assert found["edged_cpu_frequency_hertz"] == {
        ("policy0",): 729_600_000.0,
        ("policy4",): 1_510_400_000.0,
    }
    assert found["edged_cpu_frequency_max_hertz"] == {}
    assert found["edged_cpu_frequency_limit_hertz"] == {("policy0",): 1_728_000_000.0}
    assert found["edged_cpu_frequency_floor_hertz"] == {("policy0",): 729_600_000.0}
    assert found["edged_gpu_frequency_hertz"] == {("17000000.gpu",): 306_000_000.0}
    assert found["edged_gpu_frequency_limit_hertz"] == {("17000000.gpu",): 1_020_000_000.0}
    assert found["edged_gpu_frequency_floor_hertz"] == {("17000000.gpu",): 306_000_000.0}
    assert found["edged_memory_frequency_hertz"] == {(): 2_133_000_000.0}
    assert found["edged_memory_frequency_limit_hertz"] == {(): 3_199_000_000.0}


def test_clocks_of_a_thor(plant: Plant) -> None:
    found = values(Frequency(plant(THOR)).read())
    assert found["edged_gpu_frequency_hertz"] == {("gpu-gpc-0",): 630_000_000.0}
    assert found["edged_memory_frequency_hertz"] == {(): 665_600_000.0}
    assert found["edged_memory_frequency_limit_hertz"] == {(): 4_266_000_000.0}


def test_a_clock_that_root_alone_may_see_or_that_has_no_cap_is_absent(plant: Plant) -> None:
    cap = {"sys/kernel/nvpmodel_clk_cap/emc": "0"}
    found = values(Frequency(plant(cap)).read())
    assert found["edged_memory_frequency_hertz"] == {}
    assert found["edged_memory_frequency_limit_hertz"] == {}


def test_the_power_mode_and_its_change(plant: Plant) -> None:
    sensor = PowerMode(plant(ORIN))
    assert values(sensor.read()) == {"edged_power_mode_info": {("2", "MAXN_SUPER"): 1.0}}
    plant({"var/lib/nvpmodel/status": "pmode:0012 fmode:quiet"})
    assert values(sensor.read()) == {"edged_power_mode_info": {("12", "7W"): 1.0}}
    plant({"var/lib/nvpmodel/status": "pmode:0007"})  # the file does not tell of it
    assert values(sensor.read()) == {"edged_power_mode_info": {("7", ""): 1.0}}


@pytest.mark.parametrize("status", ["", "pmode:", "fmode:0001", "\xff"])
def test_a_power_mode_that_nothing_tells_is_absent(plant: Plant, status: str) -> None:
    root = plant({**ORIN, "var/lib/nvpmodel/status": status})
    assert values(PowerMode(root).read()) == {"edged_power_mode_info": {}}
    assert values(PowerMode(root / "elsewhere").read()) == {"edged_power_mode_info": {}}


def test_memory(plant: Plant) -> None:
    found = values(Memory(plant(PI)).read())
    assert found["edged_memory_available_bytes"] == {(): 3012344 * 1024}
    assert found["edged_memory_total_bytes"] == {(): 3884360 * 1024}


# Throttling: each way it shows


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ("0", set()),
        ("50005", {"under_voltage now", "throttled now"} | {"under_voltage", "throttled"}),
        ("50000", {"under_voltage", "throttled"}),
        ("80008", {"soft_temperature_limit now", "soft_temperature_limit"}),
        ("60006", {"frequency_capped now", "throttled now", "frequency_capped", "throttled"}),
        ("20000", {"frequency_capped"}),
    ],
)
def test_the_flags_of_the_firmware(plant: Plant, flags: str, shown: set[str]) -> None:
    file = "sys/devices/platform/soc/soc:firmware/get_throttled"
    expected = {
        (name.removesuffix(" now"), "now" if name.endswith(" now") else "since_boot")
        for name in shown
    }
    assert on(Throttling(plant({**PI, file: flags}), silent)) == expected


def test_the_path_of_a_raspberry_pi_5(plant: Plant) -> None:
    file = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
    assert ("throttled", "now") in on(Throttling(plant({file: "4\n"}), silent))


def test_the_command_counts_where_the_file_stays_at_0(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = "sys/devices/platform/soc/soc:firmware/get_throttled"
    asked: list[Sequence[str]] = []

    def vcgencmd(command: Sequence[str]) -> str:
        asked.append(command)
        return "throttled=0x50005\n" if len(asked) < 3 else "throttled=0x0\n"

    throttling = Throttling(plant({**PI, file: "0\n"}), vcgencmd)
    for _ in range(2 * VCGENCMD_READINGS):
        assert ("throttled", "now") in on(throttling)
    assert asked == [["vcgencmd", "get_throttled"]] * 2
    assert caplog.text.count("vcgencmd get_throttled returns 0x50005") == 1
    assert on(throttling) == {("throttled", "since_boot"), ("under_voltage", "since_boot")}


@pytest.mark.parametrize("answer", [None, "", "VCHI initialization failed", "throttled=0xzz"])
def test_a_command_that_fails_is_a_state(plant: Plant, answer: str | None) -> None:
    files = {name: text for name, text in PI.items() if "firmware/get" not in name}
    (gauge,) = Throttling(plant(files), lambda command: answer).read()
    assert set(gauge.values) == {("under_voltage", "now"), ("under_voltage", "since_boot")}


def test_the_voltage_alarm_is_remembered(plant: Plant) -> None:
    alarm = "sys/class/hwmon/hwmon1/in0_lcrit_alarm"
    throttling = Throttling(plant({**PI, alarm: "1"}), silent)
    assert ("under_voltage", "now") in on(throttling)
    plant({alarm: "0"})
    assert ("under_voltage", "now") not in on(throttling)
    assert ("under_voltage", "since_boot") in on(throttling)


def test_no_other_device_is_asked_for_the_command(plant: Plant) -> None:
    def refuse(command: Sequence[str]) -> str:
        raise AssertionError(command)

    throttling = Throttling(plant(ORIN), refuse)
    (gauge,) = throttling.read()
    assert gauge.values == {("throttled", "now"): 1.0, ("throttled", "since_boot"): 1.0}
    plant({"sys/class/thermal/cooling_device1/cur_state": "0"})
    assert on(throttling) == {("throttled", "since_boot")}


def test_a_fan_that_turns_slows_nothing(plant: Plant) -> None:
    files = {name: text for name, text in ORIN.items() if "cooling_device1" not in name}
    assert on(Throttling(plant(files), silent)) == set()


def test_commands_that_answer_fail_and_are_missing() -> None:
    assert run_command(["echo", "throttled=0x0"]) == "throttled=0x0\n"
    assert run_command(["false"]) is None
    assert run_command(["sleep", "60"]) is None
    assert run_command(["/nonexistent/vcgencmd"]) is None


# All together


def test_a_device_without_any_of_it(tmp_path: Path) -> None:
    sensors = Sensors(tmp_path)
    heat = sensors.read()
    assert heat == Heat(None, None)
    assert heat.readings() == {}
    assert all(not gauge.values for gauge in sensors.gauges)


def test_this_machine_can_be_read() -> None:
    sensors = Sensors()
    sensors.read()
    assert values(sensors.gauges)["edged_memory_available_bytes"][()] > 0


def test_what_the_decision_is_told(plant: Plant) -> None:
    heat = Sensors(plant(ORIN)).read()
    assert heat == Heat(49.218, True)
    assert heat.readings() == {"temperature_c": 49.218, "throttled": 1.0}


@pytest.mark.parametrize(
    ("flags", "throttled"),
    [
        ("0", False),
        ("50005", False),  # for want of voltage
        ("80008", False),  # the soft limit
        ("60006", True),
        ("40004", True),
        ("60000", False),  # in the past
    ],
)
def test_what_counts_as_too_hot(tmp_path: Path, plant: Plant, flags: str, throttled: bool) -> None:
    file = "sys/devices/platform/soc/soc:firmware/get_throttled"
    root = plant({file: flags})  # without a model's name no command is run
    assert Sensors(root).read().throttled is throttled


def test_an_alarm_of_the_voltage_alone_tells_nothing_of_heat(plant: Plant) -> None:
    alarm = {"sys/class/hwmon/hwmon1/name": "rpi_volt"}
    root = plant({**alarm, "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1"})
    assert Sensors(root).read() == Heat(None, None)

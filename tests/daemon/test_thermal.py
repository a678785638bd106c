"""When the sensors are read, what is told of it, and what the pipeline is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edged.control.energy import Use
from edged.control.thermal import LEAST_SHARE, Allowance
from edged.daemon.thermal import CALM_SECONDS, READING_SECONDS, Thermostat
from edged.sensors.sensors import Sensors
from edged.variants.variant import Choice, Variant
from tests.rig.device_files import ORIN_NX_POWER, make_files

TEMP = "sys/class/thermal/thermal_zone0/temp"
SECOND_NS = 1_000_000_000


@pytest.fixture
def show(tmp_path: Path) -> Callable[[float], Path]:
    """Makes the chip as hot as it is told."""

    def shown(temperature_c: float) -> Path:
        file = tmp_path / TEMP
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "type").write_text("cpu-thermal")
        file.write_text(str(int(1000 * temperature_c)))
        return tmp_path

    return shown


def test_sensors_are_read_now_and_then(show: Callable[[float], Path]) -> None:
    thermostat = Thermostat(Sensors(show(69.5)), 70.0)
    hot = thermostat.tick(5 * SECOND_NS)
    assert hot == Allowance(LEAST_SHARE, {"temperature_c": 69.5})
    show(30)
    assert thermostat.tick(int((4.9 + READING_SECONDS) * SECOND_NS)) is hot
    cooler = thermostat.tick(int((5.0 + READING_SECONDS) * SECOND_NS))
    assert cooler.share > LEAST_SHARE
    assert cooler.sensors == {"temperature_c": 30.0}
    assert thermostat.allowance is cooler
    # After a minute without a turn, as of a laptop that slept, it has had a minute to grow.
    assert thermostat.tick(66 * SECOND_NS).share == 1


def test_without_a_limit_the_temperature_is_known_and_bounds_nothing(
    show: Callable[[float], Path],
) -> None:
    thermostat = Thermostat(Sensors(show(99)), None)
    assert thermostat.tick(0) == Allowance(1.0, {"temperature_c": 99.0})


def test_a_limit_without_a_sensor_limits_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The warnings about the configuration say so."""
    thermostat = Thermostat(Sensors(tmp_path), 70.0)
    for second in range(100):
        assert thermostat.tick(second * SECOND_NS) == Allowance()
    assert caplog.text == ""


def test_a_spell_of_heat_is_two_lines(
    show: Callable[[float], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    thermostat = Thermostat(Sensors(show(67.5)), 70.0)
    now_ns = 0
    for temperature_c, seconds in ((67.5, 100), (40, 100), (68.5, 100), (40, 600)):
        show(temperature_c)
        for _ in range(seconds):
            thermostat.tick(now_ns)
            now_ns += SECOND_NS
    assert [record.message for record in caplog.records] == [
        "67.5 degrees: reducing work to stay below max_temperature_c 70",
        "work is no longer reduced",
    ]
    assert CALM_SECONDS < 600


# Power

AMPERES = "sys/class/hwmon/hwmon1/curr1_input"


def take(root: Path, watts: float) -> Sensors:
    """A Jetson that takes so much at 5 V."""
    milliamperes = {AMPERES: str(round(1000 * watts / 5))}
    volts = {"sys/class/hwmon/hwmon1/in1_input": "5000"}
    return Sensors(make_files(root, {**ORIN_NX_POWER, **volts, **milliamperes}))


def test_power_above_its_limit_sheds_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    thermostat = Thermostat(take(tmp_path, 11), None, 10.0)
    assert thermostat.tick(0) == Allowance(LEAST_SHARE, {"power_w": 11.0}, by_power=True)
    take(tmp_path, 5)
    shares = [thermostat.tick(second * SECOND_NS).share for second in range(1, 900)]
    assert shares[0] == LEAST_SHARE  # the average follows slowly
    assert shares[-1] == 1
    assert [record.message for record in caplog.records] == [
        "11.0 W: reducing work to stay below max_power_w 10",
        "work is no longer reduced",
    ]


def test_the_lower_of_two_limits_counts(tmp_path: Path, show: Callable[[float], Path]) -> None:
    sensors = take(show(66.5), 9)  # half of the band below 70, and 8 % below 10 W
    by_power = Thermostat(sensors, 70.0, 9.5).tick(0)
    assert (by_power.by_power, by_power.sensors) == (True, {"temperature_c": 66.5, "power_w": 9.0})
    by_heat = Thermostat(sensors, 70.0, 10.0).tick(0)
    assert by_heat.share == pytest.approx(0.5)
    assert not by_heat.by_power
    assert by_power.share < by_heat.share


def test_a_sensor_that_is_missing_does_not_hold_up_the_other(
    tmp_path: Path, show: Callable[[float], Path]
) -> None:
    """Both limits are set; work comes back by what is known."""
    thermostat = Thermostat(take(tmp_path, 11), 70.0, 10.0)
    thermostat.tick(0)
    take(tmp_path, 5)
    for second in range(1, 300):
        allowance = thermostat.tick(second * SECOND_NS)
    assert allowance.share == 1
    show(69.5)
    hot = Thermostat(Sensors(tmp_path), 70.0, None)
    (tmp_path / AMPERES).write_text("")
    assert hot.tick(0).share == LEAST_SHARE


def test_a_sensor_that_is_lost_and_returns_is_two_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    thermostat = Thermostat(take(tmp_path, 5), 70.0, 10.0)
    thermostat.tick(0)
    caplog.clear()
    (tmp_path / AMPERES).write_text("")
    for second in range(1, 30):
        thermostat.tick(second * SECOND_NS)
    take(tmp_path, 5)
    thermostat.tick(30 * SECOND_NS)
    assert not caplog.records  # a driver that is loaded again
    (tmp_path / AMPERES).unlink()
    for second in range(31, 200):
        assert thermostat.tick(second * SECOND_NS).share == 1
    take(tmp_path, 5)
    thermostat.tick(200 * SECOND_NS)
    lost, again = (record.message for record in caplog.records)
    assert lost.startswith("max_power_w 10: its sensor has given no reading for 60 s")
    assert again == "max_power_w 10: its sensor gives readings again"


def test_the_readings_show_what_results_cost(tmp_path: Path) -> None:
    choice = Choice(Variant(0.5, 160), 1)
    thermostat, runs = Thermostat(take(tmp_path, 5)), 0
    for second in range(600):
        more = 20 * (second % 2)
        runs += more
        take(tmp_path, 5 + 2 * 0.01 * more)
        used = {choice: Use(0.01 * runs, runs)}
        thermostat.tick(second * SECOND_NS, lambda used=used: used)
    assert thermostat.energy.of(choice) == pytest.approx(0.02, rel=0.01)

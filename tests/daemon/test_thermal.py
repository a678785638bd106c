"""When the sensors are read, what is told of it, and what the pipeline is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edged.control.thermal import LEAST_SHARE, Allowance
from edged.daemon.thermal import CALM_SECONDS, READING_SECONDS, Thermostat
from edged.sensors.sensors import Sensors

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


def test_a_limit_without_a_sensor_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thermostat = Thermostat(Sensors(tmp_path), 70.0)
    for second in range(100):
        assert thermostat.tick(second * SECOND_NS) == Allowance()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "max_temperature_c 70 has no effect: no temperature sensor" in caplog.text


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
        "cool again: work is no longer reduced",
    ]
    assert CALM_SECONDS < 600

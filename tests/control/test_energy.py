"""Energy of a result: found where the power shows it, and not where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from edged.control.energy import LONGEST_SECONDS, MOST_CHOICES, Energy, Use
from edged.variants.variant import Choice, Variant

LARGE, SMALL = (Choice(Variant(1.0, 224), 1), Choice(Variant(0.25, 128), 1))
RUN_SECONDS = {LARGE: 0.020, SMALL: 0.003}
WATTS = {LARGE: 3.0, SMALL: 2.0}
"""More than at rest, while it runs: 60 and 6 millijoules a result."""
REST_WATTS = 6.0


class Device:
    """Its readings once a second. noise_w: of the sensor. load_w: standard deviation of what other
    programs take, which lasts: `lasting` is the correlation of two readings."""

    def __init__(self, noise_w: float = 0.2, load_w: float = 0.0, lasting: float = 0.0) -> None:
        self.energy = Energy()
        self.shown = 0
        """Readings after which a result's energy was known."""
        self._random = np.random.default_rng(7)
        self._noise_w, self._load_w, self._lasting = noise_w, load_w, lasting
        self._load = 0.0
        self._used: dict[Choice, Use] = {}

    def second(self, runs: dict[Choice, int], watts: dict[Choice, float] = WATTS) -> None:
        power_w = REST_WATTS + self._noise_w * self._random.normal()
        step_w = self._load_w * (1 - self._lasting**2) ** 0.5
        self._load = self._lasting * self._load + step_w * self._random.normal()
        for choice, count in runs.items():
            old, seconds = self._used.get(choice, Use()), count * RUN_SECONDS[choice]
            self._used[choice] = Use(old.seconds + seconds, old.runs + count)
            power_w += watts.get(choice, 0.0) * seconds
        self.energy.observe(1.0, power_w + self._load, dict(self._used))
        self.shown += bool(self.energy.joules)

    def forget_runs(self) -> None:
        self._used.clear()

    def minutes(self, count: int, watts: dict[Choice, float] = WATTS) -> None:
        """A camera at 30 frames a second whose variant changes as the controller likes."""
        for _ in range(3 * count):
            large = int(self._random.integers(0, 31))
            for _ in range(20):
                self.second({LARGE: large, SMALL: 30 - large}, watts)


def test_each_result_costs_what_the_power_shows() -> None:
    device = Device()
    device.minutes(30)
    assert device.energy.of(LARGE) == pytest.approx(0.060, rel=0.1)
    assert device.energy.of(Choice(Variant(0.5, 160), 1)) is None


def test_networks_that_are_loaded_anew_change_nothing() -> None:
    """As a reload with another backend does: their runs are counted from 0 again."""
    device = Device()
    device.minutes(30)
    device.forget_runs()
    device.minutes(1)
    assert device.energy.of(LARGE) == pytest.approx(0.060, rel=0.1)


def test_pauses_show_what_costs_little() -> None:
    device = Device(noise_w=0.02)
    for _ in range(60):
        for runs in ({LARGE: 20, SMALL: 10}, {SMALL: 30}, {}):
            for _ in range(20):
                device.second(runs)
    assert device.energy.of(LARGE) == pytest.approx(0.060, rel=0.05)
    assert device.energy.of(SMALL) == pytest.approx(0.006, rel=0.2)


def test_nothing_is_known_at_first_or_without_a_sensor() -> None:
    device = Device()
    for _ in range(15):
        device.second({LARGE: 30})
        device.second({})
    assert device.shown == 0
    unmeasured = Energy()
    for count in range(1000):
        unmeasured.observe(1.0, None, {LARGE: Use(float(count), count)})
    assert unmeasured.joules == {}


@pytest.mark.parametrize(("load_w", "lasting"), [(0.0, 0.0), (2.0, 0.9), (2.0, 0.99), (3.0, 0.999)])
def test_other_programs_are_not_taken_for_variants(load_w: float, lasting: float) -> None:
    """Running costs nothing here; what else takes power lasts up to many minutes."""
    device = Device(load_w=load_w, lasting=lasting)
    for _ in range(8):
        device.minutes(30, watts={})
    assert device.shown <= 0.005 * 8 * 30 * 60


def test_what_other_programs_take_does_not_hide_it_for_ever() -> None:
    device = Device(load_w=1.0, lasting=0.9)
    device.minutes(60)
    assert device.energy.of(LARGE) == pytest.approx(0.060, rel=0.5)


def test_what_never_changes_cannot_be_told_from_the_rest() -> None:
    device = Device()
    for _ in range(1800):
        device.second({LARGE: 30, SMALL: 10})
    assert device.energy.joules == {}


def test_a_camera_that_never_pauses_shows_the_dearer_result() -> None:
    """More runs of one are fewer of the other: only their prior tells them apart."""
    device = Device(noise_w=0.02)
    device.minutes(30)
    assert device.energy.of(LARGE) == pytest.approx(0.060, rel=0.1)
    assert device.energy.of(SMALL) is None


def test_a_runtime_does_not_vouch_for_another() -> None:
    """On a GPU runs take another power."""
    on_gpu = LARGE._replace(runtime="tensorrt")
    energy, used, random = Energy(), dict.fromkeys((LARGE, on_gpu), Use()), np.random.default_rng(7)
    for second in range(1800):
        # The processor's runs never change, and those of the GPU do.
        used = {
            LARGE: Use(0.1 * second, 5 * second),
            on_gpu: Use(used[on_gpu].seconds + 0.05 * (second % 2), used[on_gpu].runs + second % 2),
        }
        energy.observe(1.0, 6 + 0.5 * (second % 2) + 0.02 * random.normal(), used)
    assert energy.joules == {on_gpu: pytest.approx(0.5, rel=0.05)}


def test_it_follows_a_device_that_changes() -> None:
    """Another power mode, for example."""
    device = Device()
    device.minutes(60)
    device.minutes(120, watts={LARGE: 6.0, SMALL: 4.0})
    assert device.energy.of(LARGE) == pytest.approx(0.120, rel=0.1)


def test_too_many_choices_begin_anew() -> None:
    """As while the profile is measured, before a few remain."""
    energy, used = Energy(), {}
    for number in range(2 * MOST_CHOICES):
        choice = Choice(Variant(1.0, 32 * (number + 1)), 1)
        for count in range(3):
            used = {**used, choice: Use(0.02 * count, count)}
            energy.observe(1.0, 5.0 + 2.0 * 0.02, used)
    for count in range(3, 600):
        runs = count // 2
        used = {**used, choice: Use(0.02 * runs, runs)}
        energy.observe(1.0, 5.0 + 2.0 * 0.02 * (count % 2 == 0), used)
    assert energy.of(choice) == pytest.approx(0.040, rel=0.1)
    assert len(energy.joules) <= MOST_CHOICES


def test_a_pause_between_two_readings_counts_for_nothing() -> None:
    device, other = Device(), Device()
    for each in (device, other):
        each.minutes(30)
    used = device._used
    device.energy.observe(LONGEST_SECONDS + 1, 500.0, used)
    device.energy.observe(0.0, 500.0, used)
    assert device.energy.joules == other.energy.joules

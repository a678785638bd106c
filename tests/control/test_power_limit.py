"""Work is shed so that the average power stays below a limit: the rule, then all at work."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path

import pytest

from edged.control.thermal import (
    BAND_W,
    LEAST_SHARE,
    MARGIN_W,
    POWER_SECONDS,
    Limit,
    averaged,
    next_share,
)
from edged.daemon.thermal import Thermostat
from edged.sensors.sensors import Sensors
from tests.rig.device_files import ORIN_NX_POWER, make_files
from tests.rig.simulated_pipeline import LARGE, MIDDLE, SMALL, Lens, SimulatedPipeline

AMPERES = "sys/class/hwmon/hwmon1/curr1_input"


@pytest.mark.parametrize(
    ("most_w", "load_w"), list(itertools.product((5.0, 60.0), (0.1, 0.5, 0.9, 3.0)))
)
def test_a_power_is_kept_whatever_the_device(most_w: float, load_w: float) -> None:
    """load_w: what computing without a pause takes, in parts of the limit."""
    share, average_w, spent = 1.0, None, list[float]()
    for rest in (0.1, 0.95 - LEAST_SHARE * load_w, 0.5, 0.1):  # what the rest takes
        spent = []
        for second in range(600):
            power_w = most_w * (rest + load_w * share)
            average_w = averaged(average_w, power_w, 1)
            share = next_share(share, Limit.of_power(most_w), average_w, None, 1)
            spent.append(share)
            if second > 3 * POWER_SECONDS:
                assert average_w is not None
                assert average_w <= most_w
        assert max(spent[300:]) - min(spent[300:]) < 0.15
    assert spent[-1] == 1 or rest + load_w > 0.8


def test_what_else_takes_power_makes_room_for_less() -> None:
    shares = []
    for rest_w in (4.0, 6.0, 8.0):
        share, average_w = 1.0, None
        for _ in range(300):
            average_w = averaged(average_w, rest_w + 5.0 * share, 1)
            share = next_share(share, Limit.of_power(10.0), average_w, None, 1)
        shares.append(share)
    # Power and share agree at (limit - margin - rest) / (load + band).
    assert shares[1] == pytest.approx((10 - 0.2 - 6) / (5 + 1), abs=0.07)
    assert shares[2] == pytest.approx((10 - 0.2 - 8) / (5 + 1), abs=0.07)
    assert shares[0] == pytest.approx((10 - 0.2 - 4) / (5 + 1), abs=0.07)


def test_power_is_averaged_and_an_unknown_one_unknown() -> None:
    assert averaged(None, 5.0, 1) == 5
    assert averaged(5.0, None, 1) is None
    assert averaged(5.0, 10.0, POWER_SECONDS) == pytest.approx(5 + 5 * (1 - math.exp(-1)))


class Powered:
    """Pipeline, thermostat and a Jetson whose current follows the pipeline's load."""

    FRAMES_PER_SECOND = 5

    def __init__(self, root: Path, limit_w: float) -> None:
        files = {**ORIN_NX_POWER, "sys/class/hwmon/hwmon1/in1_input": "5000"}
        self._file = make_files(root, files) / AMPERES
        self.rest_w, self.load_w = 4.0, 10.0
        # Computing for 60, 30 or 12 % of the time: 6, 3 or 1.2 W.
        times_ms = {LARGE: 120.0, MIDDLE: 60.0, SMALL: 24.0}
        self.simulated = SimulatedPipeline([Lens(budget_ms=190.0)], times_ms, 200.0)
        self._thermostat = Thermostat(Sensors(root), None, limit_w)

    def pass_time(self, seconds: int) -> tuple[Counter[str], float]:
        """Which variants ran in the second half of it, and the highest average power then."""
        simulated, most_w = self.simulated, 0.0
        for second in range(seconds):
            if second == seconds // 2:
                results = len(simulated.observed.results)
            busy_ms = simulated.device.busy_ms
            for _ in range(self.FRAMES_PER_SECOND):
                simulated.frame()
            busy = (simulated.device.busy_ms - busy_ms) / 1000
            self._file.write_text(str(round(200 * (self.rest_w + self.load_w * busy))))
            simulated.pipeline.allowance = self._thermostat.tick(simulated.clock.now_ns)
            if second >= seconds // 2:
                most_w = max(most_w, self._thermostat.power_w or math.inf)
        found = Counter(each.variant.name for each in simulated.observed.results[results:])
        return found, most_w


def test_work_is_shed_below_the_power_and_comes_back(tmp_path: Path) -> None:
    limit_w = 12.0
    device = Powered(tmp_path, limit_w)
    large, middle, small = (variant.name for variant in (LARGE, MIDDLE, SMALL))

    found, most_w = device.pass_time(200)
    assert found == {large: 500}
    assert most_w == pytest.approx(10, abs=0.1)

    device.rest_w = 7.0  # another program; the largest would take 13 W, the middle one 10
    found, most_w = device.pass_time(400)
    assert limit_w * (1 - MARGIN_W - BAND_W) - 1.5 < most_w <= limit_w
    assert found[middle] > 300
    assert device.simulated.observed.shed_frames == 0

    device.rest_w = 11.0  # even the smallest would take 12.2 W
    found, most_w = device.pass_time(400)
    assert most_w <= limit_w
    assert set(found) == {small}
    assert device.simulated.observed.shed_for_power > 200

    device.rest_w = 4.0
    assert device.pass_time(400)[0] == {large: 1000}
    device.simulated.close()

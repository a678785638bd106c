"""Work is shed before the limit and comes back: the rule on many devices, then all at work."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from edged.control.thermal import (
    BAND_C,
    GROWTH_PER_SECOND,
    HYSTERESIS_C,
    LEAST_SHARE,
    MARGIN_C,
    RETREAT_PER_SECOND,
    Limit,
    Pace,
    next_share,
)
from edged.daemon.thermal import Thermostat
from edged.sensors.sensors import Sensors
from edged.tracing.recorder import Recorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.replay import replay
from edged.tracing.reproduce import as_full, reproduce
from tests.rig.simulated_pipeline import LARGE, MIDDLE, SMALL, Lens, SimulatedPipeline

LIMIT_C = 70.0
LIMIT = Limit.of_temperature(LIMIT_C)


@dataclass
class Chip:
    """A first-order thermal model.

    heat_c: how much hotter than ambient it is in the end when it computes without a pause.
    step_c: of its sensor, which shows the step below.
    """

    ambient_c: float
    heat_c: float
    seconds_constant: float
    step_c: float
    temperature_c: float = 0.0

    def __post_init__(self) -> None:
        self.temperature_c = self.temperature_c or self.ambient_c

    def pass_time(self, seconds: float, busy: float) -> None:
        end_c = self.ambient_c + self.heat_c * busy
        left = math.exp(-seconds / self.seconds_constant)
        self.temperature_c = end_c + left * (self.temperature_c - end_c)

    @property
    def shown_c(self) -> float:
        return math.floor(self.temperature_c / self.step_c) * self.step_c


# The rule


def test_all_of_the_time_while_it_is_cool() -> None:
    assert next_share(1.0, LIMIT, 20.0, False, 1) == 1
    assert next_share(1.0, LIMIT, 70 - MARGIN_C - BAND_C, False, 1) == 1


def test_the_share_falls_with_what_is_left_to_the_limit() -> None:
    half_c = 70 - MARGIN_C - BAND_C / 2
    assert next_share(1.0, LIMIT, half_c, False, 1) == pytest.approx(0.5)
    assert next_share(0.4, LIMIT, half_c, False, 1) == 0.4  # it is cooler than this share bears
    for hot_c in (70 - MARGIN_C, 70.0, 90.0, 150.0):
        assert next_share(1.0, LIMIT, hot_c, False, 1) == LEAST_SHARE


def test_it_grows_slowly_and_only_when_it_is_cooler_by_some_degrees() -> None:
    same_c = 70 - MARGIN_C - BAND_C * 0.4
    assert next_share(0.4, LIMIT, same_c - 0.9 * HYSTERESIS_C, False, 1) == 0.4
    grown = next_share(0.4, LIMIT, same_c - 2 * HYSTERESIS_C, False, 2)
    assert grown == pytest.approx(0.4 + 2 * GROWTH_PER_SECOND)
    assert next_share(0.9, LIMIT, 20.0, False, 1000) == 1


def test_what_is_not_known_changes_nothing() -> None:
    assert next_share(0.3, LIMIT, None, None, 1) == 0.3
    assert next_share(1.0, LIMIT, None, None, 1) == 1


def test_a_firmware_that_throttles_below_the_limit_is_given_way() -> None:
    assert next_share(1.0, LIMIT, None, True, 1) < 1
    cool = next_share(0.5, LIMIT, 20.0, True, 2)
    assert cool == pytest.approx(0.5 - 2 * RETREAT_PER_SECOND)
    share = 1.0
    for _ in range(100):
        share = next_share(share, LIMIT, 20.0, True, 1)
    assert share == LEAST_SHARE


@pytest.mark.parametrize(
    ("heat_c", "seconds_constant", "step_c"),
    list(itertools.product((8, 25, 60), (10, 60, 300), (0.1, 0.5, 1.0))),
)
def test_the_limit_is_kept_whatever_the_device(
    heat_c: float, seconds_constant: float, step_c: float
) -> None:
    """Ambient temperatures jump between all that the limit can be kept in."""
    hottest_c = LIMIT_C - MARGIN_C - LEAST_SHARE * heat_c
    chip = Chip(20, heat_c, seconds_constant, step_c)
    share, spent = 1.0, list[float]()
    settling_seconds = int(4 * seconds_constant) + 60
    for ambient_c in (20, hottest_c, LIMIT_C - heat_c / 2, hottest_c, LIMIT_C - heat_c - 9):
        # The change of the weather is slower than the chip, as it is.
        begun_c = chip.ambient_c
        spent = []
        for second in range(3 * settling_seconds):
            change = min(1.0, second / settling_seconds)
            chip.ambient_c = begun_c + change * (ambient_c - begun_c)
            share = next_share(share, LIMIT, chip.shown_c, False, 1)
            chip.pass_time(1, busy=share)
            assert chip.temperature_c <= LIMIT_C, (ambient_c, second)
            spent.append(share)
    assert share == 1
    assert spent[-1] > spent[0]


@pytest.mark.parametrize("step_c", [0.1, 0.5, 1.0])
def test_it_settles_without_swinging(step_c: float) -> None:
    chip, share = Chip(50, 40, 40, step_c), 1.0
    shares = []
    for _ in range(600):
        share = next_share(share, LIMIT, chip.shown_c, False, 1)
        chip.pass_time(1, busy=share)
        shares.append(share)
    settled = shares[300:]
    assert max(settled) - min(settled) < 0.15
    # Heat and share agree at (limit - margin - ambient) / (heat + band).
    assert sum(settled) / 300 == pytest.approx((70 - 1 - 50) / (40 + 5), abs=0.06)


# The frames that run


@pytest.mark.parametrize("part", [0.1, 1 / 3, 0.5, 0.8, 1.0, 1.7])
def test_as_many_frames_run_as_there_is_time_for(part: float) -> None:
    pace = Pace()
    runs = [pace.admits(4.0 * part, 4.0) for _ in range(3000)]
    assert sum(runs) / 3000 == pytest.approx(min(part, 1.0), abs=0.002)
    gaps = [len(list(group)) for ran, group in itertools.groupby(runs) if not ran]
    assert max(gaps, default=0) <= 1 / part  # evenly


def test_time_is_not_saved_up_for_long() -> None:
    pace = Pace()
    for _ in range(1000):
        assert pace.admits(50.0, 4.0)
    assert sum(pace.admits(0.4, 4.0) for _ in range(100)) <= 11


# All of it


class Heated:
    """Pipeline, thermostat and a chip whose zone in a tree of files follows the pipeline's load."""

    FRAMES_PER_SECOND = 5

    def __init__(self, root: Path, recorder: Recorder | None = None) -> None:
        zone = root / "sys/class/thermal/thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "type").write_text("cpu-thermal\n")
        self._file = zone / "temp"
        self.chip = Chip(30, 45, 40, 0.5)
        self._show()
        # Computing for 60, 30 or 12 % of the time: 27, 13.5 or 5.4 degrees above ambient.
        times_ms = {LARGE: 120.0, MIDDLE: 60.0, SMALL: 24.0}
        lens = Lens(budget_ms=190.0)
        self.simulated = SimulatedPipeline([lens], times_ms, 200.0, recorder)
        self._thermostat = Thermostat(Sensors(root), LIMIT_C)
        self.hottest_c = 0.0

    def pass_time(self, seconds: int) -> Counter[str]:
        """Which variants ran, how often, in the second half of it, and what else happened."""
        simulated, observed = self.simulated, self.simulated.observed
        for second in range(seconds):
            if second == seconds // 2:
                results, shed = len(observed.results), observed.shed_frames
                switches, self.hottest_c = observed.switches, self.chip.temperature_c
            busy_ms = simulated.device.busy_ms
            for _ in range(self.FRAMES_PER_SECOND):
                simulated.frame()
            self.chip.pass_time(1, (simulated.device.busy_ms - busy_ms) / 1000)
            self.hottest_c = max(self.hottest_c, self.chip.temperature_c)
            self._show()
            simulated.pipeline.allowance = self._thermostat.tick(simulated.clock.now_ns)
        found = Counter(result.variant.name for result in observed.results[results:])
        found["shed"] = observed.shed_frames - shed
        found["switches"] = observed.switches - switches
        return +found

    def _show(self) -> None:
        self._file.write_text(f"{round(1000 * self.chip.shown_c)}\n")


def test_work_is_shed_before_the_limit_and_comes_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "trace", queue_frames=20_000)
    heated = Heated(tmp_path, recorder)
    large, middle, small = (variant.name for variant in (LARGE, MIDDLE, SMALL))

    assert heated.pass_time(100) == {large: 250}
    assert heated.hottest_c == pytest.approx(30 + 27, abs=3)

    heated.chip.ambient_c = 50  # the largest would end at 77 degrees, the middle one at 63.5
    found = heated.pass_time(200)
    assert LIMIT_C - MARGIN_C - BAND_C - HYSTERESIS_C < heated.hottest_c <= LIMIT_C
    assert found[middle] > 100
    assert set(found) <= {large, middle, "switches"}
    assert found["switches"] <= 100 / 10  # they do not take turns at every reading

    heated.chip.ambient_c = 65.5  # too hot even for the smallest one: 70.9
    found = heated.pass_time(200)
    assert heated.hottest_c <= LIMIT_C
    assert set(found) == {small, "shed"}
    assert 100 < found[small] < 450
    assert found[small] + found["shed"] == 500

    heated.chip.ambient_c = 30
    found = heated.pass_time(200)
    assert found == {large: 500}

    # What was left out is no miss and no result, and everything that ran was on time.
    observed = heated.simulated.observed
    queue = heated.simulated.pipeline.queues[0]
    assert queue.shed == observed.shed_frames > 0
    assert queue.late == queue.stale == 0
    assert queue.results == len(observed.results) == 700 * 5 - queue.shed
    assert {result.reason for result in observed.results} >= {"limit", "most_accurate"}

    # The trace says what the limit was and what it followed from, and replays to the same.
    recorder.close(30)
    heated.simulated.close()
    assert recorder.dropped == 0
    trace = read_trace(tmp_path / "trace")
    assert isinstance(trace, RecordedTrace)
    found_again = reproduce(trace)
    assert (found_again.decisions, found_again.different) == (queue.results, 0)
    frames = [frame for segment in trace.segments for frame in segment.frames]
    limited = [frame for frame in frames if frame.limits.run_ms < math.inf]
    assert 0 < len(limited) < len(frames)
    assert limited[0].sensors["temperature_c"] >= LIMIT_C - MARGIN_C - BAND_C
    assert {frame.reason for frame in limited} >= {"limit"}
    # What if: it would have been as hot under another budget, so the limits are kept.
    share = replay(as_full(trace, "door"), "edged", 190.0, 0.95).share
    assert share[f"{middle} x1 onnxruntime"] > 0.05
    assert share[f"{small} x1 onnxruntime"] > 0.05


def test_surroundings_above_the_limit_leave_a_result_now_and_then(tmp_path: Path) -> None:
    heated = Heated(tmp_path)
    heated.chip.ambient_c = LIMIT_C + 10
    found = heated.pass_time(300)
    heated.simulated.close()
    assert found[SMALL.name] / 750 == pytest.approx(LEAST_SHARE * 200 / 24, rel=0.1)
    assert set(found) == {SMALL.name, "shed"}

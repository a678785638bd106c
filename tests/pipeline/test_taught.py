"""Taught views: each head's scores on shared features; views that are not taught yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.events.events import AWAY_SECONDS, Watch
from edged.events.options import EventConfig
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.result import Event, Result
from edged.tracing.recorder import Recorder as TraceRecorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import reproduce
from edged.variants.family import Fit
from edged.variants.heads import HeadMatrix
from edged.variants.variant import Choice
from tests.rig.camera import FakeTime
from tests.rig.pipeline import LABELS, LARGE, SMALL, Device, Measured, Recorder, Yard, make

GATE, BIN = "yard/gate", "yard/bin"
NETWORKS = ("", "other")


def head(*biases: float) -> Mapping[str, HeadMatrix]:
    """Of two features, darkness and light: the rows' logits are 8 light - 4, 4 - 8 light, or
    nothing, and their biases."""
    weights = [[-4, 4], [4, -4], *[[0, 0]] * (len(biases) - 2)]
    matrix = np.column_stack([weights, biases]).astype(np.float32)
    return dict.fromkeys(NETWORKS, HeadMatrix.of(matrix))


def output(labels: tuple[str, ...], heads: Mapping[str, HeadMatrix] | None) -> Output:
    return Output(labels, top_k=3, min_score=0.01, heads=heads)


OPEN = output(("open", "shut"), head(0, 0, 0))
"""With none."""
FULL = output(("full", "empty"), head(0, 0))
UNTAUGHT = output(("open", "shut"), {})


class Features(Device):
    """Its features are its scores, darkness and light. runs: choice, fit and kind of each run."""

    def __init__(self, clock: FakeTime) -> None:
        super().__init__()
        self.runs: list[tuple[Choice, Fit, bool]] = []
        self._clock = clock

    def infer(
        self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
    ) -> tuple[np.ndarray, int, int]:
        self.runs.append((choice, fit, features))
        light = float(pixels.mean()) / 255
        begun_ns = self._clock.now_ns
        self._clock.sleep(0.001)
        return np.array([1 - light, light], np.float32), begun_ns, self._clock.now_ns


@dataclass
class Bench:
    """A yard with a gate and a bin, whose pictures are one, and all that is told of them."""

    gate: Output
    bin: Output
    folder: Path | None = None
    rules: tuple[EventConfig, ...] = ()
    side: int = 0
    time: FakeTime = field(default_factory=FakeTime)
    recorder: Recorder = field(default_factory=Recorder)
    events: list[Event] = field(default_factory=list)
    shown: list[Result] = field(default_factory=list)
    seen: list[tuple[Any, ...]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.yard = Yard({"gate": 500.0, "bin": 400.0}, clock=self.time.clock)
        self.yard.by_name["gate"].output, self.yard.by_name["bin"].output = self.gate, self.bin
        labels = {GATE: self.gate.labels, BIN: self.bin.labels}
        self.device = Features(self.time)
        self.trace = None if self.folder is None else TraceRecorder(self.folder)
        self.profiler = Measured(views=labels)
        self.pipeline: Pipeline = make(
            [self.yard],
            self.recorder,
            device=self.device,
            profiler=self.profiler,
            clock=self.time.clock,
            watch=Watch.of(self.rules, labels, dict.fromkeys(labels, AWAY_SECONDS)),
            announce=lambda event, pixels: self.events.append(event),
            show=lambda result, pixels: self.shown.append(result),
            seen=self.observe,
            least_side=self.least_side,
            recorder=self.trace,
        )

    def observe(
        self,
        result: Result,
        features: NDArray[np.float32],
        rows: NDArray[np.float32],
        network: str,
        pixels: NDArray[np.uint8],
    ) -> None:
        self.seen.append((result, features, rows, network, float(pixels.mean())))

    def least_side(self, view: str) -> int:
        self.asked.append(view)
        return self.side if view == GATE else 0

    def send(self, value: int) -> None:
        self.time.sleep(0.1)
        self.yard.send(value)
        while (run := self.pipeline.begin()) is not None:
            self.pipeline.carry_out(run)

    @property
    def tops(self) -> dict[str, dict[str, float]]:
        """Of the last result of each view."""
        return {
            result.view: {each.label: each.score for each in result.top}
            for result in self.recorder.results
        }


def test_views_with_other_heads_share_a_run() -> None:
    bench = Bench(OPEN, FULL)
    bench.send(255)
    assert [(fit, features) for _, fit, features in bench.device.runs] == [(Fit.CROP, True)]
    sums = np.exp([4, -4, 0])
    expected = sums / sums.sum()
    assert bench.tops[GATE] == {"open": pytest.approx(expected[0], abs=1e-5)}
    assert bench.tops[BIN] == {"full": pytest.approx(1 / (1 + np.exp(-8)), abs=1e-5)}


def test_none_is_no_label_and_its_score_is_nobodys() -> None:
    """At medium light the head is sure of nothing."""
    bench = Bench(output(("open", "shut"), head(0, 0, 3)), FULL)
    bench.send(127)
    sums = np.exp([0, 0, 3])
    (tops,) = [list(bench.tops[GATE].values())]
    np.testing.assert_allclose(tops, sums[:2] / sums.sum(), atol=2e-3)
    (seen,) = [each for each in bench.seen if each[0].view == GATE]
    np.testing.assert_allclose(seen[2], sums / sums.sum(), atol=2e-3)


@pytest.mark.parametrize("other", [output(LABELS, None), UNTAUGHT])
def test_only_views_of_one_kind_share_a_run(other: Output) -> None:
    bench = Bench(OPEN, other)
    bench.send(255)
    kinds = [features for _, _, features in bench.device.runs]
    assert sorted(kinds) == ([True] if other is UNTAUGHT else [False, True])
    assert bench.pipeline.results == 2


def test_each_network_has_its_own_head() -> None:
    heads = {"": head(9, 0)[""], "other": head(0, 9)["other"]}
    bench = Bench(output(("open", "shut"), heads), FULL)
    (large, small) = bench.profiler.ladders[GATE]
    for network, label in (("", "open"), ("other", "shut")):
        one = type(large)(SMALL, 1, 0.4, 1.0, 1.0, network=network)
        bench.profiler.ladders = {**bench.profiler.ladders, GATE: (one,)}
        bench.send(127)
        assert max(bench.tops[GATE].items(), key=lambda item: item[1])[0] == label
        assert [each[3] for each in bench.seen if each[0].view == GATE][-1] == network
    assert small.variant == SMALL


def test_who_teaches_sees_features_rows_and_picture() -> None:
    bench = Bench(OPEN, output(LABELS, None))
    bench.send(204)
    ((result, features, rows, network, brightness),) = bench.seen
    assert (result.view, network, brightness) == (GATE, "", 204)
    np.testing.assert_allclose(features, [0.2, 0.8], atol=1e-6)
    np.testing.assert_allclose(rows, HeadMatrix.scores(OPEN.heads[""], features))  # type: ignore[index]
    assert result in bench.shown and result in bench.recorder.results


def test_a_view_that_is_not_taught_yet_publishes_nothing_but_is_shown() -> None:
    rules = tuple(
        EventConfig(name, (name,), (view,), 0.6, 0.4, 0.0, 0.0, smooth_seconds=0.0)
        for view, name in ((GATE, "open"), (BIN, "full"))
    )
    bench = Bench(UNTAUGHT, FULL, rules=rules)
    bench.send(255)
    assert len(bench.device.runs) == 1
    assert [result.view for result in bench.recorder.results] == [BIN]
    assert [(event.view, event.name) for event in bench.events] == [(BIN, "full")]
    assert {result.view: len(result.top) for result in bench.shown} == {BIN: 1, GATE: 0}
    assert bench.recorder.observed == bench.pipeline.results == 2
    (seen,) = [each for each in bench.seen if each[0].view == GATE]
    assert seen[1].shape == (2,) and seen[2].shape == (0,)


def test_events_see_the_labels_scores() -> None:
    """The row of none comes after them, and starts nothing."""
    rule = EventConfig("shut", ("shut",), (GATE,), 0.6, 0.4, 0.0, 0.0, smooth_seconds=0.0)
    bench = Bench(output(("open", "shut"), head(0, 0, 9)), FULL, rules=(rule,))
    bench.send(0)
    assert bench.events == []
    bench = Bench(output(("open", "shut"), head(0, 0, -9)), FULL, rules=(rule,))
    bench.send(0)
    assert [(event.view, event.name) for event in bench.events] == [(GATE, "shut")]


def test_the_next_picture_is_as_large_as_who_teaches_asks() -> None:
    bench = Bench(OPEN, FULL)
    bench.send(255)
    usual = [bench.yard.writer.wanted(index) for index in (0, 1)]
    assert usual == [LARGE.resolution] * 2
    bench.side = 300
    bench.send(255)
    assert [bench.yard.writer.wanted(index) for index in (0, 1)] == [300, usual[1]]
    bench.side = 100
    bench.send(255)
    assert [bench.yard.writer.wanted(index) for index in (0, 1)] == usual
    assert bench.asked.count(GATE) == bench.asked.count(BIN) == 3


def test_traces_of_taught_views_replay(tmp_path: Path) -> None:
    bench = Bench(OPEN, UNTAUGHT, folder=tmp_path / "trace")
    for value in (255, 0, 127):
        bench.send(value)
    assert bench.trace is not None
    bench.trace.close(30)
    found = read_trace(tmp_path / "trace")
    assert isinstance(found, RecordedTrace)
    frames = [frame for segment in found.segments for frame in segment.frames]
    assert [each.shared for each in frames] == [False, True] * 3
    again = reproduce(found)
    assert (again.decisions, again.different) == (6, 0)

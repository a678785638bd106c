"""Recorded traces: the format, the writer beside a pipeline, and deciding again."""

from __future__ import annotations

import json
import math
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edged.control.controller import Controller, ViewSettings
from edged.errors import EdgedError, InputError
from edged.tracing.recorder import Recorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.replay import outcome, replay
from edged.tracing.reproduce import as_full, recorded_steps, reproduce
from tests.rig.traces import ABOUT, BIN, LADDER, LADDERS, SETTINGS, SHORTER, Daemon, recorded


def read(path: Path) -> RecordedTrace:
    trace = read_trace(path)
    assert isinstance(trace, RecordedTrace)
    return trace


def test_replay_makes_the_recorded_decisions_again(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 600)
    trace = read(tmp_path / "t")
    assert [len(segment.frames) for segment in trace.segments] == [50, 550]
    assert [segment.header.ladders for segment in trace.segments] == [SHORTER, LADDERS]
    assert trace.segments[1].header.settings == SETTINGS
    assert trace.segments[0].header.about == ABOUT
    frames = [frame for segment in trace.segments for frame in segment.frames]
    dropped = sum(frame.chosen is None for frame in frames)
    assert 0 < dropped < 100
    assert len({frame.reason for frame in frames}) >= 4
    again = reproduce(trace)
    assert (again.decisions, again.different) == (600 - dropped, 0)


def test_a_rotated_file_stands_alone(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 700, frames_per_file=300)
    old, new = read(tmp_path / "t.1"), read(tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t", "t.1"]
    assert sum(len(segment.frames) for segment in old.segments) == 300
    assert sum(len(segment.frames) for segment in new.segments) == 100
    for trace in (old, new):
        assert reproduce(trace).decisions > 50
        assert reproduce(trace).different == 0


def test_views_that_share_a_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t")
    daemon = Daemon(recorder)
    for _ in range(200):
        daemon.frame("yard/gate", "yard/lane", "yard/bin")
    recorder.close(10)
    frames = [frame for segment in read(tmp_path / "t").segments for frame in segment.frames]
    assert len(frames) == 600
    assert {frame.overtaken for frame in frames} == {0, 1, 2}
    gates, lanes = ([f for f in frames if f.view == f"yard/{name}"] for name in ("gate", "lane"))
    shared = [
        one.service_ms == other.service_ms
        for one, other in zip(gates, lanes, strict=True)
        if one.chosen == other.chosen is not None
    ]
    assert len(shared) > 50
    assert sum(frame.shared for frame in frames) == len(shared)
    assert all(shared)
    again = reproduce(read(tmp_path / "t"))
    assert again.decisions == sum(frame.chosen is not None for frame in frames)
    assert again.different == 0


def test_ladders_with_the_same_choices_and_other_figures(tmp_path: Path) -> None:
    """As while the profile is measured, and whenever probes find something."""
    recorder = Recorder(tmp_path / "t")
    daemon = Daemon(recorder)
    for number in range(300):
        factor = 1 + 0.01 * (number // 4 % 5)
        ladders = {
            view: tuple(replace(each, p50_ms=factor * each.p50_ms) for each in ladder)
            for view, ladder in LADDERS.items()
        }
        daemon.frame("yard/lane", "door", ladders=ladders)
    recorder.close(10)
    trace = read(tmp_path / "t")
    assert len(trace.segments) > 50
    assert reproduce(trace).decisions > 500
    assert reproduce(trace).different == 0


def test_a_reload_may_add_and_remove_views(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t")
    daemon = Daemon(recorder)
    for _ in range(60):
        daemon.frame("door")
    before, daemon.controller = (
        daemon.controller,
        Controller({"door": SETTINGS["door"], "yard": ViewSettings(40.0, 0.95)}),
    )
    ladders = {"door": LADDER, "yard": BIN}
    daemon.controller.take_over(before, ladders, same_runtimes=True)
    for view in ("door", "yard") * 60:
        daemon.frame(view, ladders=ladders)
    recorder.close(10)
    trace = read(tmp_path / "t")
    assert [sorted(segment.header.settings) for segment in trace.segments] == [
        sorted(SETTINGS),
        ["door", "yard"],
    ]
    assert (reproduce(trace).decisions, reproduce(trace).different) == (180, 0)


def test_a_changed_choice_is_found(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 200)
    lines = (tmp_path / "t").read_text().splitlines()
    number, line = next((n, x) for n, x in enumerate(lines) if '"door"' in x and '"reason"' in x)
    values = json.loads(line)
    other = next(c for c in SHORTER["door"] if c.variant.name != values["variant"])
    lines[number] = json.dumps({**values, "variant": other.variant.name, "threads": other.threads})
    (tmp_path / "t").write_text("\n".join(lines))
    again = reproduce(read(tmp_path / "t"))
    assert again.different >= 1
    assert again.differences[0].line == number + 1
    assert again.differences[0].recorded.startswith(other.name)
    assert values["variant"] in again.differences[0].replayed


def test_dropped_frames_are_counted_and_followed_by_a_header(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t", queue_frames=3)
    daemon = Daemon(recorder)
    for _ in range(3000):
        daemon.frame("door")
    recorder.close(10)
    assert recorder.dropped > 0
    assert recorder.written + recorder.dropped == 3000
    trace = read(tmp_path / "t")
    assert sum(len(segment.frames) for segment in trace.segments) == recorder.written
    assert len(trace.segments) > 1
    assert reproduce(trace).different == 0


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(EdgedError, match="cannot write the trace"):
        Recorder(tmp_path / "missing" / "t")


def test_only_a_trace_is_moved_aside(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 3)
    recorded(tmp_path / "t", 3)
    assert (tmp_path / "t.1").exists()
    notes = tmp_path / "notes"
    notes.write_text("milk, bread")
    with pytest.raises(EdgedError, match="exists and is not a trace"):
        Recorder(notes)
    assert notes.read_text() == "milk, bread"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EdgedError, match="named pipe"):
        Recorder(tmp_path / "pipe")
    with pytest.raises(EdgedError, match=r"uncompressed; name it t\.jsonl"):
        Recorder(tmp_path / "t.jsonl.gz")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_the_trace_only(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(Path("/dev/full"))
    daemon = Daemon(recorder)
    deadline = time.monotonic() + 20
    while not recorder.dropped and time.monotonic() < deadline:
        daemon.frame("door")
    recorder.close(10)
    assert recorder.dropped > 0
    assert "the trace ends: cannot write /dev/full" in caplog.text


def test_outcome_and_what_if(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 600)
    trace = read(tmp_path / "t")
    variants, steps = recorded_steps(trace, "door")
    found = outcome(variants, steps)
    frames = [f for s in trace.segments for f in s.frames if f.view == "door"]
    assert found.frames == len(frames) == 200
    assert found.on_time == pytest.approx(sum(f.on_time for f in frames) / 200)
    assert sum(found.share.values()) == pytest.approx(1)
    for frame, step in zip(frames, steps, strict=True):
        assert step.latency_ms == pytest.approx(33.0 - frame.slack_ms + frame.service_ms)
        assert (step.budget_ms, step.on_time) == (33.0, frame.on_time)
        if frame.chosen is None:
            assert step.variant is None
    assert steps[1].captured_ms == pytest.approx(frames[1].interval_ms)
    full = as_full(trace, "door")
    assert {variant.name for variant in full.variants} == {c.name for c in LADDER}
    limits = [frame.limits.run_ms for frame in frames]
    assert [frame.limit_ms for frame in full.frames] == limits
    assert set(limits) == {12.5, math.inf}
    strict = as_full(trace, "yard/gate")
    assert {v.name for v in strict.variants} == {c.name for c in LADDER if c.top1 >= 0.6}
    assert full.frames[1].captured_ms == pytest.approx(frames[1].interval_ms)
    ran = next(i for i, frame in enumerate(frames) if frame.chosen is not None and i > 100)
    chosen = LADDER[frames[ran].chosen or 0]
    column = [variant.name for variant in full.variants].index(chosen.name)
    assert full.frames[ran].service_ms[column] == pytest.approx(frames[ran].service_ms)
    ample = replay(full, "edged", 500.0, 0.95)
    tight = replay(full, "edged", 12.0, 0.95)
    assert ample.on_time > 0.99
    assert tight.accuracy < ample.accuracy


def test_equal_names_of_two_families_are_two_variants(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 600)
    trace = read(tmp_path / "t")
    for view, ladder in (("door", LADDER), ("yard/bin", BIN)):
        top1 = {candidate.name: candidate.top1 for candidate in ladder}
        found = outcome(*recorded_steps(trace, view))
        frames = [f for s in trace.segments for f in s.frames if f.view == view]
        correct = [
            segment.header.ladders[view][frame.chosen].top1
            for segment in trace.segments
            for frame in segment.frames
            if frame.view == view and frame.chosen is not None and frame.on_time
        ]
        assert found.accuracy == pytest.approx(sum(correct) / len(frames))
        assert {v.name: v.top1 for v in as_full(trace, view).variants} == top1


def test_a_view_whose_model_changed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t")
    daemon = Daemon(recorder)
    for ladders in (LADDERS, {**LADDERS, "door": BIN}):
        for _ in range(100):
            daemon.frame("door", ladders=ladders)
    recorder.close(10)
    trace = read(tmp_path / "t")
    found = outcome(*recorded_steps(trace, "door"))
    correct = [
        segment.header.ladders["door"][frame.chosen].top1
        for segment in trace.segments
        for frame in segment.frames
        if frame.chosen is not None and frame.on_time
    ]
    assert min(correct) < 0.75 < max(correct)
    assert found.accuracy_on_time == pytest.approx(sum(correct) / len(correct))
    assert sum(found.share.values()) == pytest.approx(1)
    assert {variant.top1 for variant in as_full(trace, "door").variants} == {c.top1 for c in BIN}


def test_the_views_of_a_camera(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 60)
    trace = read(tmp_path / "t")
    assert trace.views() == ["door", "yard/bin", "yard/gate"]
    assert trace.views("yard") == ["yard/bin", "yard/gate"]
    assert trace.views("yard/bin") == ["yard/bin"]
    for name in ("roof", "bin", "yard/roof", "yar", "yard/"):
        with pytest.raises(
            InputError,
            match=rf"view \(got {name}\); it has door, yard/bin, yard/gate",
        ):
            trace.views(name)


@pytest.mark.parametrize(
    ("thrift", "message"),
    [
        ({}, "cameras.yard/lane: thrift: `charge` is missing"),
        ([1.0, 0.0, 0.0], "cameras.yard/lane: `thrift` must be an object"),
        ({"charge": 9, "lost": 0, "frames": 1}, "`charge` must be at most 2"),
        ({"charge": 0, "lost": 0, "frames": 1}, "`charge` must be at least 0.002"),
        ({"charge": True, "lost": 0, "frames": 1}, "`charge` must be a number"),
        ({"charge": "1.0", "lost": 0, "frames": 1}, "`charge` must be a number"),
        ({"charge": 1, "lost": 0, "frames": -1}, "`frames` must be at least 0"),
        ({"charge": 1, "lost": 0, "frames": 10**400}, "`frames` must be at most"),
        ({"charge": 1, "lost": 2, "frames": 1}, "`lost` must be at most 1 in a frame"),
        ({"charge": 1, "lost": -3, "frames": 1}, "`lost` must be at least -2"),
    ],
)
def test_a_broken_account(tmp_path: Path, thrift: object, message: str) -> None:
    recorded(tmp_path / "t", 60)
    first, *rest = (tmp_path / "t").read_text().splitlines()
    header = json.loads(first)
    header["cameras"]["yard/lane"]["thrift"] = thrift
    (tmp_path / "t").write_text("\n".join((json.dumps(header), *rest)))
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_trace(tmp_path / "t")
    assert f"{tmp_path}/t:1: " in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("edged_trace", 99, "the trace's format is not 2"),
        ("edged_trace", 1, "`ladder` is missing"),
        ("ladders", [], "`ladders` must be a list that is not empty"),
        ("ladders", [[]], "`ladders[0]` must be a list that is not empty"),
        ("ladders", [[{"variant": "resnet"}]], "ladders[0][0]: not the name of a variant"),
        ("cameras", {"yard/bin": {"budget_ms": 33}}, "cameras.yard/bin: `on_time` is missing"),
        (
            "cameras",
            {"yard/bin": {"budget_ms": 33, "on_time": 0.9, "min_top1": 0, "ladder": 2}},
            "cameras.yard/bin: `ladder` must be a position from 0 to 1 (got 2)",
        ),
        (
            "cameras",
            {"door": {"budget_ms": 33, "on_time": 0.9, "min_top1": 0, "ladder": 1, "previous": 2}},
            "cameras.door: `previous` must be a position from 0 to 1 (got 2)",
        ),
        ("slowdown", None, "`slowdown` must be an object"),
    ],
)
def test_a_broken_header(tmp_path: Path, key: str, value: object, message: str) -> None:
    recorded(tmp_path / "t", 10)
    first, *rest = (tmp_path / "t").read_text().splitlines()
    broken = json.dumps({**json.loads(first), key: value})
    (tmp_path / "t").write_text("\n".join([broken, *rest]))
    with pytest.raises(InputError) as error:
        read(tmp_path / "t")
    assert f"{tmp_path}/t:1" in str(error.value)
    assert message in str(error.value)


def test_a_state_that_is_none(tmp_path: Path) -> None:
    recorded(tmp_path / "t", 10)
    first, *rest = (tmp_path / "t").read_text().splitlines()
    broken = json.dumps({**json.loads(first), "slowdown": {"weights": [0.5], "expected": []}})
    (tmp_path / "t").write_text("\n".join([broken, *rest]))
    with pytest.raises(InputError, match="not a state of this version's slow-down estimate"):
        reproduce(read(tmp_path / "t"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera": "yard/roof"}, "the header has no such camera or view (got yard/roof)"),
        ({"variant": "mobilenet_v1_0.5_64"}, "the view's ladder has no such variant"),
        (
            {"camera": "yard/bin", "variant": LADDER[2].variant.name},  # the other family has it
            "the view's ladder has no such variant (got mobilenet_v1_0.75_224 x1 onnxruntime)",
        ),
        ({"slack_ms": "much"}, "`slack_ms` must be a number"),
        ({"interval_ms": -1}, "`interval_ms` must be at least 0"),
        ({"on_time": 1}, "`on_time` must be true or false"),
        ({"shared": 1}, "`shared` must be true or false"),
        ({"stages": {"inference": None}}, "`stages.inference` must be a number"),
    ],
)
def test_a_broken_frame(tmp_path: Path, change: dict[str, object], message: str) -> None:
    recorded(tmp_path / "t", 10)
    lines = (tmp_path / "t").read_text().splitlines()
    number, line = next((n, x) for n, x in enumerate(lines) if '"reason"' in x)
    lines[number] = json.dumps({**json.loads(line), **change})
    (tmp_path / "t").write_text("\n".join(lines))
    with pytest.raises(InputError) as error:
        read(tmp_path / "t")
    assert f"{tmp_path}/t:{number + 1}: " in str(error.value)
    assert message in str(error.value)

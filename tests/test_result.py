"""The form of results and events in JSON and in text."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.result import Event, Result, Score, Stages, event_to_json, to_json, to_json_line, to_text
from edged.variants.variant import Precision, Variant


def make_result(stages: Stages, *, budget_ms: float = 33, score: float = 0.91249) -> Result:
    return Result(
        view="door",
        sequence=7,
        captured_unix_ns=1_769_860_800_123_456_789,
        budget_ms=budget_ms,
        variant=Variant(0.5, 160, Precision.INT8),
        threads=2,
        runtime="ncnn",
        reason="frame_age",
        stages=stages,
        latency_ms=sum(stages),
        top=(Score("chien à poil", score), Score("cat", 0.05)),
    )


def test_an_event_is_a_line_of_its_own() -> None:
    begun = Event("door", "visitor", 1_769_860_800_123_456_789, None, 0.91249)
    assert json.loads(to_json_line(begun)) == {
        "event": "visitor",
        "camera": "door",
        "state": "started",
        "started_at": "2026-01-31T12:00:00.123456Z",
        "ended_at": None,
        "peak": 0.912,
    }
    ended = replace(begun, ended_unix_ns=begun.started_unix_ns + 2_500_000_000, snapshot=b"jpeg")
    seen = event_to_json(ended)
    assert (seen["state"], seen["ended_at"]) == ("ended", "2026-01-31T12:00:02.623456Z")
    assert base64.b64decode(seen["snapshot"]) == b"jpeg"
    assert to_text(begun) == "12:00:00.1  door  visitor begins"
    assert to_text(ended) == "12:00:00.1  door  visitor was there for 2.5 s, 0.91"


def test_a_view_is_named_beside_its_camera() -> None:
    door = make_result(Stages(1, 6, 0, 1, 4, 0))
    gate = door._replace(view="yard/gate")
    assert to_json(gate) == to_json(door) | {"camera": "yard", "view": "gate"}
    assert list(to_json(gate))[:3] == ["camera", "view", "sequence"]
    assert to_text(gate) == to_text(door).replace("door", "yard/gate")

    begun = Event("door", "open", 1_769_860_800_123_456_789, None, 0.9)
    there = replace(begun, view="yard/gate")
    assert event_to_json(there) == event_to_json(begun) | {"camera": "yard", "view": "gate"}
    assert to_text(there) == "12:00:00.1  yard/gate  open begins"


def test_every_field() -> None:
    result = make_result(Stages(1.00049, 6.2, 0.1, 0.65, 4.4, 0.05))
    assert to_json(result) == {
        "camera": "door",
        "sequence": 7,
        "captured_at": "2026-01-31T12:00:00.123456Z",
        "latency_ms": 12.4,
        "budget_ms": 33,
        "on_time": True,
        "variant": "mobilenet_v1_0.5_160_int8",
        "threads": 2,
        "runtime": "ncnn",
        "reason": "frame_age",
        "stages_ms": {
            "capture": 1.0,
            "decode": 6.2,
            "queue": 0.1,
            "preprocess": 0.65,
            "inference": 4.4,
            "publish": 0.05,
        },
        "top": [{"label": "chien à poil", "score": 0.912}, {"label": "cat", "score": 0.05}],
    }


def test_captured_at_is_a_time_with_a_zone() -> None:
    text = to_json(make_result(Stages(0, 0, 0, 0, 0, 0)))["captured_at"]
    assert datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").utcoffset() is not None


def test_a_line_for_programs_and_a_line_for_people() -> None:
    result = make_result(Stages(1, 6, 0.1, 0.65, 4.4, 0.05))
    assert to_json_line(result) == (
        '{"camera":"door","sequence":7,"captured_at":"2026-01-31T12:00:00.123456Z",'
        '"latency_ms":12.200,"budget_ms":33.000,"on_time":true,'
        '"variant":"mobilenet_v1_0.5_160_int8","threads":2,"runtime":"ncnn","reason":"frame_age",'
        '"stages_ms":{"capture":1.000,"decode":6.000,"queue":0.100,"preprocess":0.650,'
        '"inference":4.400,"publish":0.050},'
        '"top":[{"label":"chien à poil","score":0.912},{"label":"cat","score":0.050}]}'
    )
    assert to_text(result) == (
        "12:00:00.1  door   12.2 of 33 ms  mobilenet_v1_0.5_160_int8 (frame_age)  "
        "chien à poil 0.91, cat 0.05"
    )
    late = to_text(make_result(Stages(1, 6, 0.1, 0.65, 40.4, 0.05)))
    assert "LATE" in late


@given(st.text(), st.text(min_size=1))
def test_a_label_and_a_name_may_hold_any_character(label: str, name: str) -> None:
    plain = make_result(Stages(1, 6, 0, 1, 4, 0))
    result = plain._replace(view=f"door/{name}", top=(Score(label, 0.5),))
    line = to_json_line(result)
    assert "\n" not in line
    assert json.loads(line) == to_json(plain) | {
        "view": name,
        "top": [{"label": label, "score": 0.5}],
    }


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_has_no_line(bad: float) -> None:
    fine = Stages(1, 6, 0, 1, 4, 0)
    for result in (make_result(fine, score=bad), make_result(fine._replace(queue=bad))):
        with pytest.raises((ValueError, OverflowError)):
            to_json_line(result)


def test_on_time_is_decided_before_rounding() -> None:
    late = to_json(make_result(Stages(33.0000004, 0, 0, 0, 0, 0)))
    assert (late["latency_ms"], late["on_time"]) == (33.0, False)


_TIME_MS = st.floats(0, 10_000)


@settings(deadline=None)
@given(st.builds(Stages, *[_TIME_MS] * 6), st.floats(0.1, 5000))
def test_the_printed_stages_add_up_to_the_printed_latency(stages: Stages, budget_ms: float) -> None:
    printed = json.loads(json.dumps(to_json(make_result(stages, budget_ms=budget_ms))))
    microseconds = [round(time_ms * 1000) for time_ms in printed["stages_ms"].values()]
    assert round(printed["latency_ms"] * 1000) == sum(microseconds)
    assert printed["latency_ms"] == pytest.approx(sum(stages), abs=0.0031)

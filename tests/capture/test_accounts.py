"""Every count of /metrics against the lines that left: one real run, from outside."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.rig.clips import write_clip
from tests.rig.daemon import RunningDaemon
from tests.rig.pictures import encoded
from tests.rig.rules import ANY

CONFIG = f"""
variants: [mobilenet_v1_0.25_128, mobilenet_v1_0.25_160]
latency_budget_ms: 5000
http: {{listen: 127.0.0.1:0}}
results: {{jsonl: "-"}}
events: {{any: {{{ANY}, for_seconds: 0}}}}
cameras:
  clip: {{source: clip.mp4}}
  halved: {{source: clip.mp4, max_fps: 10}}
  hopeless: {{source: clip.mp4, latency_budget_ms: 1}}
  folder: {{source: folder, fps: 20}}
  absent: {{source: /dev/video63}}
"""
"""The last one keeps the daemon running after the others have ended."""
ENDED = ("clip", "halved", "hopeless", "folder")


def samples(text: str) -> dict[str, float]:
    """By name and labels, as they are written."""
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_the_counts_are_those_of_the_lines(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=40)
    (tmp_path / "folder").mkdir()
    for number in range(12):
        jpeg = encoded(120, 160, (20 * number, 0, 0))
        (tmp_path / "folder" / f"{number:02}.jpg").write_bytes(
            jpeg if number % 4 else jpeg[: len(jpeg) // 2]
        )
    with RunningDaemon(tmp_path, CONFIG) as daemon:
        for camera in ENDED:
            state = f'edged_source_state{{camera="{camera}",state="ended"}}'
            daemon.wait_for(lambda state=state: daemon.metric(state) == 1)
        daemon.wait_for(lambda: accounted(daemon))
        told = samples(daemon.get("/metrics")[1])
        for camera in ENDED:
            lines = [line for line in daemon.results_of(camera) if "event" not in line]
            compare(told, camera, lines)
        events = [line for line in daemon.results if "event" in line]
        assert {event["camera"] for event in events} <= set(ENDED)
        for camera in ENDED:
            of_camera = [event["state"] for event in events if event["camera"] == camera]
            where = f'{{camera="{camera}",event="any"}}'
            assert told[f"edged_events_total{where}"] == of_camera.count("started")
            active = of_camera.count("started") - of_camera.count("ended")
            assert told[f"edged_event_active{where}"] == active
        assert told['edged_sink_delivered_total{sink="jsonl"}'] == len(daemon.results)
        assert sum(v for k, v in told.items() if k.startswith("edged_sink_dropped_total")) == 0
        assert told["edged_events_dropped_total"] == 0
        assert told['edged_results_total{camera="absent"}'] == 0
        assert told['edged_frames_captured_total{camera="absent"}'] == 0
        assert daemon.stop()[0] == 0


def accounted(daemon: RunningDaemon) -> bool:
    """Whether every frame has become a result or a drop, and every line has been read."""
    told = samples(daemon.get("/metrics")[1])
    captured, ended = 0.0, 0.0
    for name, value in told.items():
        if re.search(f'camera="({"|".join(ENDED)})"', name):
            captured += value * name.startswith("edged_frames_captured_total")
            ended += value * name.startswith(("edged_frames_dropped_total", "edged_results_total"))
    delivered = told['edged_sink_delivered_total{sink="jsonl"}']
    return captured == ended and delivered == len(daemon.results)


def compare(told: dict[str, float], camera: str, lines: list[dict[str, Any]]) -> None:
    def value(name: str, **labels: str) -> float:
        inner = ",".join(f'{key}="{v}"' for key, v in {"camera": camera, **labels}.items())
        return told[f"{name}{{{inner}}}"]

    late = [line for line in lines if not line["on_time"]]
    stale = value("edged_frames_dropped_total", reason="stale")
    assert value("edged_results_total") == len(lines)
    assert value("edged_deadline_misses_total") == len(late) + stale
    for variant, count in Counter(line["variant"] for line in lines).items():
        assert value("edged_variant_results_total", variant=variant) == count
    choices = [(line["variant"], line["threads"]) for line in lines]
    switches = sum(now != before for before, now in pairwise(choices))
    switched = f'edged_variant_switches_total{{camera="{camera}"'
    counted = sum(each for name, each in told.items() if name.startswith(switched))
    assert counted == switches
    for stage in lines[0]["stages_ms"] if lines else ():
        times = [line["stages_ms"][stage] for line in lines]
        where = {"stage": stage}
        assert value("edged_stage_duration_seconds_count", **where) == len(lines)
        total = value("edged_stage_duration_seconds_sum", **where)
        assert total == pytest.approx(sum(times) / 1000, abs=1e-6 * len(lines))
    budget = value("edged_latency_budget_seconds")
    on_time = value("edged_result_latency_seconds_bucket", le=f"{budget}")
    assert on_time == len(lines) - len(late)
    assert value("edged_result_latency_seconds_count") == len(lines)
    if lines:
        latencies = sum(line["latency_ms"] for line in lines) / 1000
        total = value("edged_result_latency_seconds_sum")
        # Its stages are printed to the microsecond, and it is their sum as printed.
        rounding = 0.5e-6 * len(lines[0]["stages_ms"]) * len(lines)
        assert total == pytest.approx(latencies, abs=rounding)
        assert budget == lines[0]["budget_ms"] / 1000
    if camera == "folder":
        assert value("edged_frames_captured_total") == 12
        assert value("edged_frames_dropped_total", reason="broken") == 3
    else:
        assert value("edged_frames_captured_total") == 40
        assert value("edged_frames_dropped_total", reason="broken") == 0
    skipped = value("edged_frames_dropped_total", reason="max_fps")
    assert (skipped >= 20) is (camera == "halved")

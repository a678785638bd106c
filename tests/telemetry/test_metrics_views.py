"""Series of cameras with views: the label `view`, which others do not have, and reloads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edged.capture.mailbox import ViewCounts
from edged.control.agreement import Estimate
from edged.control.profile import Candidate
from edged.control.selector import Reason
from edged.events.events import EventCount
from edged.switches.switch import State, Switch
from edged.telemetry.metrics import Metrics
from edged.telemetry.subjects import Learnt
from edged.variants.variant import Choice, Variant
from edged.view import fields
from tests.rig.metrics import (
    VARIANTS,
    Camera,
    Mailbox,
    make_metrics,
    series_of,
    subjects,
    value,
)
from tests.rig.results import make_result

BUDGETS = {"door": 33.0, "yard/gate": 50.0, "yard/bin": 1000.0}
GATE, BIN = {"camera": "yard", "view": "gate"}, {"camera": "yard", "view": "bin"}
OF_VIEWS = (
    *("edged_results_total", "edged_deadline_misses_total", "edged_result_latency_seconds_count"),
    *("edged_stage_duration_seconds_count", "edged_variant_results_total", "edged_view_info"),
    *("edged_variant_switches_total", "edged_latency_budget_seconds", "edged_on_time_target_ratio"),
    *("edged_frames_dropped_total", "edged_events_total", "edged_event_active", "edged_view_on"),
)
OF_CAMERAS = (
    *("edged_frames_captured_total", "edged_source_state", "edged_source_restarts_total"),
)


def labels_of(metrics: Metrics, name: str) -> list[dict[str, str]]:
    return [dict(labels) for sample, labels in series_of(metrics) if sample == name]


def test_only_series_of_cameras_with_views_have_the_label() -> None:
    events = [EventCount(view, "open", 1, True) for view in BUDGETS]
    metrics = make_metrics(BUDGETS, events=lambda: events)
    for name in OF_VIEWS:
        found = {(each["camera"], each.get("view")) for each in labels_of(metrics, name)}
        assert found == {("door", None), ("yard", "gate"), ("yard", "bin")}, name
    for name in OF_CAMERAS:
        found = {(each["camera"], each.get("view")) for each in labels_of(metrics, name)}
        assert found == {("door", None), ("yard", None)}, name


def test_the_label_comes_last_and_the_rest_is_as_without_views() -> None:
    text = generate_latest(make_metrics(BUDGETS).registry).decode()
    assert 'edged_results_total{camera="yard",view="gate"} 0.0' in text
    assert 'edged_frames_dropped_total{camera="yard",reason="quiet",view="gate"} 0.0' in text
    alone = generate_latest(make_metrics({"door": 33.0}).registry).decode()
    door = {line for line in alone.splitlines() if 'camera="door"' in line}
    assert {line for line in door if "_bucket" not in line} <= set(text.splitlines())
    assert list(text_string_to_metric_families(text))


def test_a_view_is_on_or_off() -> None:
    off: dict[str, Any] = {"switch": lambda: Switch(State.HOURS), "off": lambda: 7}
    metrics = make_metrics(BUDGETS, by_view={"yard/gate": off})
    assert value(metrics, "edged_view_on", **GATE) == 0
    assert value(metrics, "edged_view_on", **BIN) == value(metrics, "edged_view_on", camera="door")
    assert value(metrics, "edged_view_on", camera="door") == 1
    assert value(metrics, "edged_frames_dropped_total", **GATE, reason="off") == 7
    assert value(metrics, "edged_frames_dropped_total", **BIN, reason="off") == 0


def test_results_misses_and_switches_are_counted_by_view() -> None:
    metrics = make_metrics(BUDGETS)
    metrics.observe(make_result(view="yard/gate", latency_ms=60, budget_ms=50))
    metrics.observe(make_result(view="yard/bin", latency_ms=60, budget_ms=1000))
    metrics.stale("yard/bin")
    metrics.shed("yard/gate")
    metrics.switched("yard/gate", Reason.SLOWDOWN.value)
    assert value(metrics, "edged_results_total", **GATE) == 1
    assert value(metrics, "edged_deadline_misses_total", **GATE) == 1
    assert value(metrics, "edged_deadline_misses_total", **BIN) == 1
    assert value(metrics, "edged_frames_dropped_total", **BIN, reason="stale") == 1
    assert value(metrics, "edged_frames_dropped_total", **GATE, reason="temperature") == 1
    assert value(metrics, "edged_variant_switches_total", **GATE, reason="slowdown") == 1
    assert value(metrics, "edged_results_total", camera="door") == 0
    assert value(metrics, "edged_latency_budget_seconds", **BIN) == 1.0


def test_what_a_view_leaves_out_is_its_own_and_what_is_broken_is_lost_for_each() -> None:
    class Counted(Mailbox):
        def counts(self, view: int = 0) -> ViewCounts:
            return ViewCounts(overwritten=view, skipped=10 + view, quiet=20 + view, off=0)

    camera = Camera("yard", mailbox=Counted(captured=100, broken=7))
    metrics = make_metrics({"yard/gate": 50.0, "yard/bin": 50.0}, [camera])
    dropped = {
        view: [
            value(metrics, "edged_frames_dropped_total", camera="yard", view=view, reason=reason)
            for reason in ("overwritten", "max_fps", "quiet", "broken")
        ]
        for view in ("gate", "bin")
    }
    assert dropped == {"gate": [0, 10, 20, 7], "bin": [1, 11, 21, 7]}
    assert value(metrics, "edged_frames_captured_total", camera="yard") == 100


def test_a_reload_keeps_the_counts_of_views_that_stay() -> None:
    metrics = make_metrics(BUDGETS)
    for view in BUDGETS:
        metrics.observe(make_result(view=view))
    metrics.follow(subjects({"door/lock": 33.0, "yard/bin": 40.0, "yard/lamp": 40.0}))
    metrics.observe(make_result(view="yard/bin"))
    assert value(metrics, "edged_results_total", **BIN) == 2
    assert value(metrics, "edged_results_total", camera="yard", view="lamp") == 0
    assert value(metrics, "edged_results_total", camera="door", view="lock") == 0
    assert value(metrics, "edged_results_total", camera="door") is None
    assert 'view="gate"' not in generate_latest(metrics.registry).decode()


def test_accuracy_run_time_and_failures_are_told_by_family() -> None:
    large, small = Variant(1.0, 224), Variant(0.25, 128)
    ladders = {
        "yard/gate": [Candidate(large, 1, 0.9, 40.0, 44.0), Candidate(small, 1, 0.6, 3.0, 3.5)],
        "yard/shed": [Candidate(small, 1, 0.6, 2.0, 2.5, "ncnn")],
        "yard/bin": [Candidate(large, 1, 0.8, 41.0, 44.0)],
    }
    about = {
        view: {
            "family": "bins" if view == "yard/bin" else "gates",
            "variants": [each.variant for each in ladder],
            "networks": {large: "both", small: "own"},
            "top1": {each.variant: each.top1 for each in ladder},
            "ladder": lambda ladder=ladder: ladder,
        }
        for view, ladder in ladders.items()
    }
    failed = {
        Choice(large, 1, "onnxruntime", "both"): 2,
        Choice(large, 2, "onnxruntime", "both"): 1,
        Choice(small, 1, "onnxruntime", "own"): 4,
        Choice(small, 1, "onnxruntime", "of a family that is gone"): 8,
    }
    metrics = make_metrics(dict.fromkeys(ladders, 50.0), by_view=about, failures=lambda: failed)
    top1, run = "edged_variant_top1_ratio", "edged_variant_run_seconds"
    assert value(metrics, top1, variant=large.name, family="gates") == 0.9
    assert value(metrics, top1, variant=large.name, family="bins") == 0.8
    assert value(metrics, top1, variant=small.name, family="bins") is None
    assert {each["runtime"] for each in labels_of(metrics, run) if each["family"] == "gates"} == {
        *("onnxruntime", "ncnn")
    }
    fastest = value(metrics, run, variant=small.name, family="gates", runtime="ncnn")
    assert fastest == 0.002
    assert value(metrics, run, variant=large.name, family="bins", runtime="onnxruntime") == 0.041
    failures = "edged_variant_failures_total"
    counted = {
        (each["variant"], each["family"]): value(metrics, failures, **each)
        for each in labels_of(metrics, failures)
    }
    assert counted == {
        (large.name, "gates"): 3,  # one network serves both families
        (large.name, "bins"): 3,
        (small.name, "gates"): 4,
    }
    assert value(metrics, "edged_view_info", **BIN, family="bins") == 1
    assert value(metrics, "edged_build_info", version="0.1.0", family="gates, bins") == 1


@pytest.mark.parametrize("view", ["door", "yard/gate"])
def test_every_series_of_a_view_is_there_before_anything_happens(view: str) -> None:
    metrics = make_metrics(BUDGETS)
    before = series_of(metrics)
    for variant in VARIANTS:
        metrics.observe(make_result(view=view, variant=variant))
    for reason in Reason:
        metrics.switched(view, reason.value)
    metrics.stale(view)
    metrics.shed(view)
    assert series_of(metrics) == before


def test_a_frame_that_was_replaced_while_it_waited_to_run_counts_as_well() -> None:
    waited = {"yard/bin": {"replaced": lambda: 5}}
    metrics = make_metrics(BUDGETS, by_view=waited)
    lost = {
        view: value(metrics, "edged_frames_dropped_total", **fields(view), reason="overwritten")
        for view in BUDGETS
    }
    assert lost == {"door": 0, "yard/gate": 0, "yard/bin": 5}


def test_what_probes_have_shown() -> None:
    large, small = Variant(1.0, 224), Variant(0.25, 128)
    learnt = Learnt(1.5, large, 0, {small: Estimate(0.9, 0.8, 0.95, 30, 31, 0.8)}, score=0.7)
    shown = subjects(BUDGETS)
    views = [
        replace(view, learnt=lambda: learnt, give_up=0.01) if view.id == "yard/gate" else view
        for view in shown.views
    ]
    metrics = make_metrics(BUDGETS)
    metrics.follow(replace(shown, views=views))
    assert value(metrics, "edged_probe_seconds_total", **GATE) == 1.5
    assert value(metrics, "edged_probe_seconds_total", **BIN) == 0
    of_small = {**GATE, "variant": small.name}
    found = [value(metrics, f"edged_agreement{end}", **of_small) for end in ("", "_low", "_high")]
    assert found == [0.9, 0.8, 0.95]
    assert labels_of(metrics, "edged_reference_score_ratio") == [GATE]
    assert labels_of(metrics, "edged_give_up_ratio") == [GATE]

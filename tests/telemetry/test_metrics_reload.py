"""Counters and gauges through reloads, and what becomes of the configuration."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from edged.control.selector import Reason
from tests.rig.metrics import VARIANTS, Sink, make_metrics, series_of, subjects, value
from tests.rig.results import make_result


def test_a_sink_that_is_replaced_goes_on_counting() -> None:
    first, second, third = Sink(), Sink(), Sink()
    metrics = make_metrics(sinks=[first])
    first.delivered, first.dropped = 80, {"queue_full": 4, "closed": 0}
    metrics.follow(subjects({"door": 33}, sinks=[second]))
    first.delivered, first.dropped = 81, {"queue_full": 4, "closed": 300}  # it ends after that
    second.delivered, second.dropped = 7, {"queue_full": 1, "closed": 0}
    third.delivered, third.dropped = 10, {"queue_full": 0, "closed": 0}

    def counts() -> list[float | None]:
        name, labels = "edged_sink_dropped_total", {"sink": "jsonl"}
        dropped = [value(metrics, name, reason=each, **labels) for each in ("queue_full", "closed")]
        return [value(metrics, "edged_sink_delivered_total", **labels), *dropped]

    assert counts() == [88, 5, 300]
    metrics.follow(subjects({"door": 33}, sinks=[second]))
    assert counts() == [88, 5, 300]
    metrics.follow(subjects({"door": 33}, sinks=[third]))
    assert counts() == [98, 5, 300]
    metrics.follow(subjects({"door": 33}, sinks=[]))
    assert counts() == [None, None, None]


def test_a_reload_goes_on_counting_for_the_cameras_that_stay() -> None:
    sink = Sink()
    metrics = make_metrics({"door": 33, "yard": 100}, sinks=[sink])
    for latency_ms in (32, 45, 70):
        metrics.observe(make_result(latency_ms=latency_ms, variant=VARIANTS[0]))
    metrics.stale("door")
    metrics.switched("door", Reason.BUDGET.value)
    sink.observe_delivery(0.001)
    metrics.follow(
        subjects({"door": 47, "gate": 20}, sinks=[sink], views={"variants": VARIANTS[:2]})
    )
    metrics.observe(make_result(latency_ms=46, variant=VARIANTS[0], budget_ms=47))

    assert value(metrics, "edged_results_total", camera="door") == 4
    assert value(metrics, "edged_deadline_misses_total", camera="door") == 3
    assert value(metrics, "edged_latency_budget_seconds", camera="door") == 0.047
    assert value(metrics, "edged_sink_delivery_seconds_count", sink="jsonl") == 1
    assert value(metrics, "edged_result_latency_seconds_sum", camera="door") == pytest.approx(0.193)
    counted = {
        edge: value(metrics, "edged_result_latency_seconds_bucket", camera="door", le=edge)
        for edge in ("0.033", "0.04", "0.047", "0.05", "0.075", "+Inf")
    }
    # 45 ms was counted before there was an edge at 47.
    assert counted == {"0.033": None, "0.04": 1, "0.047": 2, "0.05": 3, "0.075": 4, "+Inf": 4}
    text = generate_latest(metrics.registry).decode()
    assert 'camera="yard"' not in text
    assert value(metrics, "edged_results_total", camera="gate") == 0
    names = {dict(labels).get("variant") for _, labels in series_of(metrics)} - {None}
    assert names == {variant.name for variant in VARIANTS[:2]}


def test_what_became_of_the_configuration() -> None:
    metrics = make_metrics()
    success = "edged_config_last_reload_success"
    assert value(metrics, success) == 1
    assert value(metrics, f"{success}_timestamp_seconds") == 1000
    metrics.reloaded(False, 2000.0)
    assert value(metrics, success) == 0
    assert value(metrics, f"{success}_timestamp_seconds") == 1000
    metrics.reloaded(True, 3000.0)
    assert value(metrics, success) == 1
    assert value(metrics, f"{success}_timestamp_seconds") == 3000

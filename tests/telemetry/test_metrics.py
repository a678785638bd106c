"""The numbers /metrics serves: names, zeros from the start, exact budgets, what a scrape reads."""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from edged.capture.source import Failure
from edged.control.profile import Candidate
from edged.control.selector import Reason
from edged.events.events import EventCount
from edged.events.options import MOST_EVENTS
from edged.result import Stages
from edged.sensors.reading import Gauge
from edged.sensors.sensors import Sensors
from edged.telemetry.counts import edge_seconds, latency_seconds
from edged.variants.runtime import Engines
from edged.variants.variant import Variant
from tests.rig.device_files import ORIN, ORIN_NX_POWER, PI, make_files
from tests.rig.metrics import VARIANTS, Camera, Mailbox, Sink, State, make_metrics, series_of, value
from tests.rig.results import make_result


def test_events_are_counted_by_camera_and_name() -> None:
    seen = [EventCount("door", "visitor", 3, True), EventCount("yard", "visitor", 0, False)]
    metrics = make_metrics(events=lambda: seen, events_dropped=lambda: 2)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'edged_events_total{camera="door",event="visitor"} 3.0',
        'edged_event_active{camera="door",event="visitor"} 1.0',
        'edged_events_total{camera="yard",event="visitor"} 0.0',
        'edged_event_active{camera="yard",event="visitor"} 0.0',
        "edged_events_dropped_total 2.0",
        'edged_frames_dropped_total{camera="door",reason="quiet"} 0.0',
    ):
        assert line in text.splitlines()


def test_the_history_is_told() -> None:
    metrics = make_metrics(history_dropped=lambda: 3, history_bytes=lambda: 4096)
    assert value(metrics, "edged_history_dropped_total") == 3
    assert value(metrics, "edged_history_bytes") == 4096


def test_a_result_is_counted_in_every_place_it_belongs() -> None:
    metrics = make_metrics()
    metrics.observe(make_result(latency_ms=20, variant=Variant(0.5, 160)))
    metrics.observe(make_result(latency_ms=40, variant=Variant(0.5, 160)))

    assert value(metrics, "edged_results_total", camera="door") == 2
    assert value(metrics, "edged_deadline_misses_total", camera="door") == 1
    assert value(metrics, "edged_result_latency_seconds_count", camera="door") == 2
    assert value(metrics, "edged_result_latency_seconds_sum", camera="door") == pytest.approx(0.06)
    name = "mobilenet_v1_0.5_160"
    assert value(metrics, "edged_variant_results_total", camera="door", variant=name) == 2
    spent = {
        stage: value(metrics, "edged_stage_duration_seconds_sum", camera="door", stage=stage)
        for stage in ("capture", "decode", "queue", "preprocess", "inference", "publish")
    }
    assert spent.pop("inference") == pytest.approx(0.05)
    assert spent == {stage: pytest.approx(0.002) for stage in spent}


def test_a_dropped_frame_is_a_miss() -> None:
    metrics = make_metrics()
    metrics.stale("door")

    assert value(metrics, "edged_deadline_misses_total", camera="door") == 1
    assert value(metrics, "edged_frames_dropped_total", camera="door", reason="stale") == 1
    assert value(metrics, "edged_results_total", camera="door") == 0


def test_a_frame_left_out_for_the_temperature_is_no_miss() -> None:
    metrics = make_metrics()
    metrics.shed("door")

    assert value(metrics, "edged_deadline_misses_total", camera="door") == 0
    assert value(metrics, "edged_frames_dropped_total", camera="door", reason="temperature") == 1
    assert value(metrics, "edged_results_total", camera="door") == 0


def test_only_sensors_that_the_device_has_give_series() -> None:
    name = "edged_soc_temperature_celsius"
    gauges = [Gauge(name, "…", ("zone",), {})]
    metrics = make_metrics(sensors=lambda: gauges)
    assert name not in generate_latest(metrics.registry).decode()
    gauges[0] = Gauge(name, "…", ("zone",), {("cpu-thermal",): 51.5})
    assert value(metrics, name, zone="cpu-thermal") == 51.5


def test_the_temperature_limit_and_what_it_leaves() -> None:
    share = [1.0]
    metrics = make_metrics(max_temperature_c=75.0, busy_share=lambda: share[0])
    assert value(metrics, "edged_temperature_limit_celsius") == 75
    assert value(metrics, "edged_allowed_busy_ratio") == 1
    share[0] = 0.3
    assert value(metrics, "edged_allowed_busy_ratio") == 0.3
    assert value(make_metrics(), "edged_allowed_busy_ratio") is None
    assert value(make_metrics(), "edged_temperature_limit_celsius") is None


def test_the_power_limit_and_what_it_leaves() -> None:
    metrics = make_metrics(max_power_w=10.0, busy_share=lambda: 0.4)
    assert value(metrics, "edged_power_limit_watts") == 10
    assert value(metrics, "edged_allowed_busy_ratio") == 0.4
    assert value(make_metrics(), "edged_power_limit_watts") is None
    metrics.shed("door", by_power=True)
    dropped = "edged_frames_dropped_total"
    assert value(metrics, dropped, camera="door", reason="power") == 1
    assert value(metrics, dropped, camera="door", reason="temperature") == 0


def test_cameras_are_counted_apart() -> None:
    metrics = make_metrics({"door": 33, "yard": 100})
    metrics.observe(make_result(latency_ms=60, budget_ms=100, view="yard"))
    metrics.stale("door")

    assert value(metrics, "edged_results_total", camera="door") == 0
    assert value(metrics, "edged_deadline_misses_total", camera="yard") == 0
    assert value(metrics, "edged_latency_budget_seconds", camera="door") == 0.033
    assert value(metrics, "edged_latency_budget_seconds", camera="yard") == 0.1


@pytest.mark.parametrize(("budget_ms", "edge"), [(33, "0.033"), (33.3, "0.0333"), (1500, "1.5")])
def test_the_budget_is_an_edge_as_it_was_written(budget_ms: float, edge: str) -> None:
    metrics = make_metrics({"door": budget_ms, "yard": 100})
    text = generate_latest(metrics.registry).decode()
    for camera in ("door", "yard"):  # one list of buckets serves all cameras
        assert f'edged_result_latency_seconds_bucket{{camera="{camera}",le="{edge}"}} 0.0' in text
        for stage in Stages._fields:
            series = f'edged_stage_duration_seconds_bucket{{camera="{camera}",le="{edge}"'
            assert f'{series},stage="{stage}"}} 0.0' in text
    assert f'edged_latency_budget_seconds{{camera="door"}} {edge}\n' in text


@given(
    budget_ms=st.floats(0.1, 5000),
    steps=st.integers(-3, 3),
    others=st.lists(st.floats(0, 6000), max_size=5),
)
def test_the_bucket_of_the_budget_counts_what_was_on_time(
    budget_ms: float, steps: int, others: list[float]
) -> None:
    """Down to the last bit: latencies a few representable numbers off the budget are tried."""
    near = budget_ms
    for _ in range(abs(steps)):
        near = math.nextafter(near, math.copysign(math.inf, steps))
    edge = edge_seconds(budget_ms)
    for latency_ms in [near, *others]:
        assert (latency_seconds(latency_ms, budget_ms) <= edge) == (latency_ms <= budget_ms)
        assert latency_seconds(latency_ms, budget_ms) == pytest.approx(latency_ms / 1000, abs=1e-8)


def test_misses_read_from_the_histogram_are_those_counted() -> None:
    metrics = make_metrics({"door": 33.3})
    for latency_ms in (10, 33.2999, 33.3, 33.3001, 50, 5000):
        metrics.observe(make_result(latency_ms=latency_ms, budget_ms=33.3))
    late = value(metrics, "edged_deadline_misses_total", camera="door")
    on_time = value(metrics, "edged_result_latency_seconds_bucket", camera="door", le="0.0333")
    assert late is not None
    assert on_time == 6 - late
    assert late in (3, 4)  # the sum of the stages may round 33.3 to either side


def test_every_series_is_there_before_anything_happens() -> None:
    sink = Sink()
    metrics = make_metrics(sinks=[sink])
    before = series_of(metrics)
    camera = {"camera": "door"}

    for variant in VARIANTS:
        metrics.observe(make_result(variant=variant))
    for reason in Reason:
        metrics.switched("door", reason.value)
    metrics.stale("door")
    sink.observe_delivery(0.001)

    assert series_of(metrics) == before
    for name in ("edged_results_total", "edged_deadline_misses_total"):
        assert metrics.registry.get_sample_value(name, camera) is not None
    for cause in ("overwritten", "stale", "max_fps", "broken", "temperature", "power"):
        assert ("edged_frames_dropped_total", (*camera.items(), ("reason", cause))) in before
    assert not any(name.endswith("_created") for name, _ in before)


def test_what_others_count_is_read_at_the_scrape() -> None:
    camera, sink, ratio = Camera("door"), Sink(), [1.0]
    metrics = make_metrics(cameras=[camera], sinks=[sink], slowdown=lambda: ratio[0])
    assert value(metrics, "edged_slowdown_ratio") == 1
    assert "edged_source_decoder" not in {name for name, _ in series_of(metrics)}

    camera.decoder = "v4l2h264dec"
    camera.mailbox = Mailbox(captured=100, overwritten=7, skipped=5, broken=2)
    camera.state = State.BACKOFF
    camera.restarts = {Failure.STALLED: 3}
    sink.delivered, sink.dropped = 80, {"queue_full": 4}
    ratio[0] = 1.7

    assert value(metrics, "edged_frames_captured_total", camera="door") == 100
    dropped = {
        reason: value(metrics, "edged_frames_dropped_total", camera="door", reason=reason)
        for reason in ("overwritten", "max_fps", "broken", "stale")
    }
    assert dropped == {"overwritten": 7, "max_fps": 5, "broken": 2, "stale": 0}
    states = {
        state.value: value(metrics, "edged_source_state", camera="door", state=state.value)
        for state in State
    }
    assert states == {"starting": 0, "streaming": 0, "stalled": 0, "backoff": 1, "ended": 0}
    restarts = {
        failure.value: value(
            metrics, "edged_source_restarts_total", camera="door", reason=failure.value
        )
        for failure in Failure
    }
    assert restarts == {
        failure.value: 3 if failure is Failure.STALLED else 0 for failure in Failure
    }
    assert value(metrics, "edged_source_decoder", camera="door", decoder="v4l2h264dec") == 1
    assert value(metrics, "edged_sink_delivered_total", sink="jsonl") == 80
    assert value(metrics, "edged_sink_dropped_total", sink="jsonl", reason="queue_full") == 4
    assert value(metrics, "edged_slowdown_ratio") == 1.7


def test_delivery_and_switches_and_build() -> None:
    sink = Sink()
    metrics = make_metrics(sinks=[sink])
    sink.observe_delivery(0.001)
    metrics.switched("door", Reason.SLOWDOWN.value)

    assert value(metrics, "edged_sink_delivery_seconds_count", sink="jsonl") == 1
    assert value(metrics, "edged_variant_switches_total", camera="door", reason="slowdown") == 1
    build = {"version": "0.1.0", "family": "imagenette"}
    assert value(metrics, "edged_build_info", **build) == 1


def test_two_daemons_in_one_process_do_not_meet() -> None:
    one, other = make_metrics(), make_metrics()
    one.observe(make_result())
    assert value(other, "edged_results_total", camera="door") == 0


def test_the_process_is_measured() -> None:
    metrics = make_metrics()
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        reading = value(metrics, name)
        assert reading is not None
        assert reading > 0


def test_a_camera_with_16_variants_stays_below_210_series() -> None:
    events = [EventCount("door", f"event{number}", 0, False) for number in range(MOST_EVENTS)]
    metrics = make_metrics(sinks=[Sink()], events=lambda: events)
    series = [(name, labels) for name, labels in series_of(metrics) if "camera" in dict(labels)]
    by_metric = Counter(name.removesuffix("_bucket") for name, _ in series)
    print(  # noqa: T201 - the figure is what this test is read for
        f"{len(series)} series for one camera with {len(VARIANTS)} variants: {by_metric}"
    )
    assert len(VARIANTS) == 16
    assert len(series) <= 210


def test_the_openmetrics_form_is_valid() -> None:
    metrics = make_metrics(sinks=[Sink()])
    metrics.observe(make_result())
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
    names = {family.name for family in parse(encode(metrics.registry).decode())}
    assert {"edged_results", "edged_result_latency_seconds", "edged_build"} <= names


@pytest.mark.servers
def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    promtool = which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    sink = Sink()
    sensors = Sensors(make_files(tmp_path, {**PI, **ORIN, **ORIN_NX_POWER}))
    sensors.read()
    metrics = make_metrics(
        {"door": 33, "yard/gate": 100},
        sinks=[sink],
        max_temperature_c=75,
        max_power_w=25,
        sensors=lambda: sensors.gauges,
    )
    sink.observe_delivery(0.001)
    metrics.observe(make_result())
    text = generate_latest(metrics.registry)
    assert all(gauge.name in text.decode() for gauge in sensors.gauges)
    check = subprocess.run(
        [promtool, "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_the_backend_and_its_engines_are_told() -> None:
    engines = Engines(building=2)
    runtime = {"backend": "tensorrt", "version": "10.3.0", "gpu": "Orin", "precision": "fp16"}
    metrics = make_metrics(runtimes=[runtime], engines=lambda: engines)
    assert value(metrics, "edged_backend_info", **runtime) == 1
    assert value(metrics, "edged_engines_building") == 2
    assert value(metrics, "edged_gpu_failures_total") == 0

    engines.building, engines.failures = 1, 3
    engines.build_seconds["mobilenet_v1_0.25.onnx"] = 81.5
    assert value(metrics, "edged_engines_building") == 1
    assert value(metrics, "edged_gpu_failures_total") == 3
    labels = {"network": "mobilenet_v1_0.25.onnx"}
    assert value(metrics, "edged_engine_build_seconds", **labels) == 81.5


def test_what_accuracy_in_use_and_the_promise_are_reckoned_from() -> None:
    large, medium, small = Variant(1.0, 224), Variant(0.5, 160), Variant(0.25, 128)
    ladder = [
        Candidate(large, 1, 0.9, 40.0, 44.0),
        Candidate(large, 2, 0.9, 25.0, 60.0, "ncnn"),
        Candidate(small, 1, 0.6, 2.0, 2.5),
    ]
    metrics = make_metrics(
        {"door": 33, "yard": 100},
        views={
            "on_time": 0.8,
            "top1": {large: 0.9, medium: 0.5, small: 0.6},
            "ladder": lambda: ladder,
        },
    )
    known, run = partial(value, metrics, family="imagenette"), "edged_variant_run_seconds"
    assert value(metrics, "edged_on_time_target_ratio", camera="yard") == 0.8
    assert known("edged_variant_top1_ratio", variant=large.name) == 0.9
    assert known(run, variant=large.name, runtime="ncnn") == 0.025
    assert known(run, variant=small.name, runtime="onnxruntime") == 0.002
    # Less accurate than a faster one: never worth a run.
    assert known("edged_variant_top1_ratio", variant=medium.name) == 0.5
    assert known(run, variant=medium.name, runtime="onnxruntime") is None

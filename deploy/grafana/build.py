"""Write dashboards/*.json, which Grafana is given as files: python deploy/grafana/build.py [FOLDER]

What is asked again and again is reckoned by ../prometheus/rules/recording.yml.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from panels import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    Json,
    bars,
    dashboard,
    graph,
    limit_line,
    now,
    override,
    query,
    row,
    stat,
    table,
    timeline,
    variable,
    words,
)

OF_DEVICE = 'device="$device"'
OF_CAMERA = 'device="$device", camera=~"$camera"'
DEVICE, CAMERA = f"{{{OF_DEVICE}}}", f"{{{OF_CAMERA}}}"
SHARE_STEPS = ((None, RED), (0.9, YELLOW), (0.95, GREEN))
PACE_STEPS = ((None, GREEN), (1.3, YELLOW), (2.0, RED))
HEAT_STEPS = ((None, GREEN), (70, YELLOW), (80, RED))
BURN_STEPS = ((None, GREEN), (1.05, YELLOW), (3, RED))
STATES = {1: "streaming", 2: "starting", 3: "stalled", 4: "backoff", 5: "ended"}
STATE_COLOURS = (GREEN, BLUE, YELLOW, RED, "text")
TO_DEVICE = {
    "title": "Device page",
    "url": "/d/edged-device?var-device=${__data.fields.Device}&${__url_time_range}",
}


def fleet() -> Json:
    return dashboard("edged-fleet", "edged: fleet", _of_fleet(), [], _links())


def device() -> Json:
    variables = [
        variable("device", "Device", 'label_values(up{job="edged"}, device)', several=False),
        variable(
            "camera",
            "Camera",
            'label_values(edged_results_total{device="$device"}, camera)',
            several=True,
        ),
    ]
    panels = [*_numbers(), *_promise(), *_time_and_accuracy(), *_frames(), *_state_of_device()]
    return dashboard("edged-device", "edged: device", panels, variables, _links())


def _of_fleet() -> list[Json]:
    up = words({0: ("silent", RED), 1: ("up", GREEN)})
    return [
        stat("Devices up", now('sum(up{job="edged"})'), size=(4, 4)),
        stat(
            "Devices silent",
            now('count(up{job="edged"} == 0) or vector(0)'),
            steps=((None, GREEN), (1, RED)),
            size=(4, 4),
        ),
        stat("Cameras streaming", now('sum(edged_source_state{state="streaming"})'), size=(4, 4)),
        stat(
            "Cameras down",
            now('sum(edged_source_state{state=~"backoff|stalled"})'),
            steps=((None, GREEN), (1, RED)),
            size=(4, 4),
        ),
        stat(
            "Lowest share on time",
            query("min(camera:edged_on_time:ratio_rate5m)"),
            unit="percentunit",
            steps=SHARE_STEPS,
            size=(4, 4),
        ),
        stat(
            "Alerts",
            now('count(ALERTS{alertstate="firing", job="edged"}) or vector(0)'),
            steps=((None, GREEN), (1, RED)),
            size=(4, 4),
        ),
        table(
            "Devices",
            {
                "State": now('max by (device) (up{job="edged"})'),
                "Cameras": now('sum by (device) (edged_source_state{state="streaming"})'),
                "On time": now("min by (device) (camera:edged_on_time:ratio_rate5m)"),
                "p95 of budget": now(
                    "max by (device) (camera:edged_result_latency_seconds:p95_rate5m "
                    "/ edged_latency_budget_seconds)"
                ),
                "Accuracy in use": now("min by (device) (camera:edged_top1:avg_rate5m)"),
                "Burn, 1 h": now("max by (device) (camera:edged_miss_budget_burn:ratio_rate1h)"),
                "Slow-down": now("max by (device) (edged_slowdown_ratio)"),
                "Temperature": now("max by (device) (device:edged_soc_temperature_celsius:max)"),
                "Running since": now(
                    'max by (device) (process_start_time_seconds{job="edged"}) * 1000'
                ),
                "Alerts": now(
                    'count by (device) (ALERTS{alertstate="firing", job="edged"}) '
                    'or max by (device) (up{job="edged"}) * 0'
                ),
            },
            by="device",
            about="The worst camera of each. A click on the name leads to the device.",
            overrides=[
                override("Device", links=[TO_DEVICE]),
                override("State", mappings=[up], custom__cellOptions={"type": "color-text"}),
                _coloured("On time", "percentunit", SHARE_STEPS),
                _coloured("p95 of budget", "percentunit", ((None, GREEN), (0.9, YELLOW), (1, RED))),
                override("Accuracy in use", unit="percentunit", decimals=1),
                _coloured("Burn, 1 h", "none", BURN_STEPS),
                _coloured("Slow-down", "none", PACE_STEPS),
                _coloured("Temperature", "celsius", HEAT_STEPS),
                override("Running since", unit="dateTimeFromNow"),
                _coloured("Alerts", "none", ((None, GREEN), (1, RED))),
            ],
            size=(24, 10),
        ),
        graph(
            "Share on time, lowest camera of each device",
            query("min by (device) (camera:edged_on_time:ratio_rate5m)", "{{device}}"),
            unit="percentunit",
            bounds=(None, 1),
            size=(12, 8),
        ),
        graph(
            "Accuracy in use, mean of each device",
            query("avg by (device) (camera:edged_top1:avg_rate5m)", "{{device}}"),
            unit="percentunit",
            about="Top-1 of the variants that ran, weighted by how often.",
            size=(12, 8),
        ),
        graph(
            "Temperature",
            query("device:edged_soc_temperature_celsius:max", "{{device}}"),
            unit="celsius",
            size=(12, 8),
        ),
        timeline(
            "Alerts firing",
            query(
                'max by (device, alertname) (ALERTS{alertstate="firing", job="edged"})',
                "{{device}} {{alertname}}",
            ),
            steps=((None, RED),),
            size=(12, 8),
        ),
    ]


def _numbers() -> list[Json]:
    """The device at a glance."""
    ends = {"size": (4, 4)}
    return [
        stat(
            "State",
            now('max(up{job="edged", device="$device"})'),
            mappings=[words({0: ("silent", RED), 1: ("up", GREEN)})],
            **ends,
        ),
        stat(
            "Share on time",
            query(f"camera:edged_on_time:ratio_rate5m{CAMERA}", "{{camera}}"),
            unit="percentunit",
            steps=SHARE_STEPS,
            **ends,
        ),
        stat(
            "p95 of the budget",
            query(
                f"camera:edged_result_latency_seconds:p95_rate5m{CAMERA} "
                f"/ edged_latency_budget_seconds{CAMERA}",
                "{{camera}}",
            ),
            unit="percentunit",
            steps=((None, GREEN), (0.9, YELLOW), (1, RED)),
            **ends,
        ),
        stat(
            "Accuracy in use",
            query(f"camera:edged_top1:avg_rate5m{CAMERA}", "{{camera}}"),
            unit="percentunit",
            **ends,
        ),
        stat(
            "Slow-down factor",
            query(f"edged_slowdown_ratio{DEVICE}"),
            steps=PACE_STEPS,
            **ends,
        ),
        stat(
            "Temperature",
            query(f"device:edged_soc_temperature_celsius:max{DEVICE}"),
            unit="celsius",
            steps=HEAT_STEPS,
            **ends,
        ),
    ]


def _promise() -> list[Json]:
    """Latency against the budget, and what it is spent on."""
    of_variant = f"rate(edged_variant_results_total{CAMERA}[$__rate_interval])"
    return [
        row("The promise"),
        graph(
            "Latency against the budget",
            query(f"edged_latency_budget_seconds{CAMERA}", "{{camera}} budget"),
            *(
                query(
                    f"camera:edged_result_latency_seconds:{name}_rate5m{CAMERA}",
                    "{{camera}} " + name,
                )
                for name in ("p50", "p95", "p99")
            ),
            unit="s",
            bounds=(0, None),
            overrides=[limit_line("/ budget$/")],
            about="From capture to result. Percentiles of five minutes, between the histogram's "
            "edges; one edge is the budget.",
            size=(12, 9),
        ),
        graph(
            "Share on time against the promise",
            query(f"camera:edged_on_time:ratio_rate5m{CAMERA}", "{{camera}}"),
            query(f"edged_on_time_target_ratio{CAMERA}", "{{camera}} on_time"),
            unit="percentunit",
            bounds=(None, 1),
            overrides=[limit_line("/ on_time$/")],
            size=(12, 9),
        ),
        timeline(
            "Variant in use",
            query(
                f"sum by (camera, variant) ({of_variant}) "
                f"/ on (camera) group_left () sum by (camera) ({of_variant}) > 0",
                "{{camera}} {{variant}}",
            ),
            unit="percentunit",
            steps=(
                (None, "super-light-blue"),
                (0.2, "light-blue"),
                (0.5, BLUE),
                (0.9, "dark-blue"),
            ),
            about="Share of the results that each variant made: the darker, the more.",
            size=(24, 9),
        ),
        graph(
            "Burn of the miss budget",
            *(
                query(
                    f"camera:edged_miss_budget_burn:ratio_rate{window}{CAMERA}",
                    "{{camera}} " + window,
                )
                for window in ("5m", "1h", "6h", "3d")
            ),
            about="Frames late, in units of what on_time allows; above 1 the promise is broken.",
            bounds=(0, None),
            size=(12, 8),
        ),
        timeline(
            "Alerts",
            query(
                'max by (alertname, camera) (ALERTS{alertstate="firing", device="$device"})',
                "{{camera}} {{alertname}}",
            ),
            steps=((None, RED),),
            size=(12, 8),
        ),
    ]


def _time_and_accuracy() -> list[Json]:
    return [
        row("Time and accuracy"),
        graph(
            "Where the time goes",
            query(
                "sum by (camera, stage) "
                f"(rate(edged_stage_duration_seconds_sum{CAMERA}[$__rate_interval]))"
                " / sum by (camera, stage) "
                f"(rate(edged_stage_duration_seconds_count{CAMERA}[$__rate_interval]) > 0)",
                "{{camera}} {{stage}}",
            ),
            unit="s",
            stacked=True,
            about="Mean of each stage; together they are the mean latency.",
            size=(12, 9),
        ),
        graph(
            "Accuracy in use",
            query(f"camera:edged_top1:avg_rate5m{CAMERA}", "{{camera}}"),
            query(f"device:edged_top1:max{DEVICE}", "best variant"),
            query(f"device:edged_top1:min{DEVICE}", "cheapest variant"),
            unit="percentunit",
            overrides=[limit_line("/ variant$/", "text")],
            size=(12, 9),
        ),
        bars(
            "Run time of variants",
            now(f"sort(edged_variant_run_seconds{DEVICE})", "{{variant}}"),
            unit="s",
            about="On the undisturbed device; those that are worth a run.",
            size=(12, 9),
        ),
        graph(
            "Changes of variant by reason",
            query(
                "sum by (camera, reason) "
                f"(rate(edged_variant_switches_total{CAMERA}[$__rate_interval]))",
                "{{camera}} {{reason}}",
            ),
            unit="ops",
            stacked=True,
            size=(12, 9),
        ),
    ]


def _frames() -> list[Json]:
    numbered = " or ".join(
        f'max by (camera) (edged_source_state{{state="{state}", {OF_CAMERA}}} == 1) * {number}'
        for number, state in STATES.items()
    )
    names = {
        number: (state, colour)
        for (number, state), colour in zip(STATES.items(), STATE_COLOURS, strict=True)
    }
    return [
        row("Frames"),
        timeline(
            "State of the cameras",
            query(numbered, "{{camera}}"),
            mappings=[words(names)],
            size=(12, 7),
        ),
        graph(
            "Frames and results",
            query(
                f"rate(edged_frames_captured_total{CAMERA}[$__rate_interval])",
                "{{camera}} captured",
            ),
            query(f"rate(edged_results_total{CAMERA}[$__rate_interval])", "{{camera}} results"),
            unit="ops",
            bounds=(0, None),
            size=(12, 7),
        ),
        graph(
            "Frames dropped, by reason",
            query(
                f"rate(edged_frames_dropped_total{CAMERA}[$__rate_interval])",
                "{{camera}} {{reason}}",
            ),
            unit="ops",
            stacked=True,
            size=(8, 8),
        ),
        graph(
            "Restarts of the capture process in an hour, by reason",
            query(f"increase(edged_source_restarts_total{CAMERA}[1h])", "{{camera}} {{reason}}"),
            stacked=True,
            size=(8, 8),
        ),
        graph(
            "Results lost on their way out",
            query(
                f"rate(edged_sink_dropped_total{DEVICE}[$__rate_interval])",
                "{{sink}} {{reason}}",
            ),
            unit="ops",
            size=(8, 8),
        ),
    ]


def _state_of_device() -> list[Json]:
    on_off = words({0: ("no", GREEN), 1: ("yes", RED)})
    return [
        row("The device"),
        graph(
            "Temperature",
            query(f"edged_soc_temperature_celsius{DEVICE}", "{{zone}}"),
            query(f"device:edged_temperature_limit_celsius{DEVICE}", "limit"),
            unit="celsius",
            overrides=[limit_line("limit")],
            size=(8, 8),
        ),
        timeline(
            "Throttling",
            query(f'edged_soc_throttled{{when="now", {OF_DEVICE}}}', "{{kind}}"),
            mappings=[on_off],
            size=(8, 8),
        ),
        graph(
            "Slow-down factor",
            query(f"edged_slowdown_ratio{DEVICE}", "{{backend}}"),
            bounds=(0, None),
            about="How much longer a run takes than on the undisturbed device.",
            size=(8, 8),
        ),
        graph(
            "Share of the time that may be computed",
            query(f"edged_allowed_busy_ratio{DEVICE}", "allowed"),
            unit="percentunit",
            bounds=(0, 1),
            about="Below 1 the daemon sheds work to stay below max_temperature_c.",
            size=(8, 8),
        ),
        graph(
            "Clocks",
            query(f"edged_cpu_frequency_hertz{DEVICE}", "{{policy}}"),
            unit="hertz",
            size=(8, 8),
        ),
        graph(
            "Memory",
            query(f'process_resident_memory_bytes{{job="edged", {OF_DEVICE}}}', "edged"),
            query(f"edged_memory_available_bytes{DEVICE}", "available"),
            unit="bytes",
            bounds=(0, None),
            size=(8, 8),
        ),
    ]


def _coloured(column: str, unit: str, steps: tuple[tuple[float | None, str], ...]) -> Json:
    return override(
        column,
        unit=unit,
        thresholds={
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
        custom__cellOptions={"type": "color-text"},
    )


def _links() -> list[Json]:
    return [
        {
            "title": "edged",
            "type": "dashboards",
            "tags": ["edged"],
            "asDropdown": False,
            "keepTime": True,
        }
    ]


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, made in (("fleet", fleet()), ("device", device())):
        (folder / f"{name}.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "dashboards")

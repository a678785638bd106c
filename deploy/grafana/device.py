"""Dashboard of one device: latency against the budget, variants, and disturbances."""

from __future__ import annotations

from panels import (
    BLUE,
    GREEN,
    HEAT_STEPS,
    PACE_STEPS,
    RED,
    SHARE_STEPS,
    YELLOW,
    Json,
    bars,
    dashboard,
    graph,
    limit_line,
    links,
    now,
    query,
    row,
    stat,
    timeline,
    variable,
    words,
)

OF_DEVICE = 'device="$device"'
OF_CAMERA = 'device="$device", camera=~"$camera"'
OF_VIEW = f'{OF_CAMERA}, view=~"$view"'
DEVICE, CAMERA, VIEW = (f"{{{each}}}" for each in (OF_DEVICE, OF_CAMERA, OF_VIEW))
NAME = "{{camera}} {{view}}"
"""Legend of a view; of a camera without views, the camera alone."""
STATES = {1: "streaming", 2: "starting", 3: "stalled", 4: "backoff", 5: "ended"}
STATE_COLOURS = (GREEN, BLUE, YELLOW, RED, "text")


def device() -> Json:
    variables = [
        variable("device", "Device", 'label_values(up{job="edged"}, device)', several=False),
        variable(
            "camera",
            "Camera",
            'label_values(edged_results_total{device="$device"}, camera)',
            several=True,
        ),
        variable(
            "view",
            "View",
            'label_values(edged_results_total{device="$device", camera=~"$camera"}, view)',
            several=True,
            of_all=".*",  # also cameras without views
        ),
    ]
    panels = [
        *_numbers(),
        *_promise(),
        *_events(),
        *_time_and_accuracy(),
        *_frames(),
        *_state_of_device(),
    ]
    return dashboard("edged-device", "edged: device", panels, variables, links())


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
            query(f"camera:edged_on_time:ratio_rate5m{VIEW}", NAME),
            unit="percentunit",
            steps=SHARE_STEPS,
            **ends,
        ),
        stat(
            "p95 latency / budget",
            query(
                f"camera:edged_result_latency_seconds:p95_rate5m{VIEW} "
                f"/ edged_latency_budget_seconds{VIEW}",
                NAME,
            ),
            unit="percentunit",
            steps=((None, GREEN), (0.9, YELLOW), (1, RED)),
            **ends,
        ),
        stat(
            "Accuracy in use",
            query(f"camera:edged_top1:avg_rate5m{VIEW}", NAME),
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
    """Latency against the budget, and variants."""
    of_variant = f"rate(edged_variant_results_total{VIEW}[$__rate_interval])"
    return [
        row("Latency and variants"),
        graph(
            "Latency against the budget",
            query(f"edged_latency_budget_seconds{VIEW}", NAME + " budget"),
            *(
                query(
                    f"camera:edged_result_latency_seconds:{name}_rate5m{VIEW}",
                    f"{NAME} {name}",
                )
                for name in ("p50", "p95", "p99")
            ),
            unit="s",
            bounds=(0, None),
            overrides=[limit_line("/ budget$/")],
            about="From capture to result. Percentiles over five minutes, interpolated between "
            "histogram buckets; the budget is a bucket's edge.",
            size=(12, 9),
        ),
        graph(
            "Share on time against the target",
            query(f"camera:edged_on_time:ratio_rate5m{VIEW}", NAME),
            query(f"edged_on_time_target_ratio{VIEW}", NAME + " on_time"),
            unit="percentunit",
            bounds=(None, 1),
            overrides=[limit_line("/ on_time$/")],
            size=(12, 9),
        ),
        timeline(
            "Variant in use",
            query(
                f"sum by (camera, view, variant) ({of_variant}) "
                f"/ on (camera, view) group_left () sum by (camera, view) ({of_variant}) > 0",
                NAME + " {{variant}}",
            ),
            unit="percentunit",
            steps=(
                (None, "super-light-blue"),
                (0.2, "light-blue"),
                (0.5, BLUE),
                (0.9, "dark-blue"),
            ),
            about="Share of results by variant; darker means more.",
            size=(24, 9),
        ),
        graph(
            "Burn of the miss budget",
            *(
                query(
                    f"camera:edged_miss_budget_burn:ratio_rate{window}{VIEW}",
                    f"{NAME} {window}",
                )
                for window in ("5m", "1h", "6h", "3d")
            ),
            about="Share of late frames relative to what on_time allows; above 1, too many.",
            bounds=(0, None),
            size=(12, 8),
        ),
        timeline(
            "Alerts",
            query(
                'max by (alertname, camera, view) (ALERTS{alertstate="firing", device="$device"})',
                NAME + " {{alertname}}",
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
                "sum by (camera, view, stage) "
                f"(rate(edged_stage_duration_seconds_sum{VIEW}[$__rate_interval]))"
                " / sum by (camera, view, stage) "
                f"(rate(edged_stage_duration_seconds_count{VIEW}[$__rate_interval]) > 0)",
                NAME + " {{stage}}",
            ),
            unit="s",
            stacked=True,
            about="Mean duration of each stage; they add up to the mean latency.",
            size=(12, 9),
        ),
        graph(
            "Accuracy in use",
            query(f"camera:edged_top1:avg_rate5m{VIEW}", NAME),
            query(f"camera:edged_top1:max{VIEW}", NAME + " best variant"),
            query(f"camera:edged_top1:min{VIEW}", NAME + " cheapest variant"),
            unit="percentunit",
            overrides=[limit_line("/ variant$/", "text")],
            size=(12, 9),
        ),
        graph(
            "Accuracy given up",
            query(f"camera:edged_top1:max{VIEW} - camera:edged_top1:avg_rate5m{VIEW}", NAME),
            unit="percentunit",
            bounds=(0, None),
            about="Of the best variant that is worth a run there, less that of what ran.",
            size=(12, 9),
        ),
        graph(
            "Agreement with the most accurate variant",
            query(f"edged_agreement{VIEW}", NAME + " {{variant}}"),
            unit="percentunit",
            about="Share of the view's frames on which a variant says the same, from probes.",
            size=(12, 9),
        ),
        graph(
            "Probes",
            query(f"rate(edged_probe_seconds_total{VIEW}[$__rate_interval])", NAME),
            unit="percentunit",
            bounds=(0, None),
            about="Share of the time.",
            size=(12, 9),
        ),
        graph(
            "Changes of variant by reason",
            query(
                "sum by (camera, view, reason) "
                f"(rate(edged_variant_switches_total{VIEW}[$__rate_interval]))",
                NAME + " {{reason}}",
            ),
            unit="ops",
            stacked=True,
            size=(12, 9),
        ),
        bars(
            "Run time of variants",
            now(f"sort(edged_variant_run_seconds{DEVICE})", "{{family}} {{variant}} {{runtime}}"),
            unit="s",
            about="On an idle device; only variants for which no other is as accurate and faster.",
            size=(24, 9),
        ),
    ]


def _events() -> list[Json]:
    """What was seen: series per class would be too many, an event is one of each rule."""
    return [
        row("What was seen"),
        timeline(
            "Events",
            query(f"edged_event_active{VIEW}", NAME + " {{event}}"),
            mappings=[words({0: ("gone", "transparent"), 1: ("there", BLUE)})],
            about="When the classes of each event were there. The device's own page has the shares "
            "of all classes.",
            size=(12, 8),
        ),
        graph(
            "Events in an hour",
            query(f"increase(edged_events_total{VIEW}[1h])", NAME + " {{event}}"),
            stacked=True,
            bounds=(0, None),
            size=(12, 8),
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
            query(f"rate(edged_results_total{VIEW}[$__rate_interval])", NAME + " results"),
            unit="ops",
            bounds=(0, None),
            size=(12, 7),
        ),
        graph(
            "Frames dropped, by reason",
            query(
                f"rate(edged_frames_dropped_total{VIEW}[$__rate_interval])",
                NAME + " {{reason}}",
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
            "Results dropped by sinks",
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
        graph(
            "Power",
            query(f"edged_power_watts{DEVICE}", "{{rail}}"),
            query(f"edged_power_limit_watts{DEVICE}", "limit"),
            unit="watt",
            bounds=(0, None),
            overrides=[limit_line("limit")],
            about="By rail. Rails may be parts of one another, so they do not add up.",
            size=(8, 8),
        ),
        graph(
            "Energy per result",
            query(
                f"edged_result_joules{DEVICE}",
                "{{variant}} x{{threads}} {{runtime}}",
            ),
            unit="joule",
            bounds=(0, None),
            about="Estimated from the power; only where that is significant.",
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
            query(f"edged_slowdown_ratio{DEVICE}", "slow-down"),
            bounds=(0, None),
            about="Run time relative to an idle device.",
            size=(8, 8),
        ),
        graph(
            "Allowed compute time",
            query(f"edged_allowed_busy_ratio{DEVICE}", "allowed"),
            unit="percentunit",
            bounds=(0, 1),
            about="Below 100 %, edged drops frames to stay below max_temperature_c or max_power_w.",
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

"""Dashboard of all devices."""

from __future__ import annotations

from panels import (
    GREEN,
    HEAT_STEPS,
    PACE_STEPS,
    RED,
    SHARE_STEPS,
    YELLOW,
    Json,
    coloured,
    dashboard,
    graph,
    links,
    now,
    override,
    query,
    stat,
    table,
    timeline,
    words,
)

BURN_STEPS = ((None, GREEN), (1.05, YELLOW), (3, RED))
TO_DEVICE = {
    "title": "Device page",
    "url": "/d/edged-device?var-datasource=${datasource}&var-device=${__data.fields.Device}"
    "&${__url_time_range}",
}
TO_PAGE = {
    "title": "The device's own page",
    "url": "${scheme}://${__data.fields.Page}/",
    "targetBlank": True,
}
SCHEME = {
    "name": "scheme",
    "label": "Devices' pages",
    "type": "custom",
    "query": "http,https",
    "multi": False,
    "includeAll": False,
    "current": {"text": "http", "value": "http"},
}


def fleet() -> Json:
    return dashboard("edged-fleet", "edged: fleet", _of_fleet(), [SCHEME], links())


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
                "State": now('max by (device, instance) (up{job="edged"})'),
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
            labels={"instance": "Page"},
            about="Values of each device's worst camera or view. The name links to the device's "
            "dashboard, the address to its own page.",
            overrides=[
                override("Device", links=[TO_DEVICE]),
                override("Page", links=[TO_PAGE]),
                override("State", mappings=[up], custom__cellOptions={"type": "color-text"}),
                coloured("On time", "percentunit", SHARE_STEPS),
                coloured("p95 of budget", "percentunit", ((None, GREEN), (0.9, YELLOW), (1, RED))),
                override("Accuracy in use", unit="percentunit", decimals=1),
                coloured("Burn, 1 h", "none", BURN_STEPS),
                coloured("Slow-down", "none", PACE_STEPS),
                coloured("Temperature", "celsius", HEAT_STEPS),
                override("Running since", unit="dateTimeFromNow"),
                coloured("Alerts", "none", ((None, GREEN), (1, RED))),
            ],
            size=(24, 10),
        ),
        graph(
            "Share on time, lowest camera or view of each device",
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
            "Accuracy given up, worst camera or view of each device",
            query(
                "max by (device) (camera:edged_top1:max - camera:edged_top1:avg_rate5m)",
                "{{device}}",
            ),
            unit="percentunit",
            bounds=(0, None),
            about="Of the best variant that is worth a run there, less that of what ran.",
            size=(12, 8),
        ),
        graph(
            "Events in an hour",
            query("sum by (device) (increase(edged_events_total[1h]))", "{{device}}"),
            bounds=(0, None),
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

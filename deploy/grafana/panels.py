"""Building blocks of Grafana's dashboard JSON (classic model), without metrics.

Names of options and units: Grafana's documentation, and its package @grafana/schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

SCHEMA_VERSION = 39
"""Grafana 11; later versions migrate dashboards when they load them."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
"""A variable, so that dashboards can be imported into any Grafana."""
COLUMNS = 24
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"

Steps = Sequence[tuple[float | None, str]]
"""(lowest value, colour); None for no lower bound."""
SHARE_STEPS = ((None, RED), (0.9, YELLOW), (0.95, GREEN))
PACE_STEPS = ((None, GREEN), (1.3, YELLOW), (2.0, RED))
HEAT_STEPS = ((None, GREEN), (70, YELLOW), (80, RED))


def query(expression: str, legend: str = "", **more: Any) -> Json:
    return {"expr": expression, "legendFormat": legend or "__auto", "range": True, **more}


def now(expression: str, legend: str = "", **more: Any) -> Json:
    """An instant query at the end of the time range."""
    return query(expression, legend, range=False, instant=True, **more)


def panel(
    kind: str,
    title: str,
    queries: Sequence[Json],
    *,
    size: tuple[int, int],
    unit: str = "short",
    steps: Steps = ((None, GREEN),),
    about: str = "",
    bounds: tuple[float | None, float | None] = (None, None),
    custom: Json | None = None,
    mappings: Sequence[Json] = (),
    overrides: Sequence[Json] = (),
    options: Json | None = None,
    **more: Any,
) -> Json:
    """size: columns (of 24) and rows. bounds: lowest and highest value of the scale."""
    defaults: Json = {
        "unit": unit,
        "color": {"mode": "palette-classic" if kind == "timeseries" else "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
        "mappings": list(mappings),
        "custom": custom or {},
    }
    defaults |= {
        key: end for key, end in zip(("min", "max"), bounds, strict=True) if end is not None
    }
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATASOURCE, **each}
            for number, each in enumerate(queries)
        ],
        "gridPos": {"w": size[0], "h": size[1]},
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options or {},
        **more,
    }


def graph(title: str, *queries: Json, stacked: bool = False, **more: Any) -> Json:
    custom = {
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, queries, custom=custom, options=options, **more)


def timeline(title: str, *queries: Json, **more: Any) -> Json:
    options = {
        "showValue": "never",
        "mergeValues": True,
        "rowHeight": 0.8,
        "alignValue": "left",
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0}
    return panel("state-timeline", title, queries, custom=custom, options=options, **more)


def stat(title: str, asked: Json, **more: Any) -> Json:
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area" if asked["range"] else "none",
        "textMode": "auto",
        "justifyMode": "auto",
        "orientation": "auto",
    }
    return panel("stat", title, [asked], options=options, **more)


def bars(title: str, asked: Json, **more: Any) -> Json:
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
    }
    return panel("bargauge", title, [asked], options=options, **more)


def table(
    title: str, columns: Mapping[str, Json], *, by: str, labels: Mapping[str, str], **more: Any
) -> Json:
    """columns: name → query whose series have only the label `by`, and one also `labels`, which
    are shown under these names."""
    names = {f"Value #{chr(ord('A') + number)}": name for number, name in enumerate(columns)}
    transformations = [
        {"id": "joinByField", "options": {"byField": by, "mode": "outer"}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True}
                | {f"Time {number}": True for number in range(1, len(columns) + 1)},
                "renameByName": {**names, by: by.capitalize(), **labels},
            },
        },
    ]
    queries = [{**asked, "format": "table"} for asked in columns.values()]
    return panel("table", title, queries, transformations=transformations, **more)


def override(match: str, **properties: Any) -> Json:
    """match: a field's name, or a /regular expression/. `__` in a key stands for a dot."""
    matcher = "byRegexp" if match.startswith("/") else "byName"
    return {
        "matcher": {"id": matcher, "options": match},
        "properties": [
            {"id": key.replace("__", "."), "value": value} for key, value in properties.items()
        ],
    }


def limit_line(match: str, colour: str = RED) -> Json:
    """Draw matching series as a dashed line."""
    return override(
        match,
        color={"mode": "fixed", "fixedColor": colour},
        custom__lineStyle={"fill": "dash", "dash": [8, 6]},
        custom__lineWidth=2,
        custom__fillOpacity=0,
        custom__stacking={"mode": "none", "group": "limit"},
    )


def words(meanings: Mapping[int, tuple[str, str]]) -> Json:
    """meanings: value → (text, colour)."""
    return {
        "type": "value",
        "options": {
            str(value): {"text": text, "color": colour, "index": index}
            for index, (value, (text, colour)) in enumerate(meanings.items())
        },
    }


def variable(
    name: str, label: str, values: str, *, several: bool, of_all: str | None = None
) -> Json:
    """values: `label_values(…)`. of_all: what "All" stands for; by default any of the values."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": values, "refId": name},
        "definition": values,
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "allValue": of_all,
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
    }


def datasource() -> Json:
    """The choice of the data source; initially the default one."""
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {},
    }


def row(title: str) -> Json:
    return {
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"w": COLUMNS, "h": 1},
    }


def dashboard(
    uid: str, title: str, panels: Iterable[Json], variables: Sequence[Json], links: Sequence[Json]
) -> Json:
    return {
        "uid": uid,
        "title": title,
        "tags": ["edged"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": [datasource(), *variables]},
        "links": list(links),
        "panels": placed(panels),
    }


def placed(panels: Iterable[Json]) -> list[Json]:
    """Place panels from left to right and top to bottom, and number them."""
    found, left, top, height = [], 0, 0, 0
    for number, each in enumerate(panels, 1):
        grid = each["gridPos"]
        if left + grid["w"] > COLUMNS:
            left, top, height = 0, top + height, 0
        found.append({**each, "id": number, "gridPos": {**grid, "x": left, "y": top}})
        left, height = left + grid["w"], max(height, grid["h"])
    return found


def coloured(column: str, unit: str, steps: tuple[tuple[float | None, str], ...]) -> Json:
    return override(
        column,
        unit=unit,
        thresholds={
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
        custom__cellOptions={"type": "color-text"},
    )


def links() -> list[Json]:
    return [
        {
            "title": "edged",
            "type": "dashboards",
            "tags": ["edged"],
            "asDropdown": False,
            "keepTime": True,
        }
    ]

"""The data of `/api/v1/status` and `/api/v1/history`."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from edged import __version__
from edged.capture.supervisor import Camera
from edged.clock import rfc3339
from edged.result import Result, to_json
from edged.secret import redact
from edged.sensors import memory, temperature
from edged.telemetry.subjects import ViewSubject
from edged.variants.family import MOST_NAMED
from edged.view import parts
from edged.web.live import Live, ViewLive
from edged.web.seconds import RATE_SECONDS, SECONDS, Second
from edged.web.status.verdict import accuracy, choice, verdict, why

_ENOUGH = 448
"""Short side of a picture, twice the largest resolution: no network uses more pixels."""
LINE_BYTES = 2000
"""Proxies accept at least 4 KB of headers."""
RESULTS_BYTES = 3500
"""Of one picture's views together."""


SILENT_SECONDS = 10.0
"""Without results for longer, and for three times the usual interval, a view is silent."""


def status(live: Live) -> dict[str, Any]:
    """Contains no secrets. Figures cover the last `window_seconds`, `fps` the last ten seconds or,
    where results are rarer, the last two results."""
    subjects, now_ns, now_unix_ns = live.subjects, live.clock(), time.time_ns()
    engines, slowdown = subjects.engines(), round(subjects.slowdown(), 2)
    gauges = {gauge.name: tuple(gauge.values.values()) for gauge in subjects.sensors()}
    hottest = gauges.get(temperature.NAME)
    about = {
        "version": __version__,
        "host": socket.gethostname(),
        "time": local_time(),
        "families": {
            name: {"classes": list(labels[:MOST_NAMED]), "count": len(labels)}
            for name, labels in subjects.families.items()
        },
        "runtimes": list(subjects.runtime_names),
        "window_seconds": SECONDS,
        "loading": subjects.loading(),
        "engines_building": engines.building,
        "temperature_c": round(max(hottest), 1) if hottest else None,
        "max_temperature_c": subjects.max_temperature_c,
        "power_w": _rounded(subjects.power_w(), 2),
        "max_power_w": subjects.max_power_w,
        "memory": {
            key: round(gauges[name][0]) if gauges.get(name) else None
            for key, name in (("available_bytes", memory.AVAILABLE), ("total_bytes", memory.TOTAL))
        },
        "slowdown": slowdown,
        "cameras": _cameras(live, now_ns, now_unix_ns, slowdown),
        "events": {name: {"switch": switch.told()} for name, switch in subjects.rules().items()},
    }
    undelivered = {each.name: redact(each.trouble) for each in subjects.sinks if each.trouble}
    unkept, silent = redact(subjects.history_trouble() or ""), {*_silent(live, now_ns)}
    return {"verdict": verdict(about, silent, undelivered, unkept, now_unix_ns)} | about


def local_time() -> str:
    """RFC 3339, with the offset of the device's time zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _cameras(live: Live, now_ns: int, now_unix_ns: int, slowdown: float) -> dict[str, Any]:
    cameras: dict[str, Any] = {
        camera.name: {
            "state": camera.state.value,
            "last_error": redact(camera.last_error or "") or None,
            **_away(camera, now_ns, now_unix_ns),
            "max_fps": camera.max_fps,
            "advice": _advice(camera, live),
        }
        for camera in live.subjects.cameras
    }
    for view in live.subjects.views:
        camera, name = parts(view.id)
        about = _view(view, live, now_ns, slowdown)
        if name is None:
            cameras[camera] |= about
        else:
            cameras[camera].setdefault("views", {})[name] = {"roi": view.roi} | about
    return cameras


def _advice(camera: Camera, live: Live) -> str | None:
    """For a stream whose pictures cost more to decode than all its views cost to decide."""
    granted, views = camera.granted, live.subjects.views
    if granted is None or not camera.is_stream or min(granted.width, granted.height) <= _ENOUGH:
        return None
    costs_ms = [live.costs_ms(view.id) for view in views if parts(view.id)[0] == camera.name]
    decode_ms = max((decode_ms for decode_ms, _ in costs_ms), default=0.0)
    decide_ms = sum(decide_ms for _, decide_ms in costs_ms)
    if decode_ms <= decide_ms:
        return None
    return (
        f"decoding {granted.width}x{granted.height} takes {decode_ms:.1f} ms a result, deciding "
        f"{decide_ms:.1f} ms; the camera's substream, a smaller stream at another path, costs less"
    )


def _away(camera: Camera, now_ns: int, now_unix_ns: int) -> dict[str, Any]:
    """Since when it has not been streaming."""
    away_ns = camera.away_ns
    if away_ns is None:
        return {"away_since": None, "away_seconds": None}
    seconds = (now_ns - away_ns) / 1e9
    since = rfc3339(now_unix_ns - (now_ns - away_ns))
    return {"away_since": since, "away_seconds": round(seconds, 1)}


def _silent(live: Live, now_ns: int) -> Iterator[str]:
    """Views that give no results although their cameras deliver."""
    states = {camera.name: camera.state.value for camera in live.subjects.cameras}
    for view in live.subjects.views:
        own = live.views[view.id]
        streams = states[parts(view.id)[0]] == "streaming"
        limit_ns = max(
            SILENT_SECONDS * 1e9, 3 * own.interval_ns, 3e9 / view.max_fps if view.max_fps else 0
        )
        waits = view.quiet or not own.interval_ns  # for motion, or its second result
        since_ns = max(own.last_ns, own.on_ns)
        if streams and view.switch().on and not waits and now_ns - since_ns > limit_ns:
            yield view.id


def _view(view: ViewSubject, live: Live, now_ns: int, slowdown: float) -> dict[str, Any]:
    own = live.views[view.id]
    summary, last, seen = own.seconds.summary(now_ns), own.last, own.seen.copy()
    figures = accuracy(view, None if last is None else last.variant)
    return {
        "switch": view.switch().told(),
        "family": view.family,
        "to_teach": view.to_teach,
        "instead": view.instead,
        "budget_ms": view.budget_ms,
        "on_time_target": view.on_time,
        "on_time": _rounded(summary.on_time, 4),
        "late": summary.late,
        "latency_ms": {"p50": _rounded(summary.p50_ms, 1), "p95": _rounded(summary.p95_ms, 1)},
        "fps": _fps(own, summary.fps, now_ns),
        "max_fps": view.max_fps,
        "accuracy": figures,
        "goal": "accuracy" if view.give_up is None else "power",
        "give_up": view.give_up,
        "probes": _probes(view),
        "choice": last and choice(last.variant, figures, last.reason, slowdown),
        "seen": [
            {"label": label, "age_seconds": round((now_ns - seen_ns) / 1e9, 1)}
            for label, seen_ns in reversed(seen.items())
        ],
        "frames": live.frames(view),
        "last": last and _last(last, (now_ns - own.last_ns) / 1e9, slowdown),
    }


def _probes(view: ViewSubject) -> dict[str, Any] | None:
    """What they have shown; None before the first."""
    learnt = view.learnt()
    if learnt.reference is None:
        return None
    return {
        "seconds": round(learnt.seconds, 2),
        "spared_seconds": round(learnt.spared_seconds, 1),
        "reference": learnt.reference.name,
        "breaks": learnt.breaks,
        "variants": {
            variant.name: {
                "agreement": round(each.agreement, 4),
                "low": round(each.low, 4),
                "high": round(each.high, 4),
                "moments": round(each.moments, 1),
                "probes": each.probes,
                "table": _rounded(view.top1.get(variant), 4),
                "in_use": _rounded(learnt.in_use.get(variant, view.top1.get(variant)), 4),
            }
            for variant, each in learnt.estimates.items()
        },
    }


def _fps(live: ViewLive, fps: float, now_ns: int) -> float:
    """fps: by the results of the last RATE_SECONDS."""
    interval_ns = live.interval_ns
    seldom = 2 * interval_ns > RATE_SECONDS * 1e9 and now_ns - live.last_ns <= 2 * interval_ns
    return round(1e9 / interval_ns, 4) if seldom else round(fps, 1)


def _last(result: Result, age_seconds: float, slowdown: float) -> dict[str, Any]:
    return {
        "captured_at": rfc3339(result.captured_unix_ns),
        "age_seconds": round(age_seconds, 2),
        "latency_ms": round(result.latency_ms, 1),
        "variant": result.variant.name,
        "threads": result.threads,
        "runtime": result.runtime,
        "reason": result.reason,
        "why": why(result.reason, slowdown),
        "top": [{"label": each.label, "score": round(each.score, 3)} for each in result.top],
    }


def result_line(result: Result) -> str:
    """One line of ASCII JSON for a header; `top` is shortened to fit into LINE_BYTES."""
    data = to_json(result)
    while len(line := json.dumps(data)) > LINE_BYTES and data["top"]:
        data["top"].pop()
    return line


def results_line(results: Sequence[Result]) -> str:
    """As `result_line`, for the views of one picture: by view, what its region and bars show.
    Those that do not fit are left out."""
    found: dict[str, Any] = {}
    for result in results:
        about = to_json(result)
        own = {key: about[key] for key in ("sequence", "on_time", "top")}
        line = json.dumps({**found, result.view: own})
        if len(line) <= RESULTS_BYTES:
            found[result.view] = own
    return json.dumps(found)


def history(live: Live) -> dict[str, Any]:
    """One row of `columns` for each second with a result or a frame too late to run."""
    now_ns = live.clock()
    columns = ("ago", "p50_ms", "p95_ms", "most_ms", "budget_ms", "late", "variant")
    return {
        "seconds": SECONDS,
        "columns": columns,
        "cameras": {
            view: [_row(each, now_ns // 1_000_000_000) for each in own.seconds.complete(now_ns)]
            for view, own in live.views.items()
        },
    }


def _row(second: Second, now: int) -> list[Any]:
    times_ms = (second.p50_ms, second.p95_ms, second.most_ms, second.budget_ms)
    late = second.late + second.stale
    return [now - second.number, *(round(ms, 1) for ms in times_ms), late, second.variant]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)

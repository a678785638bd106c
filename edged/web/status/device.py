"""The data of `/api/v1/device`: what the device is, how it is, and what it knows.

Gathered when somebody asks, which the page does seldom.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edged import __version__
from edged.clock import rfc3339, unix_ns_of
from edged.device import device_name
from edged.sensors import power, power_mode, temperature, throttling
from edged.sensors.memory import meminfo
from edged.telemetry.subjects import Subjects, ViewSubject
from edged.web.live import Live
from edged.web.status.status import local_time

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def device(live: Live, barred: Mapping[str, str], root: Path = Path("/")) -> dict[str, Any]:
    """barred: what keeps the client from changing something, by right. What the device does not
    report is null or absent."""
    subjects, now_ns = live.subjects, live.clock()
    return {
        "host": socket.gethostname(),
        "model": device_name(root),
        "version": __version__,
        "time": local_time(),
        "started_at": rfc3339(unix_ns_of(live.started_ns, now_ns)),
        "uptime_seconds": round((now_ns - live.started_ns) / 1e9, 1),
        "runtimes": [dict(each) for each in subjects.runtimes],
        "barred": dict(barred),
        "slowdown": round(subjects.slowdown(), 2),
        "max_temperature_c": subjects.max_temperature_c,
        "max_power_w": subjects.max_power_w,
        **_sensors(subjects),
        "memory": _memory(root),
        "families": _families(subjects),
    }


def _sensors(subjects: Subjects) -> dict[str, Any]:
    gauges = {gauge.name: gauge.values for gauge in subjects.sensors()}
    zones = gauges.get(temperature.NAME, {})
    flags: dict[str, list[str]] = {throttling.NOW: [], throttling.SINCE_BOOT: []}
    for (kind, when), on in gauges.get(throttling.NAME, {}).items():
        if on:
            flags[when].append(kind)
    rails, total = gauges.get(power.NAME, {}), power.total_watts(subjects.sensors())
    modes = [name or number for number, name in gauges.get(power_mode.NAME, {})]
    return {
        "temperature_c": {zone: round(value, 1) for (zone,), value in zones.items()},
        "throttled": flags if gauges.get(throttling.NAME) else None,
        "power_w": {rail: round(watts, 3) for (rail, _), watts in rails.items()},
        "total_power_w": None if total is None else round(total, 3),
        "power_mode": next(iter(modes), None),
    }


def _memory(root: Path) -> dict[str, int | None]:
    """In bytes. Pages that processes share count in each."""
    known, helpers = meminfo(root), [*_resident(_children())]
    return {
        "total_bytes": known.get("MemTotal"),
        "available_bytes": known.get("MemAvailable"),
        "daemon_bytes": next(_resident([os.getpid()]), None),
        "helpers": len(helpers),
        "helpers_bytes": sum(helpers),
    }


def _children() -> list[int]:
    """Processes that this one has started: of cameras, of teaching."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended, or the kernel does not tell
            found += map(int, (task / "children").read_text().split())
    return found


def _resident(processes: list[int]) -> Iterator[int]:
    for each in processes:
        with suppress(OSError):  # ended, or hidden
            yield int(Path(f"/proc/{each}/statm").read_text().split()[1]) * _PAGE_BYTES


def _families(subjects: Subjects) -> dict[str, Any]:
    views: dict[str, list[ViewSubject]] = {}
    for view in subjects.views:
        views.setdefault(view.family, []).append(view)
    return {name: _family(own) for name, own in views.items()}


def _family(views: list[ViewSubject]) -> dict[str, Any]:
    """p50_ms: of an idle device; null before it is measured."""
    measured: dict[str, float] = {}
    top1: dict[str, float] = {}
    for view in views:
        measured |= view.measured_ms()
        top1 |= {variant.name: share for variant, share in view.top1.items()}
    names = dict.fromkeys(each.name for view in views for each in view.variants)
    return {
        "classes": list(views[0].labels),
        "budgets_ms": {view.id: view.budget_ms for view in views},
        "variants": [
            {
                "name": name,
                "accuracy": None if name not in top1 else round(top1[name], 4),
                "p50_ms": None if name not in measured else round(measured[name], 2),
            }
            for name in names
        ],
    }

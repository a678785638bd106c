"""Statuses of a daemon, as `/api/v1/status` answers them, for the screen."""

from __future__ import annotations

from typing import Any

HOSTILE = "cat\x1b[2J\x1b]0;owned\x07\r\nfake line\u202e"


def view(**more: Any) -> dict[str, Any]:
    return {
        "switch": {"state": "on", "until": None, "changed_at": None, "origin": None},
        "family": "animals",
        "to_teach": None,
        "instead": None,
        "budget_ms": 33.0,
        "on_time_target": 0.95,
        "on_time": 0.991,
        "late": 9,
        "latency_ms": {"p50": 13.94, "p95": 21.3},
        "fps": 29.8,
        "max_fps": None,
        "accuracy": {"running": 0.63, "best": 0.71, "best_variant": "mobilenet_v1_1.0_224"},
        "choice": "0.5@160: 63 % instead of 71 % accuracy; the device is 1.4x slower than its "
        "profile",
        "seen": [
            {"label": "golf ball", "age_seconds": 0.1},
            {"label": "parachute", "age_seconds": 75.0},
        ],
        "last": {
            "age_seconds": 0.1,
            "variant": "mobilenet_v1_0.5_160",
            "threads": 1,
            "runtime": "ncnn",
            "top": [{"label": "golf ball", "score": 0.934}, {"label": "church", "score": 0.031}],
        },
    } | more


def camera(state: str = "streaming", error: str | None = None, **more: Any) -> dict[str, Any]:
    away = None if state == "streaming" else 754.0
    return {"state": state, "last_error": error, "away_seconds": away, "max_fps": None} | more


def status(cameras: dict[str, Any], *troubles: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "verdict": {
            "ok": not troubles,
            "text": "all views keep their budget",
            "troubles": troubles,
        },
        "version": "0.2.0",
        "runtimes": ["onnxruntime", "ncnn"],
        "loading": False,
        "engines_building": 0,
        "temperature_c": 61.2,
        "max_temperature_c": 80.0,
        "power_w": 6.34,
        "max_power_w": None,
        "memory": {"available_bytes": 1_200_000_000, "total_bytes": 4_000_000_000},
        "slowdown": 1.41,
        "cameras": cameras,
    } | more


LATE = {
    "kind": "late",
    "camera": "yard",
    "view": "gate",
    "text": "yard/gate misses its budget: 71 % on time, 95 % wanted",
}
AWAY = {
    "kind": "away",
    "camera": "garage",
    "text": "garage is away since 12:03: connection refused",
}
SEVERAL = {
    "door": camera() | view(),
    "yard": camera(
        views={
            "bin": view(),
            "gate": view(on_time=0.7149, latency_ms={"p50": 31.0, "p95": 48.0}),
        }
    ),
    "garage": camera("backoff", "connection refused")
    | view(on_time=None, latency_ms={"p50": None, "p95": None}, fps=0.0, last=None, seen=[]),
}

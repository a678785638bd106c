"""The section of one camera: its schema and its checked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.capture.options import capture_request
from edged.capture.schema import SETTINGS, SOURCE
from edged.capture.source import CaptureRequest
from edged.capture.sources.grammar import camera_source, source_from
from edged.document.parts import BUDGET_MS, FPS, ON_TIME, TOP1, key, section
from edged.document.values import path_from

_SIZE = "size: 1280x720, width and height in one"
_LOGIN = "write the login in the address: source: rtsp://user:password@host/path"
_HINTS = {
    **dict.fromkeys(
        ("url", "uri", "src", "address", "device", "path", "input", "stream"), "source"
    ),
    **dict.fromkeys(
        ("host", "ip", "rtsp", "rtsp_url", "stream_source", "still_image_url"), "source"
    ),
    **dict.fromkeys(("framerate", "frame_rate", "frames_per_second", "rate"), "fps"),
    **dict.fromkeys(("resolution", "dimensions"), "size"),
    **dict.fromkeys(("width", "height"), f"write {_SIZE}"),
    **dict.fromkeys(("rotation", "angle", "rotate_image"), "rotate"),
    **dict.fromkeys(("hflip", "mirror"), "write flip: horizontal"),
    "vflip": "write flip: vertical",
    **dict.fromkeys(
        ("interval", "frame_interval"), "write max_fps, results a second: 1 / interval"
    ),
    **dict.fromkeys(("password", "username", "user", "login", "credentials"), _LOGIN),
    "port": "write the port in the address: source: rtsp://host:554/path",
    **dict.fromkeys(
        ("threshold", "confidence", "min_score"),
        "the keys are results.min_score, and above in events",
    ),
    **dict.fromkeys(("crop", "region", "zone", "zones"), "roi"),
    **dict.fromkeys(("motion", "motion_detection"), "quiet"),
    "repeat": "loop",
    **dict.fromkeys(("latency", "budget", "budget_ms", "latency_ms"), "latency_budget_ms"),
    **dict.fromkeys(
        ("events", "class", "classes"),
        "events is a key at the top of the file; each event lists its cameras",
    ),
    **dict.fromkeys(
        ("enabled", "disabled"), "to disable a camera, remove it or comment it out with #"
    ),
}

CAMERA = section(
    [],
    _HINTS,
    **SOURCE,
    latency_budget_ms=key(
        "Latency budget of this camera (ms)",
        "From capture to result. Default: the value at the top of the file.",
        50,
        **BUDGET_MS,
    ),
    on_time=key(
        "Share on time of this camera",
        "Share of results that must meet the budget. Default: the value at the top of the file.",
        0.99,
        **ON_TIME,
    ),
    min_fps=key(
        "Minimum results per second of this camera",
        "Variants that take longer are not used. Default: the value at the top of the file.",
        10,
        **FPS,
    ),
    min_top1=key(
        "Minimum accuracy of this camera",
        "Never use a less accurate variant, even if results come late. Default: the value at "
        "the top of the file.",
        0.8,
        **TOP1,
    ),
    **SETTINGS,
) | {
    "title": "Camera",
    "description": "One camera: its source and its own settings.",
    "oneOf": [{"required": ["source"]}, {"required": ["source_file"]}],
    "examples": [{"source": "synthetic"}],
}


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """One camera; values that its section lacks come from the top of the file.

    source_file: the file that the source was read from, if any. min_fps: None for no limit.
    min_top1: 0 to 1.
    """

    name: str
    capture: CaptureRequest
    latency_budget_ms: float
    on_time: float
    min_fps: float | None = None
    min_top1: float = 0.0
    source_file: Path | None = None


def camera_config(
    name: str, own: Mapping[str, Any], top: Mapping[str, Any], base: Path
) -> CameraConfig:
    """own: the camera's section; top: the whole file; both checked. base: for relative paths."""
    file = path_from(own["source_file"], base) if "source_file" in own else None
    source = camera_source(own["source"], base) if file is None else source_from(file, base)
    return CameraConfig(
        name=name,
        capture=capture_request(source, own),
        latency_budget_ms=own.get("latency_budget_ms", top["latency_budget_ms"]),
        on_time=own.get("on_time", top["on_time"]),
        min_fps=own.get("min_fps", top.get("min_fps")),
        min_top1=own.get("min_top1", top.get("min_top1", 0.0)),
        source_file=file,
    )

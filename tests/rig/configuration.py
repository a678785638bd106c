"""A configuration, and a part of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edged.config.config import Config

EXAMPLE = """\
model: imagenette                   # a shipped family by name, or a path relative to this file
latency_budget_ms: 33               # capture → result
on_time: 0.95                       # share of results that must make it
cameras:
  door:
    source: /dev/v4l/by-id/usb-Door_Camera-video-index0
    latency_budget_ms: 50           # any camera may override
    size: 1280x720                  # asked of the camera, as is fps; what is granted is logged
    fps: 30
    max_fps: 15                     # results a second at most
    rotate: 180                     # 0, 90, 180, 270
    flip: horizontal
    loop: true
backend: auto
http: {listen: 127.0.0.1:9640}
results: {jsonl: "-", top_k: 3, min_score: 0.1}   # "-" is standard output
"""


YARD = """\
latency_budget_ms: 100
cameras:
  yard:
    source: synthetic
    views:
      gate: {roi: [0.0, 0.2, 0.3, 0.6], model: gate}
      bin: {roi: [0.7, 0.5, 0.3, 0.5], model: bin, latency_budget_ms: 1000, max_fps: 0.2}
  door: {source: synthetic}
"""


def camera(line: str) -> str:
    return f"cameras:\n  door:\n    {line}\n"


def views(*lines: str, above: str = "") -> str:
    """A camera yard on lines 1 to 4, its views from line 5 on. above: more keys of the camera."""
    head = "cameras:\n  yard:\n    source: synthetic\n" + above + "    views:\n"
    return head + "".join(f"      {line}\n" for line in lines)


Load = Callable[..., Config]


def keys_of(described: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    inner = described.get("additionalProperties")
    for name, key in [*described.get("properties", {}).items(), ("*", inner)]:
        if isinstance(key, dict):
            yield name, key
            yield from keys_of(key)

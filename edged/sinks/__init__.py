"""Ways out for results, behind one small protocol; one file and one line of the table each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from edged.clock import rfc3339
from edged.frame import Result, Stages

_STAGES = tuple(field.name for field in fields(Stages))
_stage_times_ms: Callable[[Stages], tuple[float, ...]] = attrgetter(*_STAGES)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Sink(Protocol):
    """Takes results and delivers them from a thread and a bounded queue of its own."""

    observe_delivery: Callable[[float], None]
    """Told the seconds from the hand-over of a result to its delivery; the metrics assign it."""

    @property
    def name(self) -> str:
        """The metric's label."""

    @property
    def delivered(self) -> int: ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Results given up, per reason; every reason is present from the start."""

    def publish(self, result: Result) -> None:
        """Hand over a result. Never blocks and never raises: what does not fit is counted."""

    def close(self, timeout_seconds: float) -> None:
        """Deliver what is queued, but give up after the time-out."""


def to_json(result: Result) -> dict[str, Any]:
    """The result as people and programs get it: milliseconds, rounded to microseconds.

    `latency_ms` is the sum of the stages as printed. `on_time` is decided before rounding.
    """
    times_ms = _stage_times_ms(result.stages)
    stages_ms = {stage: round(ms, 3) for stage, ms in zip(_STAGES, times_ms, strict=True)}
    return {
        "camera": result.camera,
        "sequence": result.sequence,
        "captured_at": rfc3339(result.captured_unix_ns),
        "latency_ms": round(sum(stages_ms.values()), 3),
        "budget_ms": round(result.budget_ms, 3),
        "on_time": result.on_time,
        "variant": result.variant.name,
        "threads": result.threads,
        "reason": result.reason,
        "stages_ms": stages_ms,
        "top": [{"label": each.label, "score": round(each.score, 3)} for each in result.top],
    }


def to_json_line(result: Result) -> str:
    """For programs."""
    return _encode(to_json(result))


def to_text(result: Result) -> str:
    """For a person at a terminal: when, which camera, how long it took, what ran, what it saw."""
    clock = rfc3339(result.captured_unix_ns)[11:21]
    late = "" if result.on_time else "  LATE"
    top = ", ".join(f"{each.label} {each.score:.2f}" for each in result.top) or "nothing sure"
    return (
        f"{clock}  {result.camera}  {result.latency_ms:5.1f} of {result.budget_ms:g} ms{late}  "
        f"{result.variant.name} ({result.reason})  {top}"
    )


def _jsonl(options: Mapping[str, Any]) -> Sink:
    from edged.sinks.jsonl import Lines, open_lines

    path = options.get("path")
    return Lines(open_lines(None if path is None else Path(path)))


SINKS: Mapping[str, Callable[[Mapping[str, Any]], Sink]] = {
    "jsonl": _jsonl,
}
"""By the name the configuration uses. A sink's module is imported only when it is configured."""

"""Results and events, and their form in JSON and in text.

A field that results are to have gets its line in `Result` and in `to_json`, and its value in
edged/pipeline/run.py.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from edged.clock import rfc3339
from edged.view import fields

if TYPE_CHECKING:
    from edged.variants.variant import Variant

encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
"""One line of JSON. ValueError where a number is none."""


class Stages(NamedTuple):
    """Where the time of one result went, in milliseconds; together they are its latency."""

    capture: float
    decode: float
    queue: float
    preprocess: float
    inference: float
    publish: float

    @property
    def latency_ms(self) -> float:
        return sum(self)


class Score(NamedTuple):
    label: str
    score: float


class Result(NamedTuple):
    """What a frame became. view: its id. `captured_unix_ns` is wall time: nothing computes with
    it."""

    view: str
    sequence: int
    captured_unix_ns: int
    budget_ms: float
    variant: Variant
    threads: int
    runtime: str
    reason: str
    stages: Stages
    top: tuple[Score, ...]

    @property
    def latency_ms(self) -> float:
        return self.stages.latency_ms

    @property
    def on_time(self) -> bool:
        return self.latency_ms <= self.budget_ms


@dataclass(frozen=True, slots=True)
class Event:
    """Something has become present in a view (`ended_unix_ns` is None), or has gone again.

    view: its id. name: of the rule in the configuration. peak: the highest smoothed score until
    now, 0 to 1. snapshot: a JPEG of the frame that made its start certain, where the rule asks for
    one. cause: the result of that frame, or of the one that made the end certain; None where no
    result did. Times are wall time.
    """

    view: str
    name: str
    started_unix_ns: int
    ended_unix_ns: int | None
    peak: float
    snapshot: bytes | None = None
    cause: Result | None = field(default=None, compare=False, repr=False)


def to_json(result: Result) -> dict[str, Any]:
    """The result as people and programs get it: milliseconds, rounded to microseconds.

    `latency_ms` is the sum of the stages as printed. `on_time` is decided before rounding.
    """
    stages_ms = {stage: round(ms, 3) for stage, ms in result.stages._asdict().items()}
    return {
        **fields(result.view),
        "sequence": result.sequence,
        "captured_at": rfc3339(result.captured_unix_ns),
        "latency_ms": round(sum(stages_ms.values()), 3),
        "budget_ms": round(result.budget_ms, 3),
        "on_time": result.on_time,
        "variant": result.variant.name,
        "threads": result.threads,
        "runtime": result.runtime,
        "reason": result.reason,
        "stages_ms": stages_ms,
        "top": [{"label": each.label, "score": round(each.score, 3)} for each in result.top],
    }


def event_to_json(event: Event) -> dict[str, Any]:
    """The start of an event (`ended_at` is null), or its end. A snapshot comes as base64 text, and
    only where there is one."""
    ended_unix_ns, snapshot = event.ended_unix_ns, event.snapshot
    return {
        "event": event.name,
        **fields(event.view),
        "state": "started" if ended_unix_ns is None else "ended",
        "started_at": rfc3339(event.started_unix_ns),
        "ended_at": None if ended_unix_ns is None else rfc3339(ended_unix_ns),
        "peak": round(event.peak, 3),
    } | ({} if snapshot is None else {"snapshot": b64encode(snapshot).decode()})


def to_json_line(entry: Result | Event) -> str:
    """For programs."""
    return encode(to_json(entry) if isinstance(entry, Result) else event_to_json(entry))


def to_text(entry: Result | Event) -> str:
    """For a person at a terminal."""
    return _result_text(entry) if isinstance(entry, Result) else _event_text(entry)


def _event_text(event: Event) -> str:
    """What, where, since when, for how long, how sure."""
    begun = rfc3339(event.started_unix_ns)[11:21]
    if event.ended_unix_ns is None:
        return f"{begun}  {event.view}  {event.name} begins"
    seconds = (event.ended_unix_ns - event.started_unix_ns) / 1e9
    return f"{begun}  {event.view}  {event.name} was there for {seconds:.1f} s, {event.peak:.2f}"


def _result_text(result: Result) -> str:
    """When, which view, how long it took, what ran, what it saw."""
    clock = rfc3339(result.captured_unix_ns)[11:21]
    late = "" if result.on_time else "  LATE"
    top = ", ".join(f"{each.label} {each.score:.2f}" for each in result.top) or "nothing sure"
    return (
        f"{clock}  {result.view}  {result.latency_ms:5.1f} of {result.budget_ms:g} ms{late}  "
        f"{result.variant.name} ({result.reason})  {top}"
    )

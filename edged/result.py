"""Results and events, and their form in JSON and in text.

A field that results are to have gets its line in `Result` and in `_LINE`, and its value in
edged/pipeline/run.py.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from edged.clock import rfc3339
from edged.view import fields, parts

if TYPE_CHECKING:
    from edged.variants.variant import Variant

encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
"""One line of JSON. ValueError where a number is none."""
quoted = json.encoder.encode_basestring
"""A text in JSON."""


class Stages(NamedTuple):
    """Where the time of one result went, in milliseconds."""

    capture: float
    decode: float
    queue: float
    preprocess: float
    inference: float
    publish: float


class Score(NamedTuple):
    label: str
    score: float


class Result(NamedTuple):
    """What a frame became. view: its id. `captured_unix_ns` is wall time: nothing computes with
    it. latency_ms: the stages together."""

    view: str
    sequence: int
    captured_unix_ns: int
    budget_ms: float
    variant: Variant
    threads: int
    runtime: str
    reason: str
    stages: Stages
    latency_ms: float
    top: tuple[Score, ...]

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


_STAGES = ",".join(f'"{stage}":%.3f' for stage in Stages._fields)
_LINE = (
    '{"camera":%s,"sequence":%d,"captured_at":"%s","latency_ms":%.3f,"budget_ms":%.3f,"on_time":%s,'
    '"variant":"%s","threads":%d,"runtime":"%s","reason":"%s",'
    f'"stages_ms":{{{_STAGES}}},"top":[%s]}}'
)
"""What it says of a result: to format this takes a third of what JSONEncoder does."""


def _result_line(result: Result) -> str:
    """Milliseconds, to the microsecond. `latency_ms` is the sum of the stages as printed. `on_time`
    is decided before rounding. ValueError or OverflowError where a number is none."""
    camera, view = parts(result.view)
    stages_us = [round(1000 * stage_ms) for stage_ms in result.stages]
    return _LINE % (
        quoted(camera) if view is None else f'{quoted(camera)},"view":{quoted(view)}',
        result.sequence,
        rfc3339(result.captured_unix_ns),
        sum(stages_us) / 1000,
        result.budget_ms,
        "true" if result.on_time else "false",
        result.variant.name,
        result.threads,
        result.runtime,
        result.reason,
        *[stage_us / 1000 for stage_us in stages_us],
        ",".join([_score(each) for each in result.top]),
    )


def _score(score: Score) -> str:
    return f'{{"label":{quoted(score.label)},"score":{round(1000 * score.score) / 1000:.3f}}}'


def to_json(result: Result) -> dict[str, Any]:
    """The line as read: for what shows a result now and then."""
    return dict(json.loads(_result_line(result)))


def answer_to_json(model: str, result: Result) -> dict[str, Any]:
    """What became of a sent picture: a result without what only frames have. model: the name of the
    family that ran."""
    told = to_json(result)
    for of_frames in (*fields(result.view), "sequence", "captured_at"):
        del told[of_frames]
    del told["stages_ms"]["capture"]
    return {"model": model, **told}


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
    return _result_line(entry) if isinstance(entry, Result) else encode(event_to_json(entry))


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

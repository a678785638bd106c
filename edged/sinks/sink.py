"""Ways out for results, behind one small protocol; one file and one line of the table each."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edged.capture.frame import Event, Result
from edged.clock import rfc3339

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

    @property
    def alive(self) -> bool:
        """False when its thread has ended by itself, which must not happen."""

    def start(self) -> None:
        """The configuration is in force: a connection may be made. Again and again is once."""

    def renew(self) -> None:
        """The configuration was read again, and is the same: files that it names may be others.
        Raises EdgedError for one that cannot be used."""

    def take_over(self, before: object) -> None:
        """Before `start`: go on with what waits in `before`, which ends; a sink of this name."""

    def observe_cameras(self, streaming: Mapping[str, bool]) -> None:
        """Which cameras deliver pictures; told a few times a second. Never blocks."""

    def publish(self, result: Result) -> None:
        """Hand over a result. Never blocks and never raises: what does not fit is counted."""

    def publish_event(self, event: Event) -> None:
        """The same for an event, from another thread."""

    def close(self, timeout_seconds: float) -> None:
        """Deliver what is queued, but give up after the time-out. From then on all that was handed
        over is either delivered or dropped."""


def to_json(result: Result) -> dict[str, Any]:
    """The result as people and programs get it: milliseconds, rounded to microseconds.

    `latency_ms` is the sum of the stages as printed. `on_time` is decided before rounding.
    """
    stages_ms = {stage: round(ms, 3) for stage, ms in result.stages._asdict().items()}
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


def event_to_json(event: Event) -> dict[str, Any]:
    """The start of an event (`ended_at` is null), or its end. A snapshot comes as base64 text, and
    only where there is one."""
    ended_unix_ns, snapshot = event.ended_unix_ns, event.snapshot
    return {
        "event": event.name,
        "camera": event.camera,
        "state": "started" if ended_unix_ns is None else "ended",
        "started_at": rfc3339(event.started_unix_ns),
        "ended_at": None if ended_unix_ns is None else rfc3339(ended_unix_ns),
        "peak": round(event.peak, 3),
    } | ({} if snapshot is None else {"snapshot": b64encode(snapshot).decode()})


def to_json_line(entry: Result | Event) -> str:
    """For programs."""
    return _encode(to_json(entry) if isinstance(entry, Result) else event_to_json(entry))


def to_text(entry: Result | Event) -> str:
    """For a person at a terminal."""
    return _result_text(entry) if isinstance(entry, Result) else _event_text(entry)


def _event_text(event: Event) -> str:
    """What, where, since when, for how long, how sure."""
    begun = rfc3339(event.started_unix_ns)[11:21]
    if event.ended_unix_ns is None:
        return f"{begun}  {event.camera}  {event.name} begins"
    seconds = (event.ended_unix_ns - event.started_unix_ns) / 1e9
    return f"{begun}  {event.camera}  {event.name} was there for {seconds:.1f} s, {event.peak:.2f}"


def _result_text(result: Result) -> str:
    """When, which camera, how long it took, what ran, what it saw."""
    clock = rfc3339(result.captured_unix_ns)[11:21]
    late = "" if result.on_time else "  LATE"
    top = ", ".join(f"{each.label} {each.score:.2f}" for each in result.top) or "nothing sure"
    return (
        f"{clock}  {result.camera}  {result.latency_ms:5.1f} of {result.budget_ms:g} ms{late}  "
        f"{result.variant.name} ({result.reason})  {top}"
    )


def _jsonl(options: Mapping[str, Any]) -> Sink:
    from edged.sinks.jsonl.jsonl import Lines, open_lines

    config = options["config"]
    return Lines(open_lines(config.path), max_bytes=config.max_bytes, keep=config.keep)


def _mqtt(options: Mapping[str, Any]) -> Sink:
    from edged.control.profile_store import state_directory
    from edged.sinks.mqtt.messages import Rule
    from edged.sinks.mqtt.mqtt import Mqtt

    rules = {
        camera: tuple(Rule(*each) for each in rules) for camera, rules in options["cameras"].items()
    }
    directory = state_directory(os.environ)
    return Mqtt(options["config"], rules, None if directory is None else directory / "mqtt.json")


def _webhook(options: Mapping[str, Any]) -> Sink:
    from edged.sinks.webhook.webhook import Webhook

    return Webhook(options["config"])


SINKS: Mapping[str, Callable[[Mapping[str, Any]], Sink]] = {
    "jsonl": _jsonl,
    "mqtt": _mqtt,
    "webhook": _webhook,
}
"""By the name the configuration uses. A sink's module is imported only when it is configured."""

"""Ways out for results, behind one small protocol; one file and one line of the table each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edged.result import Event, Result


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

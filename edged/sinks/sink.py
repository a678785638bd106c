"""What every sink can do, and what a kind of sink brings: edged/sinks/options.py has the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edged.document.document import Document
from edged.document.problems import Formats
from edged.errors import InputError
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

    @property
    def broken_pipe(self) -> bool:
        """True when its reader has left for good (`| head`), with which the daemon ends."""

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


class Rule(NamedTuple):
    """Of events. device_class: Home Assistant's, None for none."""

    name: str
    snapshot: bool
    device_class: str | None = None


Rules = Mapping[str, tuple[Rule, ...]]
"""Camera → its event rules."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sink: a key of `results`, and the sinks that the values there ask for.

    Importing it imports nothing heavy: `make` does. What `parse` returns is its configuration:
    frozen, equal to another one that asks for the same.
    """

    schema: dict[str, Any]
    """Of the value. What stands under a key `…_file` is a path that the daemon must be able to
    read."""
    parse: Callable[[Any, Path], Any]
    """The value, right by the schema, and the folder where relative paths start. None: no sink."""
    make: Callable[[Any, Rules, Path | None], Sink]
    """Configuration, rules of events, folder for state. Raises EdgedError."""
    formats: Callable[[Path], Formats] = lambda base: {}
    """The checks of each `format` in the schema; relative paths start at `base`."""
    check: Callable[[Any, Document], Iterable[InputError]] = lambda config, document: ()
    """What the schema cannot tell."""
    warnings: Callable[[Any], Iterable[str]] = lambda config: ()
    """What is not wrong, but will surprise. One line each."""
    try_files: Callable[[Any], object] = lambda config: None
    """Raises EdgedError where files that it names cannot be used; `edged check` asks."""
    uses_rules: bool = False
    """Other rules of events make another sink."""
    words: tuple[str, ...] = ()
    """Other words for its key."""

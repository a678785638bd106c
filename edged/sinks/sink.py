"""Protocol of sinks, and what defines a kind of sink; edged/sinks/options.py has the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edged.document.document import Document
from edged.document.problems import Formats
from edged.errors import InputError
from edged.result import Event, Result
from edged.switches.switches import Switches


class Sink(Protocol):
    """Delivers results and events from its own bounded queue and thread."""

    observe_delivery: Callable[[float], None]
    """Called with the seconds from hand-over to delivery; assigned by the metrics."""

    @property
    def name(self) -> str:
        """The metric's label."""

    @property
    def delivered(self) -> int: ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Dropped results and events by reason; every reason is present from the start."""

    @property
    def alive(self) -> bool:
        """False if its thread has ended unexpectedly."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is delivered at present; None if nothing hinders it."""

    @property
    def broken_pipe(self) -> bool:
        """True when the reader of its pipe has gone (`| head`), upon which the daemon ends."""

    def start(self) -> None:
        """Start sending; the configuration is in force. Idempotent."""

    def renew(self) -> None:
        """Read the configuration's files again after a reload. Raises EdgedError for one that
        cannot be used."""

    def take_over(self, before: object) -> None:
        """Before `start`: take over the backlog of `before`, a sink of this name, and end it."""

    def observe_cameras(self, streaming: Mapping[str, bool]) -> None:
        """Called a few times a second with which cameras deliver pictures. Never blocks."""

    def observe_switches(self, switches: Switches) -> None:
        """The same with what is switched on and off, and once before `start`."""

    def publish(self, result: Result) -> None:
        """Queue a result. Never blocks and never raises; what does not fit counts as dropped."""

    def publish_event(self, event: Event) -> None:
        """The same for an event, from another thread than results."""

    def close(self, timeout_seconds: float) -> None:
        """Deliver what is queued until the time-out, then count the rest as dropped."""


class Rule(NamedTuple):
    """An event rule. device_class: Home Assistant's, or None."""

    name: str
    snapshot: bool
    device_class: str | None = None


Rules = Mapping[str, tuple[Rule, ...]]
"""View → its event rules."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sink: its key in `results`. Its options import nothing heavy; `make` does."""

    schema: dict[str, Any]
    """JSON Schema of the value. A key `…_file` names a file that the daemon must read."""
    parse: Callable[[Any, Path], Any]
    """(checked value, folder of relative paths) → a frozen configuration that compares by value;
    None for no sink."""
    make: Callable[[Any, Rules, Path | None], Sink]
    """(configuration, event rules, state folder) → sink. Raises EdgedError."""
    formats: Callable[[Path], Formats] = lambda base: {}
    """Checks of the schema's `format`s; relative paths start at `base`."""
    check: Callable[[Any, Document], Iterable[InputError]] = lambda config, document: ()
    """Errors that the schema cannot find."""
    warnings: Callable[[Any], Iterable[str]] = lambda config: ()
    """One line each."""
    try_files: Callable[[Any], object] = lambda config: None
    """For `edged check`: raises EdgedError for a file that cannot be used."""
    uses_rules: bool = False
    """Whether changed event rules need another sink."""
    words: tuple[str, ...] = ()
    """Misnomers of its key, for hints."""

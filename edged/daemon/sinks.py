"""The sinks of a configuration, and which of them a reload keeps."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edged.config.config import Config
from edged.sinks.sink import Kind, Rule, Rules, Sink
from edged.state import state_directory

log = logging.getLogger("edged")


@dataclass(frozen=True, slots=True)
class OpenSink:
    sink: Sink
    made_from: tuple[Any, Rules]

    def close(self, seconds: float) -> None:
        """Close after sending what is queued, within `seconds`."""
        self.sink.close(seconds)
        if lost := self.sink.dropped.get("closed"):
            log.warning("%s: %d results and events were not delivered", self.sink.name, lost)


def open_sinks(
    config: Config, kinds: Mapping[str, Kind], before: Mapping[str, OpenSink]
) -> Iterator[tuple[str, OpenSink]]:
    """Yields (name, sink), not started; unchanged sinks of `before` are kept. Raises EdgedError if
    one cannot be opened; those yielded before stay open.
    """
    rules = _rules(config)
    for name, own in config.results.sinks.items():
        kind, old = kinds[name], before.get(name)
        made_from = own, rules if kind.uses_rules else {}
        if old is not None and old.made_from == made_from:
            old.sink.renew()
            yield name, old
        else:
            yield name, OpenSink(kind.make(*made_from, state_directory(os.environ)), made_from)


def take_over(sinks: Mapping[str, OpenSink], before: Mapping[str, OpenSink]) -> None:
    """Hand what is queued in `before` to the sinks that replace them."""
    for name, old in before.items():
        new = sinks.get(name)
        if new is not None and new is not old:
            new.sink.take_over(old.sink)


def _rules(config: Config) -> Rules:
    return {
        view.id: tuple(
            Rule(rule.name, rule.snapshot, rule.device_class)
            for rule in config.events
            if view.id in rule.views
        )
        for view in config.views
    }

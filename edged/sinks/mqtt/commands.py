"""Commands from the broker: ON, OFF and `snooze MINUTES`, each to the topic of what it switches."""

from __future__ import annotations

import logging
import re

from edged.clock import Clock
from edged.errors import InputError
from edged.printable import printable
from edged.secret import redact
from edged.sinks.mqtt.messages import switchable
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rules
from edged.switches.switch import State
from edged.switches.switches import Switches

TELL_SECONDS = 60.0
"""Invalid commands get a line of the log this often at most."""
ORIGIN = "mqtt"
_SNOOZE = re.compile(r"snooze +(\d{1,9})", re.IGNORECASE | re.ASCII)


class Commands:
    """For the sink's thread."""

    def __init__(self, config: MqttConfig, rules: Rules, log: logging.Logger, clock: Clock) -> None:
        topics = switchable(config, rules) if config.commands else {}
        self.targets = {f"{topic}/set": target for topic, target in topics.items()}
        """By topic."""
        self._log = log
        self._clock = clock
        self._told_ns: int | None = None
        self._untold = 0
        self._retained: set[str] = set()
        """Topics of which it was told that their retained message is ignored."""

    def obey(self, topic: str, payload: bytes, retained: bool, switches: Switches) -> None:
        if not payload:  # it clears a retained message
            return
        if retained:
            if topic not in self._retained:
                self._retained.add(topic)
                what = "mqtt: %s: a retained message is no command, ignored; send it without retain"
                self._log.warning(what, topic)
            return
        try:
            state, minutes = _parsed(payload)
            switches.change(self.targets[topic], state, ORIGIN, minutes)
        except InputError as error:
            self._tell(topic, error)

    def _tell(self, topic: str, error: InputError) -> None:
        now_ns = self._clock()
        if self._told_ns is not None and now_ns - self._told_ns < TELL_SECONDS * 1e9:
            self._untold += 1
            return
        more = f" (and {self._untold} more before it)" if self._untold else ""
        self._log.warning("mqtt: %s: ignored: %s%s", topic, error, more)
        self._told_ns, self._untold = now_ns, 0


def _parsed(payload: bytes) -> tuple[State, int | None]:
    text = payload[:200].decode(errors="replace").strip()
    found = _SNOOZE.fullmatch(text)
    if found is not None:
        return State.SNOOZED, int(found[1])
    if text.upper() in ("ON", "OFF"):
        return State(text.lower()), None
    got = repr(printable(redact(text), 60))
    raise InputError("expected ON, OFF or snooze MINUTES", got=got)

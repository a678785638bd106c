"""Results and events as MQTT messages, without a connection. Times are monotonic nanoseconds.

TOPIC/DEVICE/status                       online or offline (retained)
TOPIC/DEVICE/CAMERA/status                online while it delivers pictures, else offline (retained)
TOPIC/DEVICE/CAMERA/result                every result
TOPIC/DEVICE/CAMERA/state                 at most one per state_seconds (retained)
TOPIC/DEVICE/CAMERA/event/NAME            start and end (retained)
TOPIC/DEVICE/CAMERA/event/NAME/snapshot   JPEG of the start (retained)
TOPIC/DEVICE/CAMERA/switch                whether it counts: on, off, snoozed, hours (retained)
TOPIC/DEVICE/CAMERA/event/NAME/switch     the same of an event rule (retained)
…/set beside …/switch                     commands, which commands.py reads

A camera with views of its own has result, state, event and switch once a view, under
TOPIC/DEVICE/CAMERA/VIEW; its status and the switches of event rules stay where they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from edged.clock import rfc3339
from edged.result import Event, Result, encode, event_to_json, to_json_line
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rule, Rules
from edged.switches.switch import Kind, Switch, Switched, Target
from edged.view import camera_of

_SHARE_SECONDS = 60
"""Window of the share on time; at least the time since the last state."""


@dataclass(frozen=True, slots=True)
class Message:
    """put_ns: hand-over of its result or event; None if each connection creates it again. entry:
    the result or event that it delivers. losses: connections lost with it in flight.
    """

    topic: str
    payload: bytes
    retain: bool = False
    put_ns: int | None = None
    entry: Result | Event | None = None
    losses: int = 0

    @property
    def counts(self) -> bool:
        return self.entry is not None

    @property
    def is_picture(self) -> bool:
        """A snapshot; its event is counted, not this message."""
        return self.entry is None and self.put_ns is not None


@dataclass(slots=True)
class _ViewState:
    """counts: [results, late ones] between two states, the current last."""

    latest: Result | None = None
    sent_ns: int | None = None
    is_new: bool = False
    counts: deque[list[int]] = field(default_factory=lambda: deque([[0, 0]]))


class Messages:
    """Creates the messages. For the sink's thread."""

    def __init__(self, config: MqttConfig, rules: Rules) -> None:
        self._root = root_of(config)
        self._send_results = config.results
        self._state_ns = int(config.state_seconds * 1e9)
        self._most_counts = max(1, round(_SHARE_SECONDS / config.state_seconds))
        self._online = dict.fromkeys(map(camera_of, rules), False)
        """By camera."""
        self._kept = {
            *(camera_status_topic(self._root, camera) for camera in self._online),
            *(f"{self._root}/{view}/{what}" for view in rules for what in _kept(rules[view])),
        }
        self._targets = switchable(config, rules)
        self._kept |= {f"{topic}/switch" for topic in self._targets}
        self._switched: dict[str, Switch] = {}
        """What was told last, by topic."""
        self._views = {view: _ViewState() for view in rules}
        # Events of an earlier run have ended.
        self._events = {
            (view, rule.name): Event(view, rule.name, 0, 0, 0.0)
            for view, rules_of in rules.items()
            for rule in rules_of
        }

    def take_over(self, before: Messages) -> None:
        """Continue with the states of cameras, views and events that both have."""
        self._events |= {key: before._events[key] for key in self._events if key in before._events}
        self._views |= {key: before._views[key] for key in self._views if key in before._views}
        self._online |= {key: before._online[key] for key in self._online if key in before._online}
        told = before._switched.items()
        self._switched = {topic: switch for topic, switch in told if topic in self._targets}

    def of(self, entry: Result | Event, put_ns: int) -> list[Message]:
        return (
            self._of_event(entry, put_ns) if isinstance(entry, Event) else self._of(entry, put_ns)
        )

    def _of(self, result: Result, put_ns: int) -> list[Message]:
        payload = to_json_line(result).encode()  # ValueError for NaN
        state = self._views.get(result.view)
        if state is not None:
            state.latest, state.is_new = result, True
            state.counts[-1][0] += 1
            state.counts[-1][1] += not result.on_time
        if not self._send_results:
            return []
        topic = f"{self._root}/{result.view}/result"
        return [Message(topic, payload, put_ns=put_ns, entry=result)]

    def _of_event(self, event: Event, put_ns: int) -> list[Message]:
        """The snapshot comes first, so that it is there when a receiver acts on the event."""
        message = self._event_message(event)
        if message.retain:
            self._events[event.view, event.name] = replace(event, snapshot=None)
        messages = [replace(message, put_ns=put_ns, entry=event)]
        if event.snapshot is not None:
            picture = f"{message.topic}/snapshot"
            retain = picture in self._kept
            messages.insert(0, Message(picture, event.snapshot, retain=retain, put_ns=put_ns))
        return messages

    def _event_message(self, event: Event) -> Message:
        payload = event_to_json(replace(event, snapshot=None))
        if not event.started_unix_ns:
            payload |= {"started_at": None, "ended_at": None}
        topic = f"{self._root}/{event.view}/event/{event.name}"
        return Message(topic, encode(payload).encode(), retain=topic in self._kept)

    def due(self, now_ns: int) -> Iterator[Message]:
        """New states of views whose last one is state_seconds old."""
        for view, state in self._views.items():
            if state.is_new and self._due_ns(state) <= now_ns:
                yield self._state_message(view, state)
                state.sent_ns, state.is_new = now_ns, False
                state.counts.append([0, 0])
                if len(state.counts) > self._most_counts:
                    state.counts.popleft()

    def statuses(self, streaming: Mapping[str, bool]) -> Iterator[Message]:
        """Status of each camera whose status has changed since the last call."""
        for camera, online in self._online.items():
            if streaming.get(camera, False) != online:
                self._online[camera] = not online
                yield self._status_message(camera)

    def switched(self, states: Switched) -> Iterator[Message]:
        """Switches that have changed since the last call."""
        for topic, target in self._targets.items():
            switch = states.get(target)
            if switch is not None and switch != self._switched.get(topic):
                self._switched[topic] = switch
                yield self._switch_message(topic)

    def next_due_ns(self) -> int | None:
        """When `due` will next yield a message without a new result; None if never."""
        return min(
            (self._due_ns(state) for state in self._views.values() if state.is_new), default=None
        )

    def _due_ns(self, state: _ViewState) -> int:
        return 0 if state.sent_ns is None else state.sent_ns + self._state_ns

    def all_retained(self) -> list[Message]:
        """All retained messages, for a broker that may have lost them."""
        states = [
            self._state_message(view, state)
            for view, state in self._views.items()
            if state.latest is not None
        ]
        events = [self._event_message(event) for event in self._events.values()]
        switches = map(self._switch_message, self._switched)
        return [*map(self._status_message, self._online), *switches, *events, *states]

    def left_over(self, topic: str) -> list[Message]:
        """Messages that clear this topic, one of `kept_topics`, and its snapshot, unless a present
        camera, view or event uses it."""
        beside = [f"{topic}/snapshot"] if topic.split("/")[-2] == "event" else []
        return [
            Message(each, b"", retain=True) for each in (topic, *beside) if each not in self._kept
        ]

    def _status_message(self, camera: str) -> Message:
        payload = b"online" if self._online[camera] else b"offline"
        return Message(camera_status_topic(self._root, camera), payload, retain=True)

    def _switch_message(self, topic: str) -> Message:
        payload = encode(self._switched[topic].told()).encode()
        return Message(f"{topic}/switch", payload, retain=True)

    def _state_message(self, view: str, state: _ViewState) -> Message:
        result = state.latest
        assert result is not None
        results, late = (sum(column) for column in zip(*state.counts, strict=True))
        top = result.top[0] if result.top else None
        payload = {
            "captured_at": rfc3339(result.captured_unix_ns),
            "class": None if top is None else top.label,
            "score": None if top is None else round(top.score, 3),
            "variant": result.variant.name,
            "reason": result.reason,
            "latency_ms": round(result.latency_ms, 1),
            "budget_ms": round(result.budget_ms, 3),
            "on_time_percent": round(100 * (results - late) / results, 1) if results else None,
        }
        return Message(f"{self._root}/{view}/state", encode(payload).encode(), retain=True)


def _kept(rules: tuple[Rule, ...]) -> Iterator[str]:
    yield "state"
    for rule in rules:
        yield f"event/{rule.name}"
        if rule.snapshot:
            yield f"event/{rule.name}/snapshot"


def kept_topics(config: MqttConfig) -> tuple[str, ...]:
    """Filters for retained messages of this device's cameras and views. Snapshots are large and not
    read: their topics follow from those of the events."""
    kept = (
        *("+/status", "+/state", "+/event/+", "+/+/state", "+/+/event/+"),
        *("+/switch", "+/+/switch", "+/event/+/switch"),
    )
    return tuple(f"{root_of(config)}/{each}" for each in kept)


def switchable(config: MqttConfig, rules: Rules) -> dict[str, Target]:
    """What is switched, by topic, below which are `switch` and `set`. An event rule has one at each
    of its cameras."""
    root = root_of(config)
    views = {f"{root}/{view}": Target(Kind.VIEW, view) for view in rules}
    events = {
        f"{root}/{camera_of(view)}/event/{rule.name}": Target(Kind.EVENT, rule.name)
        for view in rules
        for rule in rules[view]
    }
    return views | events


def camera_status_topic(root: str, camera: str) -> str:
    return f"{root}/{camera}/status"


def root_of(config: MqttConfig) -> str:
    return f"{config.topic}/{config.device}"


def status_topic(config: MqttConfig) -> str:
    return f"{root_of(config)}/status"

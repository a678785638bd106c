"""Configuration of events. events.py checks the classes, once the family is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edged.document.document import Document
from edged.document.parts import HOURS, key, section
from edged.errors import InputError
from edged.hours import Period, hours_of

BELOW_SHARE = 2 / 3
"""Default of `below`, as a share of `above`."""
DEVICE_CLASSES = (
    *("battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door"),
    *("garage_door", "gas", "heat", "light", "lock", "moisture", "motion", "moving", "occupancy"),
    *("opening", "plug", "power", "presence", "problem", "running", "safety", "smoke", "sound"),
    *("tamper", "update", "vibration", "window"),
)
"""Home Assistant's binary sensors: https://www.home-assistant.io/integrations/binary_sensor/"""
MOST_EVENTS = 16
"""Each rule adds two series of metrics per view, which must have less than 200."""

_EVENT_SECONDS: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 3600}
_SHARE: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}

_HINTS = {
    **dict.fromkeys(("label", "object", "name"), "class"),
    **dict.fromkeys(("labels", "objects", "names"), "classes"),
    **dict.fromkeys(("threshold", "min_score", "score", "confidence"), "above"),
    **dict.fromkeys(("camera", "view", "views"), "cameras"),
    **dict.fromkeys(("duration", "after_seconds", "for"), "for_seconds"),
    **dict.fromkeys(("picture", "image"), "snapshot"),
    **dict.fromkeys(("schedule", "when", "active", "times"), "hours"),
}

EVENT = section(
    [],
    _HINTS,
    **{
        "class": key(
            "Class", "Label of the class.", "person", "golf ball", type="string", minLength=1
        )
    },
    classes=key(
        "Classes",
        "Instead of class: labels of a group, whose scores are added.",
        ["church", "garbage truck"],
        type="array",
        items={"type": "string", "minLength": 1},
        minItems=1,
        uniqueItems=True,
    ),
    cameras=key(
        "Cameras",
        "Cameras to watch, each with all its views, and single views, such as yard/gate. Default: "
        "all.",
        ["door"],
        ["door", "yard/gate"],
        type="array",
        items={"type": "string"},
        minItems=1,
        uniqueItems=True,
    ),
    above=key(
        "Present above",
        "Smoothed score at or above which the class counts as present.",
        0.6,
        default=0.6,
        **_SHARE,
    ),
    below=key(
        "Gone below",
        "Smoothed score below which the class counts as gone. Default: two thirds of `above`.",
        0.4,
        **_SHARE,
    ),
    for_seconds=key(
        "For (seconds)",
        "How long the class must be present before the event starts.",
        1,
        default=1,
        **_EVENT_SECONDS,
    ),
    gone_seconds=key(
        "Gone (seconds)",
        "How long the class must be gone before the event ends.",
        3,
        default=3,
        **_EVENT_SECONDS,
    ),
    smooth_seconds=key(
        "Smoothing (seconds)",
        "Time constant of the exponential smoothing of scores; 0 disables it.",
        0.5,
        default=0.5,
        **_EVENT_SECONDS,
    ),
    snapshot=key(
        "Snapshot",
        "Attach a JPEG of the frame to the start of the event.",
        True,
        type="boolean",
        default=False,
    ),
    device_class=key(
        "Device class",
        "Device class in Home Assistant, such as occupancy. Default: a plain on/off sensor.",
        "occupancy",
        enum=list(DEVICE_CLASSES),
    ),
    hours=HOURS,
) | {
    "title": "Event",
    "description": "Starts when a class, or one of a group, becomes present in a view.",
    "oneOf": [{"required": ["class"]}, {"required": ["classes"]}],
    "examples": [{"class": "person"}],
}


@dataclass(frozen=True, slots=True)
class EventConfig:
    """An event rule. classes: their scores are added. views: ids of those it watches. above,
    below: thresholds of the smoothed score. smooth_seconds: time constant, 0 for none. hours: when
    it counts, empty for always. where: file, line and key of the classes.
    """

    name: str
    classes: tuple[str, ...]
    views: tuple[str, ...]
    above: float
    below: float
    for_seconds: float
    gone_seconds: float
    smooth_seconds: float
    snapshot: bool = False
    device_class: str | None = None
    hours: tuple[Period, ...] = ()
    where: str = field(default="", compare=False)


def events_of(
    data: Mapping[str, Any], views: Mapping[str, Sequence[str]], document: Document
) -> tuple[EventConfig, ...]:
    """data: the section `events`, checked. views: ids by camera."""
    return tuple(_event(name, own, views, document) for name, own in data.items())


def _event(
    name: str, own: Mapping[str, Any], views: Mapping[str, Sequence[str]], document: Document
) -> EventConfig:
    key = "class" if "class" in own else "classes"
    above = own["above"]
    line = document.line("events", name, key)
    known = _watchable(views)
    return EventConfig(
        name=name,
        classes=(own["class"],) if key == "class" else tuple(own["classes"]),
        views=tuple(
            dict.fromkeys(id for each in own.get("cameras", views) for id in known.get(each, ()))
        ),
        above=above,
        below=own.get("below", above * BELOW_SHARE),
        for_seconds=own["for_seconds"],
        gone_seconds=own["gone_seconds"],
        smooth_seconds=own["smooth_seconds"],
        snapshot=own["snapshot"],
        device_class=own.get("device_class"),
        hours=hours_of(own),
        where=f"{document.path}:{line}: events.{name}.{key}",
    )


def _watchable(views: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Ids of the views that a name in `cameras` stands for."""
    return {**{id: (id,) for ids in views.values() for id in ids}, **views}


def event_errors(
    data: Mapping[str, Any],
    events: Iterable[EventConfig],
    views: Mapping[str, Sequence[str]],
    sound: Collection[str],
    document: Document,
) -> Iterator[InputError]:
    """events: what `events_of` made of data and views. sound: names of cameras and views without
    errors, to suggest: others may be part of a password.
    """
    known = _watchable(views)
    for event in events:
        keys = "events", event.name
        for index, name in enumerate(data[event.name].get("cameras", ())):
            if name not in known:
                what = f"no such {'view' if '/' in name else 'camera'}"
                place = (*keys, "cameras", index)
                yield document.error(what, *place, got=name, fix=nearest(name, sound))
        if event.below > event.above:
            what = f"expected at most {event.above:g}, the value of `above`"
            yield document.error(what, *keys, "below", got=f"{event.below:g}")


def nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    few = list(known)[:10]
    return f"use one of {', '.join(few)}" + (" …" if len(known) > len(few) else "")

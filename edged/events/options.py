"""What the configuration says of events.

Knows the names of cameras; which classes there are is known only to who loads the family
(edged/events/events.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edged.document.document import Document
from edged.document.parts import key, section
from edged.errors import InputError

BELOW_SHARE = 2 / 3
"""Of `above`, where `below` is not stated."""


DEVICE_CLASSES = (
    *("battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door"),
    *("garage_door", "gas", "heat", "light", "lock", "moisture", "motion", "moving", "occupancy"),
    *("opening", "plug", "power", "presence", "problem", "running", "safety", "smoke", "sound"),
    *("tamper", "update", "vibration", "window"),
)
"""Of Home Assistant's binary sensors: https://www.home-assistant.io/integrations/binary_sensor/"""
MOST_EVENTS = 16
"""Rules; each has two series of metrics a camera, which has no more than 200."""

_EVENT_SECONDS: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 3600}
_SHARE: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}

_HINTS = {
    **dict.fromkeys(("label", "object", "name"), "class"),
    **dict.fromkeys(("labels", "objects", "names"), "classes"),
    **dict.fromkeys(("threshold", "min_score", "score", "confidence"), "above"),
    **dict.fromkeys(("camera",), "cameras"),
    **dict.fromkeys(("duration", "after_seconds", "for"), "for_seconds"),
    **dict.fromkeys(("picture", "image"), "snapshot"),
}

EVENT = section(
    [],
    _HINTS,
    **{
        "class": key(
            "Class", "Its label in the family.", "person", "golf ball", type="string", minLength=1
        )
    },
    classes=key(
        "Classes",
        "Instead of class: labels of a group, whose scores are added up.",
        ["church", "garbage truck"],
        type="array",
        items={"type": "string", "minLength": 1},
        minItems=1,
        uniqueItems=True,
    ),
    cameras=key(
        "Cameras",
        "Names of those that are watched. Without it all.",
        ["door"],
        type="array",
        items={"type": "string"},
        minItems=1,
        uniqueItems=True,
    ),
    above=key(
        "Present above",
        "The smoothed score from which on the class counts as present.",
        0.6,
        default=0.6,
        **_SHARE,
    ),
    below=key(
        "Gone below",
        "The smoothed score below which it counts as gone. Without it two thirds of `above`.",
        0.4,
        **_SHARE,
    ),
    for_seconds=key(
        "For (seconds)",
        "How long the score must have stayed there before an event begins.",
        1,
        default=1,
        **_EVENT_SECONDS,
    ),
    gone_seconds=key(
        "Gone (seconds)",
        "How long it must have stayed away before the event ends.",
        3,
        default=3,
        **_EVENT_SECONDS,
    ),
    smooth_seconds=key(
        "Smoothing (seconds)",
        "Time constant of the score's exponential mean; 0 for none.",
        0.5,
        default=0.5,
        **_EVENT_SECONDS,
    ),
    snapshot=key(
        "Snapshot",
        "The start of an event comes with a JPEG picture of what the network saw.",
        True,
        type="boolean",
        default=False,
    ),
    device_class=key(
        "Device class",
        "What Home Assistant shows the event as, such as occupancy. Without it as on or off.",
        "occupancy",
        enum=list(DEVICE_CLASSES),
    ),
) | {
    "title": "Event",
    "description": "When a class, or one of a group, counts as present before a camera.",
    "oneOf": [{"required": ["class"]}, {"required": ["classes"]}],
    "examples": [{"class": "person"}],
}


@dataclass(frozen=True, slots=True)
class EventConfig:
    """When classes count as present.

    classes: a group, whose scores add up. cameras: names. above, below: thresholds of the smoothed
    score. smooth_seconds: time constant, 0 for none. device_class: Home Assistant's, None for none.
    where: file, line and key of the classes.
    """

    name: str
    classes: tuple[str, ...]
    cameras: tuple[str, ...]
    above: float
    below: float
    for_seconds: float
    gone_seconds: float
    smooth_seconds: float
    snapshot: bool = False
    device_class: str | None = None
    where: str = field(default="", compare=False)


def events_of(
    data: Mapping[str, Any], cameras: Collection[str], document: Document
) -> tuple[EventConfig, ...]:
    """data: what stands under `events`."""
    return tuple(_event(name, own, cameras, document) for name, own in data.items())


def _event(
    name: str, own: Mapping[str, Any], cameras: Collection[str], document: Document
) -> EventConfig:
    key = "class" if "class" in own else "classes"
    above = own["above"]
    line = document.line("events", name, key)
    return EventConfig(
        name=name,
        classes=(own["class"],) if key == "class" else tuple(own["classes"]),
        cameras=tuple(own.get("cameras", cameras)),
        above=above,
        below=own.get("below", above * BELOW_SHARE),
        for_seconds=own["for_seconds"],
        gone_seconds=own["gone_seconds"],
        smooth_seconds=own["smooth_seconds"],
        snapshot=own["snapshot"],
        device_class=own.get("device_class"),
        where=f"{document.path}:{line}: events.{name}.{key}",
    )


def event_errors(
    events: Iterable[EventConfig],
    cameras: Collection[str],
    sound: Collection[str],
    document: Document,
) -> Iterator[InputError]:
    """cameras: all names that stand in the file. sound: those of cameras without a mistake."""
    for event in events:
        keys = "events", event.name
        for index, camera in enumerate(event.cameras):
            if camera not in cameras:
                fix = nearest(camera, sound)
                place = (*keys, "cameras", index)
                yield document.error("no such camera", *place, got=camera, fix=fix)
        if event.below > event.above:
            what = f"expected at most {event.above:g}, which is `above`"
            yield document.error(what, *keys, "below", got=f"{event.below:g}")


def nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    few = list(known)[:10]
    return f"there are {', '.join(few)}" + (" …" if len(known) > len(few) else "")

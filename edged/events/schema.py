"""A rule of events: which classes, and when they count as present."""

from __future__ import annotations

from typing import Any

from edged.document.parts import key, section

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

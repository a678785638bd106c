"""Building blocks of the schema."""

from __future__ import annotations

from typing import Any

from edged.hours import PERIOD

BUDGET_MS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 60_000}
ON_TIME: dict[str, Any] = {"type": "number", "minimum": 0.5, "maximum": 0.999}
FPS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 240}
FILE: dict[str, Any] = {"type": "string", "minLength": 1, "format": "path"}
SECRET: dict[str, Any] = {"type": "string", "minLength": 1, "writeOnly": True}
"""No message shows a writeOnly value (edged/document/quoting.py): it is a secret, may contain one,
or is where people write one by mistake."""
TOP1: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
GOAL: dict[str, Any] = {
    "enum": ["accuracy", "power"],
    "x-hints": {
        **dict.fromkeys(("energy", "battery", "efficiency", "eco", "low"), "did you mean power?"),
        **dict.fromkeys(("quality", "best", "precision"), "did you mean accuracy?"),
    },
}
GIVE_UP: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 0.5}
MODEL: dict[str, Any] = {"type": "string", "minLength": 1}
VARIANTS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "format": "variant"},
    "minItems": 1,
    "uniqueItems": True,
}
NAME: dict[str, Any] = {
    "pattern": "^[a-z][a-z0-9_-]{0,31}$",
    "patternErrorMessage": "a lower-case letter, then lower-case letters, digits, _ or -, "
    "32 at most",
}


def key(title: str, description: str, *examples: object, **rules: Any) -> dict[str, Any]:
    return {"title": title, "description": description, **rules, "examples": list(examples)}


HOURS = key(
    "Hours",
    "When it counts, in local time: a period of the day, before it the days on which it begins "
    "(Mo, Tu, We, Th, Fr, Sa, Su) if these are not all, or a list of periods. A period may go over "
    "midnight. Outside its hours it is as if switched off. Default: always.",
    "07:00-19:00",
    "Mo-Fr 22:00-06:00",
    ["Mo-Fr 07:00-19:00", "Sa,Su 09:00-13:00"],
    **PERIOD | {"type": ["string", "array"]},
    items=PERIOD,
    minItems=1,
    maxItems=16,
)
"""What `hours_of` reads."""


def section(
    required: list[str], hints: dict[str, str] | None = None, /, **keys: dict[str, Any]
) -> dict[str, Any]:
    """hints: other names of a key, and advice about keys that belong elsewhere or are not
    allowed together."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": keys,
        "x-hints": hints or {},
    }

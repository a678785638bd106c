"""What sections and keys of the schema are made of."""

from __future__ import annotations

from typing import Any

BUDGET_MS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 60_000}
ON_TIME: dict[str, Any] = {"type": "number", "minimum": 0.5, "maximum": 0.999}
FPS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 240}
FILE: dict[str, Any] = {"type": "string", "minLength": 1, "format": "path"}
SECRET: dict[str, Any] = {"type": "string", "minLength": 1, "writeOnly": True}
"""writeOnly is what no message shows (edged/document/quoting.py): what is a secret, may have one in
it, or stands where one is written by mistake."""
TOP1: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}


def key(title: str, description: str, *examples: object, **rules: Any) -> dict[str, Any]:
    return {"title": title, "description": description, **rules, "examples": list(examples)}


def section(
    required: list[str], hints: dict[str, str] | None = None, /, **keys: dict[str, Any]
) -> dict[str, Any]:
    """hints: other words for a key, and what to do about keys that belong elsewhere."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": keys,
        "x-hints": hints or {},
    }

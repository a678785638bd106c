"""Building blocks of the schema."""

from __future__ import annotations

from typing import Any

BUDGET_MS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 60_000}
ON_TIME: dict[str, Any] = {"type": "number", "minimum": 0.5, "maximum": 0.999}
FPS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 240}
FILE: dict[str, Any] = {"type": "string", "minLength": 1, "format": "path"}
SECRET: dict[str, Any] = {"type": "string", "minLength": 1, "writeOnly": True}
"""No message shows a writeOnly value (edged/document/quoting.py): it is a secret, may contain one,
or is where people write one by mistake."""
TOP1: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}


def key(title: str, description: str, *examples: object, **rules: Any) -> dict[str, Any]:
    return {"title": title, "description": description, **rules, "examples": list(examples)}


def section(
    required: list[str], hints: dict[str, str] | None = None, /, **keys: dict[str, Any]
) -> dict[str, Any]:
    """hints: other names of a key, and advice about keys that belong elsewhere."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": keys,
        "x-hints": hints or {},
    }

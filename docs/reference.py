"""What the schema says of each key, for configuration.md and for the manual page edged.yaml(5).

Texts have values in `backticks`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_KINDS = {
    "array": "list",
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "number": "number",
    "object": "section",
    "string": "text",
}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}


class Key(NamedTuple):
    """facts: what its value must be, and its default."""

    name: str
    facts: str
    meaning: str
    examples: list[str]


class Section(NamedTuple):
    """path: as in `http.tls`; empty at the top level."""

    path: str
    keys: list[Key]


def sections(schema: Mapping[str, Any], path: str = "") -> Iterator[Section]:
    """A section for each object of the schema, each before those within it."""
    required = schema.get("required", ())
    yield Section(
        path, [_key(name, key, name in required) for name, key in schema["properties"].items()]
    )
    for name, key in schema["properties"].items():
        within = f"{path}.{name}" if path else name
        values = key.get("additionalProperties") or {}
        if "properties" in key:
            yield from sections(key, within)
        elif isinstance(values, Mapping) and "properties" in values:
            yield from sections(values, f"{within}.NAME")


def _key(name: str, key: Mapping[str, Any], required: bool) -> Key:
    facts = [fact for fact in (*_facts(key), "required" if required else "") if fact]
    examples = [_yaml(each) for each in key.get("examples", ())]
    return Key(name, "; ".join(facts), f"{key['title']}. {key['description']}", examples)


def _facts(key: Mapping[str, Any]) -> Iterator[str]:
    """What a value must be, its default, and whether messages hide it."""
    if "enum" in key:
        yield "one of " + ", ".join(dict.fromkeys(f"`{_yaml(each)}`" for each in key["enum"]))
    else:
        kinds = key.get("type", "string")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        said = [f"{word} {key[rule]:.12g}" for rule, word in _BOUNDS.items() if rule in key]
        yield ", ".join((" or ".join(_KINDS[kind] for kind in kinds), *said))
        if "patternErrorMessage" in key:
            yield key["patternErrorMessage"]
    if "default" in key:
        yield f"default `{_yaml(key['default'])}`"
    if key.get("writeOnly"):
        yield "not shown in messages"


def _yaml(value: object) -> str:
    """On one line, as it may stand in the configuration."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return value if isinstance(value, str) and value != "-" else json.dumps(value)

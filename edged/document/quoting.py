"""Decides what a message may show of a document.

A value is shown unless it may contain a secret: it is `writeOnly`, or a section with such a key
(people write the value there by mistake), or below either, or unknown to the schema. A key is
shown unless it may be part of such a value: inside braces, text after a comma becomes a key.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from edged.printable import printable
from edged.secret import MASK, redact

Keys: TypeAlias = "tuple[str | int, ...]"
Schema: TypeAlias = Mapping[str, Any]

LONGEST_SHOWN = 60
HIDDEN_KEY = "unknown key (hidden, as it may be part of a password)"

_WORD = re.compile(r"[\w .-]{1,40}")
_ADDRESS = re.compile(r"[@:]|//")


@dataclass(frozen=True, slots=True)
class Quoting:
    """For one document. hidden: places of keys that are not shown."""

    schema: Schema
    hidden: set[Keys] = field(default_factory=set)

    def value(self, keys: Keys, value: object) -> str | None:
        """The value as a message shows it; None if it may be a secret."""
        if isinstance(value, (list, dict, bool, type(None))):
            return shown(value)
        return shown(value) if self.shows_values_at(keys) and not _is_address(str(value)) else None

    def text(self, keys: Keys, text: object) -> str | None:
        """The `got` of a check, which may contain the value; None if that may be a secret."""
        if not self.shows_values_at(keys) or _is_address(str(text)):
            return None
        return printable(redact(str(text)), 200)

    def path(self, keys: Keys) -> str:
        """`cameras.door.rotate: `, `threads[1]: `, and nothing for the whole document."""
        path, described = "", self.schema
        for length, key in enumerate(keys, 1):
            if keys[:length] in self.hidden or not _may_hold(described, key):
                path += f".{MASK}"
                break
            if isinstance(key, int):
                path += f"[{key}]"
            else:
                path += "." + (key if re.fullmatch(r"[\w-]+", key) else shown(key))
            inner = _inner(described, key)
            if inner is None or inner.get("writeOnly"):
                break
            described = inner
        return f"{path.removeprefix('.')}: " if path else ""

    def shows_values_at(self, keys: Keys) -> bool:
        described = self.schema
        for key in keys:
            inner = _inner(described, key)
            if inner is None or inner.get("writeOnly"):
                return False
            described = inner
        return not _holds_secret(described)

    def judge_key(self, place: Keys, *, braces: bool, bare: bool, follows_secret: bool) -> None:
        """Hide the key at `place` if it may be part of a value.

        braces: it is inside `{…}`. bare: it has no value. follows_secret: an unquoted value that is
        not shown precedes it in the braces.
        """
        holder: Schema | None = self.schema
        for each in place[:-1]:
            holder = None if holder is None else _inner(holder, each)
        key = str(place[-1])
        known = {} if holder is None else {**hints(holder), **holder.get("properties", {})}
        if key in known:
            return
        if braces:
            misspelt = not bare and difflib.get_close_matches(key[:LONGEST_SHOWN], known, n=1)
            named = holder is not None and isinstance(holder.get("additionalProperties"), Mapping)
            odd = not _WORD.fullmatch(key) or (not named and _holds_secret(holder or {}))
            hide = not misspelt and (bare or follows_secret or odd)
        else:
            hide = len(key) > LONGEST_SHOWN or _ADDRESS.search(key) is not None
        if hide:
            self.hidden.add(place)


def hints(schema: Schema) -> Mapping[str, str]:
    """Advice about unknown words, such as other programs' keys: the right word, or a sentence."""
    found: Mapping[str, str] = schema.get("x-hints", {})
    return found


def _inner(schema: Schema, key: str | int) -> Schema | None:
    """The schema of a key or item; None for an unknown key."""
    if not _may_hold(schema, key):
        return None
    if isinstance(key, int):
        items = schema.get("items", {})
        return items if isinstance(items, Mapping) else {}
    if key in schema.get("properties", {}):
        known: Schema = schema["properties"][key]
        return known
    others = schema.get("additionalProperties", {})
    if isinstance(others, Mapping):
        return others
    return {} if any(re.search(each, key) for each in schema.get("patternProperties", {})) else None


def _may_hold(schema: Schema, key: str | int) -> bool:
    """Whether the schema allows keys, or items for an index."""
    return ("array" if isinstance(key, int) else "object") in schema.get("type", "array, object")


def _is_address(text: str) -> bool:
    """Whether it may contain a login, perhaps in the wrong place."""
    return "://" in text or (":" in text and "@" in text)


def _holds_secret(schema: Schema) -> bool:
    inner = [*schema.get("properties", {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    return bool(schema.get("writeOnly")) or any(
        _holds_secret(each) for each in inner if isinstance(each, Mapping)
    )


def shown(value: object) -> str:
    """A value that is not secret: short, on one line, without the content of lists and mappings."""
    if isinstance(value, str):
        text = redact(value)
        return repr(text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…")
    if isinstance(value, (list, dict)):
        kind = "list" if isinstance(value, list) else "mapping"
        return f"a {kind}" if value else f"an empty {kind}"
    return "nothing" if value is None else json.dumps(value)


def kind(value: object) -> str:
    """The type of a value that is not shown."""
    return "text" if isinstance(value, str) else "a number"

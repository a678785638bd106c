"""Makes external text, such as a camera's response, safe for one line of a log or terminal."""

from __future__ import annotations

LONGEST = 300
"""Largest number of characters of external text in a message."""


def printable(text: str, most: int = LONGEST) -> str:
    """`text` on one line: control characters as `\\x1b`, `\\r`; at most `most` characters."""
    shown = "".join(c if c.isprintable() else _escaped(c) for c in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()

"""Text in the cells of a terminal, where a character takes none, one or two."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator


def cells(text: str) -> int:
    """text: printable."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):  # drawn over the one before
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, most: int) -> str:
    """At most so many cells; an ellipsis takes the place of what is left out."""
    if cells(text) <= most:
        return text
    return _start(text, most - 1) + "…" if most > 0 else ""


def cut_within(text: str, most: int) -> str:
    """As `cut`, but the end stays as the beginning does."""
    if cells(text) <= most or most < 3:
        return cut(text, most)
    end = _start(text[::-1], (most - 1) // 2)[::-1]
    return f"{_start(text, most - 1 - cells(end))}…{end}"


def padded(text: str, width: int) -> str:
    """Exactly so many cells."""
    shown = cut(text, width)
    return shown + " " * (width - cells(shown))


def wrapped(text: str, width: int) -> Iterator[str]:
    """Lines of at most so many cells, at least two, broken at spaces where there are some."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cells(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        while cells(word) > width:
            start = _start(word, width)
            yield start
            word = word[len(start) :]
        line = word
    if line:
        yield line


def _start(text: str, most: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += _cells(character)
        if taken > most:
            return text[:index]
    return text

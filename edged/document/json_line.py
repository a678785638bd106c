"""JSON lines of traces and profiles, and access to their values with checks."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from edged.errors import InputError

LARGEST = 10**20
"""Largest number in a trace or profile: sums and products stay finite."""


@dataclass(frozen=True, slots=True)
class Line:
    """A JSON object of a file; its methods return checked values."""

    where: str
    number: int
    values: dict[str, Any]

    def error(self, what: str, got: object = None) -> InputError:
        return InputError(what, where=self.where, got=got)

    def take(self, key: str) -> Any:
        if key not in self.values:
            raise self.error(f"`{key}` is missing")
        return self.values[key]

    def number_at(self, key: str, lowest: float = 0.0, *, above: bool = False) -> float:
        return self.check(key, self.take(key), lowest, above=above)

    def check(self, key: str, value: object, lowest: float = 0.0, *, above: bool = False) -> float:
        """`value` as a finite number of at least, or above, `lowest`."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"`{key}` must be a number", repr(value))
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"`{key}` must be finite", value)
        if abs(value) > LARGEST:
            raise self.error(f"`{key}` must be at most {LARGEST:g}")
        if value < lowest or (above and value == lowest):
            raise self.error(
                f"`{key}` must be {'above' if above else 'at least'} {lowest:g}", value
            )
        return float(value)

    def text_at(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not value:
            raise self.error(f"`{key}` must be a name", repr(value))
        return value

    def object_at(self, key: str) -> dict[str, Any]:
        value = self.take(key)
        if not isinstance(value, dict):
            raise self.error(f"`{key}` must be an object", repr(value))
        return value

    def list_at(self, key: str) -> list[Any]:
        value = self.take(key)
        if not isinstance(value, list) or not value:
            raise self.error(f"`{key}` must be a list that is not empty", repr(value))
        return value

    def inside(self, key: str, value: object) -> Line:
        """The object `value` under `key`."""
        if not isinstance(value, dict):
            raise self.error(f"`{key}` must be an object", repr(value))
        return Line(f"{self.where}: {key}", self.number, value)


def parse_line(line: bytes, where: str, number: int) -> Line:
    try:
        values = json.loads(line, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        got = f"the byte 0x{error.object[error.start]:02x}"
        raise InputError("not JSON, which is UTF-8 text", where=where, got=got) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", where=where) from None
    if not isinstance(values, dict):
        raise InputError("expected an object on each line", where=where, got=type(values).__name__)
    return Line(where, number, values)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")

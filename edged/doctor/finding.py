"""Findings of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edged.errors import EdgedError


class Severity(str, Enum):
    """In ascending order."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def exit_status(self) -> int:
        return {Severity.WARNING: 1, Severity.ERROR: 2}.get(self, 0)

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """got: what was found. fix: what the reader can do about it."""

    severity: Severity
    what: str
    got: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        text = self.what if self.got is None else f"{self.what} (got {self.got})"
        return text if self.fix is None else f"{text}; {self.fix}"


def ok(what: str) -> Finding:
    return Finding(Severity.OK, what)


def info(what: str, got: str | None = None, fix: str | None = None) -> Finding:
    """Neither good nor bad, but may explain something."""
    return Finding(Severity.INFO, what, got, fix)


def warning(what: str, got: str | None = None, fix: str | None = None) -> Finding:
    """edged runs, but worse than it could, or perhaps not for long."""
    return Finding(Severity.WARNING, what, got, fix)


def error(what: str, got: str | None = None, fix: str | None = None) -> Finding:
    """edged or a camera does not work."""
    return Finding(Severity.ERROR, what, got, fix)


def of(failure: EdgedError) -> Finding:
    what = failure.what if failure.where is None else f"{failure.where}: {failure.what}"
    return error(what, None if failure.got is None else str(failure.got), failure.fix)

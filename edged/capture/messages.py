"""Status messages of a capture process: one JSON object per line, without credentials."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from edged.capture.source import Failure, Granted
from edged.printable import printable
from edged.secret import redact

LONGEST_MESSAGE = 1000
"""Characters. Fits into process.LINE_BYTES as JSON."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The libraries are loaded; the camera is opened next."""


@dataclass(frozen=True, slots=True)
class Opened:
    granted: Granted


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log; the source continues."""

    message: str


@dataclass(frozen=True, slots=True)
class Decodes:
    """decoder: `software` or a GStreamer element. message: why it is not the one that was asked
    for, or ""."""

    decoder: str
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    reason: Failure
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a file or folder that is not looped."""


Status = Loaded | Opened | Note | Decodes | Failed | Ended

_KINDS: dict[str, type[Status]] = {
    "loaded": Loaded,
    "opened": Opened,
    "note": Note,
    "decodes": Decodes,
    "failed": Failed,
    "ended": Ended,
}


def shown(text: str) -> str:
    """`text` as it may be logged: without credentials and control characters, at most
    LONGEST_MESSAGE long."""
    return printable(redact(text), LONGEST_MESSAGE)


def to_line(status: Status) -> bytes:
    kind = next(name for name, cls in _KINDS.items() if type(status) is cls)
    values = asdict(status)
    if "message" in values:
        values["message"] = shown(values["message"])
    return json.dumps({"status": kind, **values}).encode() + b"\n"


def from_line(line: str) -> Status | None:
    """None if the line is not a status: the child is not trusted."""
    try:
        values: dict[str, Any] = json.loads(line)
        kind = _KINDS[values["status"]]
        if kind is Opened:
            granted = values["granted"]
            fps = granted["fps"]
            return Opened(
                Granted(
                    width=int(granted["width"]),
                    height=int(granted["height"]),
                    fps=float(fps) if fps and float(fps) > 0 else None,
                    format=shown(str(granted["format"])),
                )
            )
        if kind is Failed:
            return Failed(Failure(values["reason"]), shown(str(values["message"])))
        if kind is Decodes:
            decoder = shown(str(values["decoder"]))  # becomes a label
            return (
                Decodes(decoder, shown(str(values["message"]))) if decoder.isidentifier() else None
            )
        if kind is Note:
            return Note(shown(str(values["message"])))
        return Loaded() if kind is Loaded else Ended()
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None

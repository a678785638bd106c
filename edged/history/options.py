"""Configuration of the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edged.document.parts import key

DAYS, LONGEST_DAYS = 30, 3650
BYTES, FEWEST_BYTES = 200_000_000, 10_000_000

HISTORY = key(
    "History",
    "What the device remembers, in its state folder: events, with the picture of those that have "
    "`snapshot: true`, and what each view saw by the minute. The oldest is deleted first. none "
    "switches it off.",
    {"days": DAYS, "max_bytes": BYTES},
    "none",
    default={},
    type=["string", "object"],
    pattern="^none$",
    patternErrorMessage="none, or {days: 30}",
    additionalProperties=False,
    properties={
        "days": key(
            "Days",
            "How long events and minutes are kept.",
            DAYS,
            type="integer",
            minimum=1,
            maximum=LONGEST_DAYS,
            default=DAYS,
        ),
        "max_bytes": key(
            "Size (bytes)",
            "Space on the disk, with pictures.",
            BYTES,
            type="integer",
            minimum=FEWEST_BYTES,
            default=BYTES,
        ),
    },
    **{
        "x-hints": {
            **dict.fromkeys(("off", "enabled", "disabled"), "to switch it off: history: none"),
            **dict.fromkeys(("age", "keep", "keep_days", "retention"), "days"),
            **dict.fromkeys(("bytes", "size", "max_size", "quota", "quota_bytes"), "max_bytes"),
            **dict.fromkeys(("snapshot", "snapshots", "pictures"), "it is a key of each event"),
        }
    },
)


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """max_bytes: of the database with its write-ahead log."""

    days: int = DAYS
    max_bytes: int = BYTES


def history_config(data: str | Mapping[str, Any]) -> HistoryConfig | None:
    """None for no history. data: the value of `history`, checked."""
    if isinstance(data, str):
        return None
    return HistoryConfig(int(data["days"]), int(data["max_bytes"]))

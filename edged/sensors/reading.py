"""Readings of sensors, and reading small files of the kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LONGEST_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric's values in base units, by label values; empty if unknown. Labels must have few
    values, which a device cannot extend: zones, policies, kinds.
    """

    name: str
    documentation: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


def read_text(path: Path) -> str | None:
    """The stripped content; None if empty or unreadable.

    A part that is switched off fails with ENODATA, EIO or EAGAIN. This calls read(2) directly
    because Python's file objects return None for EAGAIN.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Strings of the device tree end with a zero byte.
        return os.read(descriptor, _LONGEST_BYTES).decode(errors="replace").strip("\0 \n") or None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_number(path: Path, base: int = 10) -> int | None:
    """The content as an integer; None for anything else."""
    text = read_text(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None

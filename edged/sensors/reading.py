"""What the sensors share: the form of a reading, and how a small file of the kernel is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LONGEST_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric now, in base units. values: by its labels' values; empty where nothing is known.

    Labels take few values that a device cannot invent more of: zones, policies, kinds.
    """

    name: str
    documentation: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


def read_text(path: Path) -> str | None:
    """The content without blanks around it; None where there is none to be had.

    A part that is switched off fails in ways of its own, with ENODATA, EIO or EAGAIN. The last is
    why this is one read(2): Python's file objects take it for an answer of None.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A name in the device tree ends with a zero byte.
        return os.read(descriptor, _LONGEST_BYTES).decode(errors="replace").strip("\0 \n") or None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_number(path: Path, base: int = 10) -> int | None:
    """The content as a whole number; None for anything else."""
    text = read_text(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None

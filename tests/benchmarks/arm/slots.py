"""What instructions are counted for: a thread is in one slot at a time. Shared with the guest.

A thread of Python begins in its own slot, by the beginning of its name, and goes into another
while it does one of the stages.
"""

from __future__ import annotations

import os
from enum import IntEnum

FIRST, DUMP = 1_000_000, 2_000_000
"""See count.c."""


class Slot(IntEnum):
    NATIVE = 0  # threads that are not Python's
    WAITING = 1  # for the rig: belongs to no figure
    MAIN = 2  # the daemon's
    OTHER = 3
    PIPELINE = 4
    SINK = 5
    CAMERA = 6  # the supervisor of the capture process
    PREPROCESS = 7
    INFERENCE = 8
    CAPTURE = 9  # the main thread of the capture process
    DECODE = 10
    FIRST_FUNCTION = 64  # of a profile


OF_THREADS = {"pipeline": Slot.PIPELINE, "sink-": Slot.SINK, "camera-": Slot.CAMERA}


def enter(slot: int) -> None:
    """Count the calling thread's instructions for this slot from now on."""
    os.isatty(-FIRST - slot)


def dump() -> None:
    """Write what has been counted until now."""
    os.isatty(-DUMP)

"""The values that travel the way of a frame. All times are monotonic nanoseconds.

What is made for every frame is a named tuple: that takes about half of a frozen dataclass's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edged.variants.variant import Variant


class Frame(NamedTuple):
    """A picture in the mailbox.

    pixels: uint8 (height, width, 3), RGB, upright; a view into shared memory that is valid until
    the mailbox is asked for the next frame. captured_ns: start of exposure or the best the source
    knows. received_ns: the driver handed it over. ready_ns: decoded and in the mailbox. wanted:
    the short side in pixels that it was decoded for; 0 for all there is.
    """

    pixels: NDArray[np.uint8]
    sequence: int
    captured_ns: int
    received_ns: int
    ready_ns: int
    wanted: int = 0

    @property
    def serves(self) -> int | None:
        """The largest resolution that it was not made too small for; None for any."""
        return max(self.wanted, min(self.pixels.shape[:2])) if self.wanted else None


class Stages(NamedTuple):
    """Where the time of one result went, in milliseconds; together they are its latency."""

    capture: float
    decode: float
    queue: float
    preprocess: float
    inference: float
    publish: float

    @property
    def latency_ms(self) -> float:
        return sum(self)


class Score(NamedTuple):
    label: str
    score: float


class Result(NamedTuple):
    """What a frame became. `captured_unix_ns` is wall time: nothing computes with it."""

    camera: str
    sequence: int
    captured_unix_ns: int
    budget_ms: float
    variant: Variant
    threads: int
    reason: str
    stages: Stages
    top: tuple[Score, ...]

    @property
    def latency_ms(self) -> float:
        return self.stages.latency_ms

    @property
    def on_time(self) -> bool:
        return self.latency_ms <= self.budget_ms


@dataclass(frozen=True, slots=True)
class Event:
    """Something has become present before a camera (`ended_unix_ns` is None), or has gone again.

    name: of the rule in the configuration. peak: the highest smoothed score until now, 0 to 1.
    snapshot: a JPEG of the frame that made its start certain, where the rule asks for one. Times
    are wall time.
    """

    camera: str
    name: str
    started_unix_ns: int
    ended_unix_ns: int | None
    peak: float
    snapshot: bytes | None = None

"""Pictures for whoever looks: the pipeline gives each that somebody waits for, else one a second.

That one is shown of a camera in front of which nothing moves: it may send no other for long. The
pipeline's part is a look into a dictionary, and when a picture is wanted a copy of its pixels.
They become a JPEG in the thread that asked. Knows nothing of HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edged.capture.jpeg import encode_jpeg
from edged.clock import Clock, monotonic_ns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRESH_NS = 100_000_000
"""So long a picture serves everybody who asks: ten a second at most, however many look."""
KEEP_NS = 1_000_000_000
"""How often a picture is kept for whoever comes later."""
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Shown:
    """age_seconds: since the pipeline had the picture."""

    jpeg: bytes
    age_seconds: float


@dataclass(slots=True)
class _Shot:
    """What is known of one camera's picture.

    wanted: somebody waits. number: how many pixels have come. jpeg: of those with `jpeg_number`.
    Under `encoding` are these two, under `changed` the others.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    encoding: threading.Lock = field(default_factory=threading.Lock)
    wanted: bool = False
    pixels: NDArray[np.uint8] | None = None
    taken_ns: int = 0
    number: int = 0
    jpeg: bytes = b""
    jpeg_number: int = 0


class View:
    def __init__(self, clock: Clock = monotonic_ns) -> None:
        self._clock = clock
        self._shots: Mapping[str, _Shot] = {}

    def follow(self, cameras: Iterable[str]) -> None:
        """These are there from now on."""
        self._shots = {name: self._shots.get(name) or _Shot() for name in cameras}

    def wanted(self, camera: str) -> bool:
        """Whether the next picture would be taken."""
        shot = self._shots.get(camera)
        return shot is not None and (
            shot.wanted or shot.pixels is None or self._clock() - shot.taken_ns >= KEEP_NS
        )

    def offer(self, camera: str, pixels: NDArray[np.uint8]) -> None:
        """Called for every frame; uint8 RGB (height, width, 3), valid during the call."""
        if not self.wanted(camera):
            return
        shot, copy = self._shots[camera], pixels.copy()
        with shot.changed:
            shot.pixels, shot.taken_ns, shot.wanted = copy, self._clock(), False
            shot.number += 1
            shot.changed.notify_all()

    def jpeg(self, camera: str, wait_seconds: float) -> Shown | None:
        """A picture that is not older than the call, or by FRESH_NS; when none comes in time the
        last one; None when there has been none.

        Raises KeyError for a camera that is not there.
        """
        shot = self._shots[camera]
        with shot.changed:
            if shot.pixels is None or self._clock() - shot.taken_ns > FRESH_NS:
                number, shot.wanted = shot.number, True
                shot.changed.wait_for(lambda: shot.number != number, wait_seconds)
            if shot.pixels is None:
                return None
            pixels, number, taken_ns = shot.pixels, shot.number, shot.taken_ns
        with shot.encoding:  # not the other lock: the pipeline may want that
            if shot.jpeg_number < number:
                shot.jpeg, shot.jpeg_number = encode_jpeg(pixels, JPEG_QUALITY), number
            return Shown(shot.jpeg, (self._clock() - taken_ns) / 1e9)

"""Pictures for whoever looks, each with its result: the pipeline gives those that somebody waits
for, else one a second.

That one is shown of a camera in front of which nothing moves: it may send no other for long. The
pipeline's part is a look into a dictionary, and when a picture is wanted a copy of its pixels. They
become a JPEG in the thread that asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edged.capture.decode.jpeg import encode_jpeg
from edged.clock import Clock, monotonic_ns
from edged.result import Result

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
    """result: of this very picture. age_seconds: since the pipeline had it."""

    jpeg: bytes
    result: Result
    age_seconds: float


class _Offered(NamedTuple):
    """number: how many have come of this camera."""

    number: int
    taken_ns: int
    pixels: NDArray[np.uint8]
    result: Result


@dataclass(slots=True)
class _Shot:
    """What is known of one camera's picture.

    wanted: somebody waits. last: what came last. encoded: what somebody asked for last, with its
    JPEG. Under `encoding` is this one, under `changed` the others.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    encoding: threading.Lock = field(default_factory=threading.Lock)
    wanted: bool = False
    last: _Offered | None = None
    encoded: tuple[_Offered, bytes] | None = None


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
        return shot is not None and (shot.wanted or self._is_older(shot, KEEP_NS - 1))

    def offer(self, result: Result, pixels: NDArray[np.uint8]) -> None:
        """Called for every result; uint8 RGB (height, width, 3), valid during the call."""
        if not self.wanted(result.camera):
            return
        shot, copy = self._shots[result.camera], pixels.copy()
        with shot.changed:
            number = 1 if shot.last is None else shot.last.number + 1
            shot.last, shot.wanted = _Offered(number, self._clock(), copy, result), False
            shot.changed.notify_all()

    def jpeg(self, camera: str, wait_seconds: float) -> Shown | None:
        """A picture that is not older than the call, or by FRESH_NS; when none comes in time the
        last one; None when there has been none.

        Raises KeyError for a camera that is not there.
        """
        shot = self._shots[camera]
        with shot.changed:
            before = shot.last
            if self._is_older(shot, FRESH_NS):
                shot.wanted = True
                shot.changed.wait_for(lambda: shot.last is not before, wait_seconds)
            last = shot.last
        if last is None:
            return None
        with shot.encoding:  # not the other lock: the pipeline may want that
            if shot.encoded is None or shot.encoded[0].number < last.number:
                shot.encoded = last, encode_jpeg(last.pixels, JPEG_QUALITY)
            of, jpeg = shot.encoded
        return Shown(jpeg, of.result, (self._clock() - of.taken_ns) / 1e9)

    def _is_older(self, shot: _Shot, than_ns: int) -> bool:
        return shot.last is None or self._clock() - shot.last.taken_ns > than_ns

"""Snapshots of the cameras, each with its result.

The pipeline offers every frame; one is copied when a client waits for it, and one a second, which
is shown while a camera without motion delivers no other. The client's thread encodes the JPEG.
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
"""A picture of at most this age is reused: ten a second at most for any number of clients."""
KEEP_NS = 1_000_000_000
"""Interval of the pictures that are kept for later requests."""
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Shown:
    """result: of this picture. age_seconds: since the pipeline offered it."""

    jpeg: bytes
    result: Result
    age_seconds: float


class _Offered(NamedTuple):
    """number: counts the camera's pictures."""

    number: int
    taken_ns: int
    pixels: NDArray[np.uint8]
    result: Result


@dataclass(slots=True)
class _Shot:
    """The latest picture of one camera.

    wanted: a client waits. encoded: the last requested picture with its JPEG. `encoding` guards
    `encoded`, `changed` the others.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    encoding: threading.Lock = field(default_factory=threading.Lock)
    wanted: bool = False
    last: _Offered | None = None
    encoded: tuple[_Offered, bytes] | None = None


class Pictures:
    def __init__(self, clock: Clock = monotonic_ns) -> None:
        self._clock = clock
        self._shots: Mapping[str, _Shot] = {}

    def follow(self, cameras: Iterable[str]) -> None:
        """Serve these cameras from now on."""
        self._shots = {name: self._shots.get(name) or _Shot() for name in cameras}

    def wanted(self, camera: str) -> bool:
        """Whether `offer` would copy the next picture."""
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
        """A picture taken at most FRESH_NS before the call; after `wait_seconds` the last one, None
        if there is none. Raises KeyError for an unknown camera.
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
        with shot.encoding:  # not `changed`, which the pipeline needs
            if shot.encoded is None or shot.encoded[0].number < last.number:
                shot.encoded = last, encode_jpeg(last.pixels, JPEG_QUALITY)
            of, jpeg = shot.encoded
        return Shown(jpeg, of.result, (self._clock() - of.taken_ns) / 1e9)

    def _is_older(self, shot: _Shot, than_ns: int) -> bool:
        return shot.last is None or self._clock() - shot.last.taken_ns > than_ns

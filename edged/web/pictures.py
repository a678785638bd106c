"""Snapshots: the picture of each view with its result, and the whole picture of each camera that
has views of its own.

The pipeline offers every frame; one is copied when a client waits for it, and one a second, which
is shown while a camera without motion delivers no other. Whole pictures cost more than the views
need: one a minute is kept, and further ones come while a client watches. The client's thread
encodes the JPEG.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edged.capture.decode.jpeg import encode_jpeg
from edged.capture.frame import Frame
from edged.clock import Clock, monotonic_ns
from edged.result import Result
from edged.view import camera_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRESH_NS = 100_000_000
"""A picture of at most this age is reused: ten a second at most for any number of clients."""
KEEP_NS = 1_000_000_000
"""Interval of the pictures that are kept for later requests."""
KEEP_WHOLE_NS = 60_000_000_000
"""The same for whole pictures of cameras with views."""
RESULTS_NS = 300_000_000
"""How long a whole picture waits for the results of its views, after which it comes without."""
WATCHED_NS = 3_000_000_000
"""A client that has asked is expected to ask again within this time."""
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Shown:
    """result: of this picture, None for that of a camera with views. age_seconds: since the
    pipeline offered it. results: those of a camera's views that saw this picture."""

    jpeg: bytes
    result: Result | None
    age_seconds: float
    results: tuple[Result, ...] = ()


class _Offered(NamedTuple):
    """number: counts the pictures of one view or camera. views: of a whole picture, those that it
    is for. results: of these, as they come."""

    number: int
    taken_ns: int
    pixels: NDArray[np.uint8]
    result: Result | None
    sequence: int
    views: Collection[str]
    results: dict[str, Result]


@dataclass(slots=True)
class _Shot:
    """The latest picture of one view, or the whole one of a camera with views.

    keep_ns: interval of pictures without a request. wanted: a client waits. encoded: the last
    requested picture with its JPEG. `encoding` guards `encoded`, `changed` the others.
    """

    keep_ns: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    encoding: threading.Lock = field(default_factory=threading.Lock)
    wanted: bool = False
    watched_until_ns: int = 0
    last: _Offered | None = None
    encoded: tuple[_Offered, bytes] | None = None


class Pictures:
    def __init__(self, clock: Clock = monotonic_ns) -> None:
        self._clock = clock
        self._shots: Mapping[str, _Shot] = {}

    def follow(self, views: Collection[str]) -> None:
        """Serve these views, and their cameras, from now on."""
        intervals_ns = dict.fromkeys(map(camera_of, views), KEEP_WHOLE_NS)
        intervals_ns |= dict.fromkeys(views, KEEP_NS)
        before = self._shots
        self._shots = {
            name: before[name]
            if name in before and before[name].keep_ns == keep_ns
            else _Shot(keep_ns)
            for name, keep_ns in intervals_ns.items()
        }

    def wanted(self, name: str) -> bool:
        """Whether `offer` or `offer_camera` would copy the next picture."""
        shot = self._shots.get(name)
        return shot is not None and (shot.wanted or self._is_older(shot, shot.keep_ns - 1))

    def watched(self, camera: str) -> bool:
        """Whether whole pictures of this camera are needed now; never of one without views."""
        shot = self._shots.get(camera)
        if shot is None or shot.keep_ns != KEEP_WHOLE_NS:
            return False
        return self.wanted(camera) or self._clock() < shot.watched_until_ns

    def offer(self, result: Result, pixels: NDArray[np.uint8]) -> None:
        """Called for every result; uint8 RGB (height, width, 3), valid during the call."""
        view = result.view
        if self.wanted(view):
            self._keep(view, pixels, result, result.sequence)
        whole = self._shots.get(camera_of(view))
        last = None if whole is None else whole.last
        if whole and last and view in last.views and last.sequence == result.sequence:
            with whole.changed:
                last.results[view] = result
                whole.changed.notify_all()

    def offer_camera(self, camera: str, frame: Frame, views: Collection[str] = ()) -> None:
        """The whole upright picture of a camera with views; its pixels as in `offer`. views: those
        that it is for."""
        if self.wanted(camera):
            self._keep(camera, frame.pixels, None, frame.sequence, views)

    def _keep(
        self,
        name: str,
        pixels: NDArray[np.uint8],
        result: Result | None,
        sequence: int,
        views: Collection[str] = (),
    ) -> None:
        shot, copy = self._shots[name], pixels.copy()
        with shot.changed:
            number = 1 if shot.last is None else shot.last.number + 1
            shot.last = _Offered(number, self._clock(), copy, result, sequence, views, {})
            shot.wanted = False
            shot.changed.notify_all()

    def jpeg(self, name: str, wait_seconds: float) -> Shown | None:
        """A picture taken at most FRESH_NS before the call; after `wait_seconds` the last one, None
        if there is none. name: of a view or a camera. Raises KeyError for an unknown one.
        """
        shot = self._shots[name]
        with shot.changed:
            shot.watched_until_ns = self._clock() + WATCHED_NS
            before = shot.last
            if self._is_older(shot, FRESH_NS):
                shot.wanted = True
                shot.changed.wait_for(lambda: shot.last is not before, wait_seconds)
            last = shot.last
            if last is None:
                return None
            left_ns = RESULTS_NS - (self._clock() - last.taken_ns)
            if left_ns > 0 and len(last.results) < len(last.views):
                seconds = min(left_ns / 1e9, wait_seconds)
                shot.changed.wait_for(lambda: len(last.results) == len(last.views), seconds)
            results = tuple(last.results.values())
        with shot.encoding:  # not `changed`, which the pipeline needs
            if shot.encoded is None or shot.encoded[0].number < last.number:
                shot.encoded = last, encode_jpeg(last.pixels, JPEG_QUALITY)
            of, jpeg = shot.encoded
        age_seconds = (self._clock() - of.taken_ns) / 1e9
        return Shown(jpeg, of.result, age_seconds, results if of is last else ())

    def _is_older(self, shot: _Shot, than_ns: int) -> bool:
        return shot.last is None or self._clock() - shot.last.taken_ns > than_ns

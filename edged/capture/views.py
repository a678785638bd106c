"""Decides for which views of a camera a picture is, and at which scale to decode the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edged.capture.admission import RateLimit
from edged.capture.decode.crop import Region, cut, region_of, shrinks_by, side_for
from edged.capture.decode.orientation import of_user
from edged.capture.frame import Place
from edged.capture.mailbox import MailboxWriter
from edged.capture.motion import Motion
from edged.capture.source import CaptureRequest, Picture, ViewRequest
from edged.clock import Clock, monotonic_ns


class _View:
    """most_fps: of the camera, whose frames have been limited to it."""

    def __init__(self, request: ViewRequest, most_fps: float | None) -> None:
        self.request = request
        self.most_fps = most_fps
        self.limit = RateLimit(None if request.max_fps == most_fps else request.max_fps)
        self.motion = None if request.quiet is None else Motion(request.quiet)


class Views:
    """The views of a source, by their numbers in the mailbox.

    renew: called when the views have changed, which need not wait for the source's next picture.
    """

    def __init__(
        self,
        request: CaptureRequest,
        writer: MailboxWriter,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = writer
        self._renew = renew
        self._orientation = of_user(request.rotate, request.flip)
        self._only_one = not request.views
        self._views: dict[int, _View] = {}
        self._size = 0, 0
        self._regions: Mapping[int, Region] = {}
        """In a picture of that size."""
        self._wanted: dict[int, int] = {}
        """Short side by view, of the views that the next picture is decoded for."""
        self._leader = 0
        self._next: CaptureRequest | None = None
        self._follow(request)

    def change(self, request: CaptureRequest) -> None:
        """Serve the views of this request from the next picture on; from any thread."""
        self._next = request

    def _follow(self, request: CaptureRequest) -> None:
        """Views that stay keep their state."""
        self._edition = request.edition
        before, self._views, self._size = self._views, {}, (0, 0)
        for number, view in request.numbered.items():
            known = before.get(number)
            if known is None or (known.request, known.most_fps) != (view, request.max_fps):
                known = _View(view, request.max_fps)
            self._views[number] = known

    def whole_side(self, size: tuple[int, int]) -> int:
        """The short side that the next picture needs for all the views that it may be for; 0 for
        full size. size: (width, height) of the whole picture at any scale.

        A view that has not taken the picture before may need the next one instead.
        """
        request, self._next = self._next, None
        if request is not None:
            self._writer.follow()
            self._follow(request)
            self._renew()
        expected = [view for view, each in self._views.items() if each.limit.soon()]
        if len(expected) < len(self._views):
            untaken = self._writer.untaken
            expected += [view for view in untaken if view in self._views and view not in expected]
        self._wanted = {view: self._writer.wanted(view) for view in expected}
        regions = self._regions_at(size)
        sides = {
            view: side_for(wanted, regions[view], size) for view, wanted in self._wanted.items()
        }
        self._leader = max(sides, key=lambda view: sides[view] or float("inf"))
        return sides[self._leader]

    def deliver(
        self, picture: Picture, captured_ns: int, received_ns: int, *, clock: Clock = monotonic_ns
    ) -> None:
        """Put a picture into the mailbox, if there is a view that it is for."""
        writer, pixels = self._writer, picture.pixels
        regions = self._regions_of(picture)
        places = self._due(pixels, regions, captured_ns)
        if not places:
            writer.count(unneeded=1)
            return
        carried: Sequence[int] = ()
        if len(places) < len(self._views):
            carried = [view for view in writer.untaken if view in self._wanted.keys() - places]
            places |= {view: Place(*regions[view], self._wanted[view]) for view in carried}
        # By what leaves enough for each view that it was decoded for. So a stream is never shrunk
        # here, which would take another library.
        factor = min(
            [shrinks_by(min(regions[view][2:]), wanted) for view, wanted in self._wanted.items()]
        )
        whole = writer.show_whole
        pixels, places = cut(
            pixels, places, factor, self._orientation, writer.slot_bytes, whole=whole
        )
        writer.publish(
            pixels,
            captured_ns,
            received_ns,
            places,
            carried=carried,
            leader=self._leader,
            whole=whole,
            edition=self._edition,
            clock=clock,
        )

    def _due(
        self, pixels: NDArray[np.uint8], regions: Mapping[int, Region], captured_ns: int
    ) -> dict[int, Place]:
        """The views that a picture is for. The other ones count it."""
        places = {}
        for view, each in self._views.items():
            wanted = self._wanted.get(view)
            if wanted is None:
                each.limit.passed(captured_ns)  # not decoded for it, so perhaps too small
            if wanted is None or not each.limit.admits(captured_ns):
                self._writer.count_for(view, skipped=1)
                continue
            left, top, width, height = regions[view]
            if each.motion is not None and not each.motion.delivers(
                pixels[top : top + height, left : left + width], captured_ns
            ):
                self._writer.count_for(view, quiet=1)
                continue
            places[view] = Place(left, top, width, height, wanted)
        return places

    def watched(self, picture: Picture) -> NDArray[np.uint8]:
        """What of a picture shows whether the camera is frozen: all of it if there are several
        views."""
        if not self._only_one:
            return picture.pixels
        left, top, width, height = self._regions_of(picture)[0]
        return picture.pixels[top : top + height, left : left + width]

    def _regions_of(self, picture: Picture) -> Mapping[int, Region]:
        height, width, _ = picture.pixels.shape
        if picture.cropped and self._only_one:
            return {0: (0, 0, width, height)}
        return self._regions_at((width, height))

    def _regions_at(self, size: tuple[int, int]) -> Mapping[int, Region]:
        if size != self._size:
            self._size = size
            self._regions = {
                view: region_of(each.request, self._orientation, size)
                for view, each in self._views.items()
            }
        return self._regions

"""The capture process's end of the mailbox."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from edged.capture.frame import Place
from edged.capture.mailbox.layout import (
    BROKEN,
    CAPTURED,
    COUNTS,
    HEAD,
    HEADER_BYTES,
    HELD,
    MAGIC,
    NEWEST,
    NO_SLOT,
    OFF,
    OVERWRITTEN,
    PLACE,
    SEEN,
    SHOW_WHOLE,
    SKIPPED,
    SLOTS,
    UNNEEDED,
    VERSION,
    VIEW_COUNTS,
    VIEWS,
    WANTED,
    pages,
    record_at,
    slot_pixels,
)
from edged.clock import Clock, monotonic_ns

_WORD_MASK = (1 << 64) - 1
_NOWHERE = Place(0, 0, 0, 0, 0)


class MailboxWriter:
    """The capture process's end of the mailbox."""

    def __init__(
        self, memfd: int, wake_fd: int, slot_bytes: int, views: int, memory: mmap.mmap
    ) -> None:
        self.slot_bytes = slot_bytes
        self.views = views
        self._memfd = memfd
        self._wake_fd = wake_fd
        self._memory = memory
        self._words = memoryview(memory)[:HEADER_BYTES].cast("Q")

    @classmethod
    def attach(cls, memfd: int, wake_fd: int) -> MailboxWriter:
        """Raises ValueError if the descriptor is not a mailbox of this version."""
        size = os.fstat(memfd).st_size
        if size < HEADER_BYTES:
            raise ValueError(f"not a mailbox: {size} bytes")
        memory = mmap.mmap(memfd, 0)
        words = memoryview(memory)[:HEADER_BYTES].cast("Q")
        magic, version, slots, slot_bytes = words[:4]
        expected = (MAGIC, VERSION, SLOTS, HEADER_BYTES + SLOTS * pages(slot_bytes))
        if (magic, version, slots, size) != expected:
            raise ValueError(f"not a mailbox of version {VERSION}: {words[:4].tolist()}")
        return cls(memfd, wake_fd, slot_bytes, words[VIEWS], memory)

    def follow(self) -> None:
        """Serve as many views as the reader now does."""
        self.views = self._words[VIEWS]

    def wanted(self, view: int = 0) -> int:
        """The short side in pixels that the view needs next; 0 until it is known."""
        return self._words[WANTED + view]

    @property
    def show_whole(self) -> bool:
        return self._words[SHOW_WHOLE] != 0

    @property
    def untaken(self) -> Collection[int]:
        """The views that the newest picture is for, if it has not been taken."""
        words = self._words
        newest = words[NEWEST]
        slot = newest & 0xFF
        if newest == words[SEEN] or slot >= SLOTS:
            return ()
        at = record_at(slot) + HEAD.size
        table = self._memory[at : at + self.views * PLACE.size]
        return [view for view, place in enumerate(PLACE.iter_unpack(table)) if place[2]]

    def publish(
        self,
        pixels: NDArray[np.uint8],
        captured_ns: int,
        received_ns: int,
        places: Mapping[int, Place],
        *,
        carried: Collection[int] = (),
        leader: int = 0,
        whole: bool = False,
        edition: int = 0,
        clock: Clock = monotonic_ns,
    ) -> None:
        """Copy in a picture, uint8 (height, width, 3) of any strides, as the newest.

        places: by view. carried: those of them that it is for only if the picture before it is not
        taken meanwhile. For the other ones that is counted as overwritten then. leader: the view
        that determined the scale. whole: `pixels` is all of the camera's picture. edition: of the
        views that `places` follows.
        """
        words, memory = self._words, self._memory
        taken = (words[NEWEST] & 0xFF if words[NEWEST] else NO_SLOT, words[HELD])
        slot = next(slot for slot in range(SLOTS) if slot not in taken)
        height, width, _ = pixels.shape
        if pixels.size > self.slot_bytes:
            raise ValueError(f"a picture of {width}x{height} does not fit in the mailbox")
        np.copyto(slot_pixels(memory, self.slot_bytes, slot, height, width), pixels)
        ready_ns = clock()

        fcntl.lockf(self._memfd, fcntl.LOCK_EX)
        try:
            untaken = self.untaken
            for view in untaken:
                if view in places and view not in carried:
                    self.count_for(view, overwritten=1)
            at = record_at(slot)
            times_ns = captured_ns, received_ns, ready_ns
            HEAD.pack_into(memory, at, width, height, *times_ns, leader, whole, edition)
            at += HEAD.size
            for view in range(self.views):
                place = places.get(view)
                if place is None or (view in carried and view not in untaken):
                    place = _NOWHERE
                PLACE.pack_into(memory, at + PLACE.size * view, *place)
            words[NEWEST] = ((words[NEWEST] >> 8) + 1 << 8 | slot) & _WORD_MASK
        finally:
            fcntl.lockf(self._memfd, fcntl.LOCK_UN)
        os.eventfd_write(self._wake_fd, 1)

    # Only this process writes the counters, so they need no lock.

    def count(
        self,
        *,
        captured: int = 0,
        overwritten: int = 0,
        skipped: int = 0,
        off: int = 0,
        broken: int = 0,
        unneeded: int = 0,
    ) -> None:
        """Count frames of the camera, for each of its views."""
        self._add(
            (CAPTURED, captured),
            (OVERWRITTEN, overwritten),
            (SKIPPED, skipped),
            (OFF, off),
            (BROKEN, broken),
            (UNNEEDED, unneeded),
        )

    def count_for(
        self, view: int, *, overwritten: int = 0, skipped: int = 0, quiet: int = 0
    ) -> None:
        """Count frames that were decoded, but do not reach this view."""
        own = VIEW_COUNTS + COUNTS * view
        self._add((own, overwritten), (own + 1, skipped), (own + 2, quiet))

    def _add(self, *counts: tuple[int, int]) -> None:
        for word, frames in counts:
            if frames:
                self._words[word] = self._words[word] + frames & _WORD_MASK

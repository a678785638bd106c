"""The daemon's end of the mailbox."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from edged.capture.frame import Frame
from edged.capture.mailbox.layout import (
    BROKEN,
    CAPTURED,
    COUNTS,
    HEAD,
    HEADER_BYTES,
    HELD,
    MAGIC,
    MAGIC_AT,
    NEWEST,
    NO_SLOT,
    NUMBERS,
    OFF,
    OVERWRITTEN,
    PLACE,
    SEEN,
    SHOW_WHOLE,
    SKIPPED,
    SLOT_BYTES_AT,
    SLOTS,
    SLOTS_AT,
    UNNEEDED,
    VERSION,
    VERSION_AT,
    VIEW_COUNTS,
    VIEWS,
    WANTED,
    pages,
    record_at,
    slot_pixels,
)
from edged.clock import Clock, monotonic_ns

LOCK_TRIES: Final = 3
LOCK_PAUSE_SECONDS: Final = 0.0003


class ViewCounts(NamedTuple):
    """What became of the camera's frames that a view did not see.

    overwritten: replaced by newer ones. skipped: because of max_fps. quiet: for lack of motion.
    off: because no view was on.
    """

    overwritten: int
    skipped: int
    quiet: int
    off: int


class Mailbox:
    """The daemon's end of the mailbox. One thread calls `take`; any may read the counters.

    Views are numbered from 0, as in `CaptureRequest.numbered`.
    """

    def __init__(
        self, memfd: int, wake_fd: int, slot_bytes: int, views: int = 1, clock: Clock = monotonic_ns
    ) -> None:
        self.memfd = memfd
        self.wake_fd = wake_fd
        """Readable when there may be a new picture."""
        self.latest: Frame | None = None
        """The last picture taken, with all its views; it changes only when `take` returns
        another."""
        self.views = views
        self._slot_bytes = slot_bytes
        self._clock = clock
        self._memory = mmap.mmap(memfd, 0)
        self._words = memoryview(self._memory)[:HEADER_BYTES].cast("Q")
        self._pictures = memoryview(self._memory).toreadonly()
        self._held = NO_SLOT
        self._seen = 0
        self._nonsense = 0
        self._show_whole = False
        self._wanted = [0] * views
        self._wants = [{0} for _ in range(views)]
        self._since: dict[int, int] = {}
        """Edition of the views since which a number is that of its present view, unless 0."""
        self.prepare()

    @classmethod
    def create(cls, longest_side: int, views: int = 1, *, clock: Clock = monotonic_ns) -> Mailbox:
        """For pictures of up to longest_side ** 2 pixels, of any shape. Memory that no picture
        needs is never allocated."""
        if not 1 <= views <= NUMBERS:
            raise ValueError(f"{views} views; a mailbox serves 1 to {NUMBERS}")
        slot_bytes = 3 * longest_side * longest_side
        memfd = os.memfd_create("edged-mailbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memfd, HEADER_BYTES + SLOTS * pages(slot_bytes))
        # If a broken child truncated the memory, SIGBUS would kill the daemon.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, seals)
        wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        return cls(memfd, wake_fd, slot_bytes, views, clock)

    def prepare(self) -> None:
        """Reset the words that the daemon owns, whatever the last child wrote there.

        Call it while no child runs. Counters, sequence and an unseen picture are kept.
        """
        words = self._words
        words[MAGIC_AT], words[VERSION_AT] = MAGIC, VERSION
        words[SLOTS_AT], words[SLOT_BYTES_AT], words[VIEWS] = SLOTS, self._slot_bytes, self.views
        words[HELD], words[SEEN] = self._held, self._seen
        words[SHOW_WHOLE] = self._show_whole
        for view, side in enumerate(self._wanted):
            words[WANTED + view] = side

    def take(self) -> tuple[Frame | None, ...]:
        """The newest picture, once: what it shows of each view, None for a view that it is not for.
        Empty if there is no new picture.

        The pixels of a camera's only view stay valid until the next picture is returned. Of several
        views they are copies, which stay valid; equal regions share one.
        """
        if self._words[NEWEST] == self._seen:
            return ()
        if not self._lock():  # the writer will wake us again, or is stopped
            return ()
        try:
            newest = self._words[NEWEST]
            found = self._read(newest)
            if found is not None:
                self._held = newest & 0xFF
                self._words[HELD] = self._held
            self._words[SEEN] = newest
        finally:
            fcntl.lockf(self.memfd, fcntl.LOCK_UN)
        self._seen = newest
        if found is None:
            self._nonsense += 1
            return ()
        self.latest, places, leader = found
        return self._frames(self.latest, places, leader)

    def want(self, short_side: int, view: int = 0) -> None:
        """Set the short side in pixels that the view's next picture should cover."""
        self._wants[view].add(short_side)
        self._wanted[view] = short_side
        self._words[WANTED + view] = short_side

    @property
    def show_whole(self) -> bool:
        """Whether to deliver the whole picture, not only the part that several views share."""
        return self._show_whole

    @show_whole.setter
    def show_whole(self, whole: bool) -> None:
        self._show_whole = whole
        self._words[SHOW_WHOLE] = whole

    def clear_wake(self) -> None:
        """Make wake_fd unreadable. Call it before `take`, so that no picture is missed."""
        with suppress(BlockingIOError):  # no wake-up
            _read_at_once(self.wake_fd)

    def go_on_from(self, before: Mailbox, views: Mapping[int, int | None]) -> None:
        """Continue the counters and the sequence of `before`. Call it before a child writes here.

        views: by number, the number of the view there, None if it is new.
        """
        for word in (CAPTURED, OVERWRITTEN, SKIPPED, OFF, BROKEN, UNNEEDED):
            self._words[word] = before._words[word]
        for view, number in views.items():
            self._continue(view, before, number)
        self._nonsense = before._nonsense
        self._seen = before.sequence << 8 | NO_SLOT
        self._words[NEWEST] = self._words[SEEN] = self._seen

    def serve(self, views: Mapping[int, int | None], edition: int) -> None:
        """Serve other views, while a child runs and pictures are taken.

        views: by number, the present number of the view, None if it is new. A number that stays is
        that of an unchanged view. edition: of these views; a picture of an earlier one is not for
        those that have changed.
        """
        self._since |= {view: edition for view, number in views.items() if view != number}
        count = max(self.views, max(views) + 1)
        further = count - self.views
        self._wanted = [*self._wanted, *[0] * further]
        self._wants = [*self._wants, *({0} for _ in range(further))]
        self.views = count
        for view, number in views.items():
            if view != number:
                self._wants[view] = {0}
                self._continue(view, self, number)
        self._words[VIEWS] = count

    def _continue(self, view: int, before: Mailbox, number: int | None) -> None:
        """The counters of a view, of which this process is the only writer now."""
        here = VIEW_COUNTS + COUNTS * view
        for word in range(COUNTS):
            there = 0 if number is None else before._words[VIEW_COUNTS + COUNTS * number + word]
            self._words[here + word] = there

    @property
    def captured(self) -> int:
        """Frames that the driver delivered."""
        return self._words[CAPTURED]

    @property
    def broken(self) -> int:
        """Frames that could not be decoded, and invalid records."""
        return self._words[BROKEN] + self._nonsense

    def counts(self, view: int = 0) -> ViewCounts:
        words, own = self._words, VIEW_COUNTS + COUNTS * view
        return ViewCounts(
            overwritten=words[OVERWRITTEN] + words[own],
            skipped=words[SKIPPED] + words[own + 1],
            quiet=words[own + 2],
            off=words[OFF],
        )

    def quiet(self, view: int = 0) -> int:
        """As in `counts`."""
        return self._words[VIEW_COUNTS + COUNTS * view + 2]

    @property
    def decoded(self) -> int:
        """Pictures that the worker has decoded since the counters began, also for no view."""
        return self.sequence + self._words[UNNEEDED]

    @property
    def sequence(self) -> int:
        """Number of pictures delivered since the counters began."""
        return self._words[NEWEST] >> 8

    def close(self) -> None:
        """Close the descriptors; the memory is freed with the last picture's view."""
        os.close(self.memfd)
        os.close(self.wake_fd)

    def _lock(self) -> bool:
        """The lock is held for microseconds, unless its holder is stopped."""
        for attempt in range(LOCK_TRIES):
            if attempt:
                time.sleep(LOCK_PAUSE_SECONDS)
            try:
                fcntl.lockf(self.memfd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                continue
            return True
        return False

    def _read(self, newest: int) -> tuple[Frame, list[tuple[int, ...] | None], int] | None:
        """(picture with all its views, the fields of each one's Place, the one that leads); None if
        the record is invalid."""
        slot = newest & 0xFF
        if slot >= SLOTS or slot == self._held:
            return None
        at = record_at(slot)
        width, height, captured_ns, received_ns, ready_ns, leader, whole, edition = (
            HEAD.unpack_from(self._memory, at)
        )
        in_order = captured_ns <= received_ns <= ready_ns <= self._clock()
        fits = 0 < width * height * 3 <= self._slot_bytes
        if not in_order or not fits:
            return None
        places: list[tuple[int, ...] | None] = []
        outdated = False
        at += HEAD.size
        all_wants = self._wants  # `serve` may replace it
        table = self._memory[at : at + len(all_wants) * PLACE.size]
        for view, place in enumerate(PLACE.iter_unpack(table)):
            x, y, wide, high, wanted = place
            if wide == 0:
                places.append(None)
            elif edition < self._since.get(view, 0):
                places.append(None)
                outdated = True
            elif x + wide <= width and 0 < high <= height - y and wanted in all_wants[view]:
                places.append(place)
            else:
                return None
        pixels = slot_pixels(self._pictures, self._slot_bytes, slot, height, width)
        region = 0, 0, width, height
        picture = Frame(
            pixels, newest >> 8, captured_ns, received_ns, ready_ns, 0, True, region, bool(whole)
        )
        return (picture, places, leader) if outdated or any(places) else None

    def _frames(
        self, picture: Frame, places: Sequence[tuple[int, ...] | None], leader: int
    ) -> tuple[Frame | None, ...]:
        copies = {} if self.views > 1 else {picture.region: picture.pixels}
        frames: list[Frame | None] = []
        sequence = picture.sequence
        times_ns = picture.captured_ns, picture.received_ns, picture.ready_ns
        for view, place in enumerate(places):
            if place is None:
                frames.append(None)
                continue
            left, top, width, height, wanted = place
            region = left, top, width, height
            pixels = copies.get(region)
            if pixels is None:
                pixels = picture.pixels[top : top + height, left : left + width]
                if self.views > 1:
                    pixels = pixels.copy()
                    pixels.flags.writeable = False
                copies[region] = pixels
            frames.append(Frame(pixels, sequence, *times_ns, wanted, view == leader, region))
        return tuple(frames)


def _read_at_once(fd: int) -> None:
    """Raises BlockingIOError. Does not rely on O_NONBLOCK, which a broken child may clear."""
    try:
        os.preadv(fd, [bytearray(8)], -1, os.RWF_NOWAIT)
    except (AttributeError, NotImplementedError):
        os.eventfd_read(fd)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:  # Linux before 5.8
            raise
        os.eventfd_read(fd)

"""The newest picture of one camera, in memory shared with its capture process.

The writer (child) never waits for a slow reader and never touches the slot that the reader holds.
The reader (daemon) never waits for a writer, even a stopped or dead one. The memory is a memfd,
which has no name and so leaves nothing behind. It also holds the counters and the sequence number,
which therefore continue when the child is replaced. The reader does not trust the child: an invalid
record is counted as broken.

Header, 64-bit words in native order:
    0 magic   1 version   2 slots   3 bytes of a slot
    4 newest: sequence << 8 | slot, in one word, so that it is written atomically
    5 held: the slot that the reader uses, or NO_SLOT   6 seen: the value of `newest` last taken
    7 wanted: short side in pixels
    8 captured   9 overwritten   10 skipped   11 broken   12 quiet
    16 + 8 * slot: width, height, captured_ns, received_ns, ready_ns, wanted
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edged.capture.frame import Frame
from edged.clock import Clock, monotonic_ns

MAGIC: Final = int.from_bytes(b"edgedbox", "little")
VERSION: Final = 1
SLOTS: Final = 3
"""One being written, one newest, one with the reader."""
HEADER_BYTES: Final = 4096
NO_SLOT: Final = 255
LOCK_TRIES: Final = 3
LOCK_PAUSE_SECONDS: Final = 0.0003

_MAGIC, _VERSION, _SLOTS, _SLOT_BYTES, _NEWEST, _HELD, _SEEN, _WANTED = range(8)
_CAPTURED, _OVERWRITTEN, _SKIPPED, _BROKEN, _QUIET = range(8, 13)
_RECORD = struct.Struct("=6Q")
_RECORDS_AT, _RECORD_BYTES = 16 * 8, 8 * 8
_WORD_MASK = (1 << 64) - 1


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


class Mailbox:
    """The daemon's end of the mailbox. One thread calls `take`; any may read the counters."""

    def __init__(self, memfd: int, wake_fd: int, slot_bytes: int, clock: Clock) -> None:
        self.memfd = memfd
        self.wake_fd = wake_fd
        """Readable when there may be a new picture."""
        self.latest: Frame | None = None
        """The last result of `take`; its pixels do not change until `take` returns another."""
        self._slot_bytes = slot_bytes
        self._clock = clock
        self._memory = mmap.mmap(memfd, 0)
        self._words = memoryview(self._memory)[:HEADER_BYTES].cast("Q")
        self._held = NO_SLOT
        self._seen = 0
        self._nonsense = 0
        self._wants = {0}
        self.prepare()

    @classmethod
    def create(cls, longest_side: int, *, clock: Clock = monotonic_ns) -> Mailbox:
        """For pictures of up to longest_side ** 2 pixels, of any shape."""
        slot_bytes = longest_side * longest_side * 3
        memfd = os.memfd_create("edged-mailbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memfd, HEADER_BYTES + SLOTS * _pages(slot_bytes))
        # If a broken child truncated the memory, SIGBUS would kill the daemon.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, seals)
        wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        return cls(memfd, wake_fd, slot_bytes, clock)

    def prepare(self) -> None:
        """Reset the words that the daemon owns, whatever the last child wrote there.

        Call it while no child runs. Counters, sequence and an unseen picture are kept.
        """
        words = self._words
        words[_MAGIC], words[_VERSION] = MAGIC, VERSION
        words[_SLOTS], words[_SLOT_BYTES] = SLOTS, self._slot_bytes
        words[_HELD], words[_SEEN] = self._held, self._seen

    def take(self) -> Frame | None:
        """The newest picture, once; None if there is no new one.

        The pixels of a picture stay valid until the next one is returned.
        """
        if self._words[_NEWEST] == self._seen:
            return None
        if not self._lock():  # the writer will wake us again, or is stopped
            return None
        try:
            newest = self._words[_NEWEST]
            frame = self._frame(newest)
            if frame is not None:
                self._held = newest & 0xFF
                self._words[_HELD] = self._held
            self._words[_SEEN] = newest
        finally:
            fcntl.lockf(self.memfd, fcntl.LOCK_UN)
        self._seen = newest
        if frame is None:
            self._nonsense += 1
        else:
            self.latest = frame
        return frame

    def want(self, short_side: int) -> None:
        """Set the short side in pixels that the next picture should cover."""
        self._wants.add(short_side)
        self._words[_WANTED] = short_side

    def clear_wake(self) -> None:
        """Make wake_fd unreadable. Call it before `take`, so that no picture is missed."""
        with suppress(BlockingIOError):  # no wake-up
            _read_at_once(self.wake_fd)

    def go_on_from(self, before: Mailbox) -> None:
        """Continue the counters of `before`. Call it before a child writes here."""
        for word in (_CAPTURED, _OVERWRITTEN, _SKIPPED, _BROKEN, _QUIET):
            self._words[word] = before._words[word]
        self._nonsense = before._nonsense

    @property
    def captured(self) -> int:
        """Frames that the driver delivered."""
        return self._words[_CAPTURED]

    @property
    def overwritten(self) -> int:
        """Frames replaced by newer ones before they were taken."""
        return self._words[_OVERWRITTEN]

    @property
    def skipped(self) -> int:
        """Frames dropped because of max_fps."""
        return self._words[_SKIPPED]

    @property
    def broken(self) -> int:
        """Frames that could not be decoded, and invalid records."""
        return self._words[_BROKEN] + self._nonsense

    @property
    def quiet(self) -> int:
        """Frames dropped for lack of motion."""
        return self._words[_QUIET]

    @property
    def sequence(self) -> int:
        """Number of pictures delivered since `create`."""
        return self._words[_NEWEST] >> 8

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

    def _frame(self, newest: int) -> Frame | None:
        """None if the record is invalid."""
        slot = newest & 0xFF
        if slot >= SLOTS or slot == self._held:
            return None
        width, height, captured_ns, received_ns, ready_ns, wanted = _RECORD.unpack_from(
            self._memory, _RECORDS_AT + slot * _RECORD_BYTES
        )
        in_order = captured_ns <= received_ns <= ready_ns <= self._clock()
        fits = 0 < width * height * 3 <= self._slot_bytes
        if not in_order or not fits or wanted not in self._wants:
            return None
        pixels = _slot_pixels(self._memory, self._slot_bytes, slot, height, width)
        pixels.flags.writeable = False
        return Frame(pixels, newest >> 8, captured_ns, received_ns, ready_ns, wanted)


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


class MailboxWriter:
    """The capture process's end of the mailbox."""

    def __init__(self, memfd: int, wake_fd: int, slot_bytes: int, memory: mmap.mmap) -> None:
        self.slot_bytes = slot_bytes
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
        expected = (MAGIC, VERSION, SLOTS, HEADER_BYTES + SLOTS * _pages(slot_bytes))
        if (magic, version, slots, size) != expected:
            raise ValueError(f"not a mailbox of version {VERSION}: {words[:4].tolist()}")
        return cls(memfd, wake_fd, slot_bytes, memory)

    @property
    def wanted(self) -> int:
        """The short side in pixels that the reader needs next; 0 until it is known."""
        return self._words[_WANTED]

    def publish(
        self,
        pixels: NDArray[np.uint8],
        captured_ns: int,
        received_ns: int,
        wanted: int = 0,
        *,
        clock: Clock = monotonic_ns,
    ) -> None:
        """Copy in a picture, uint8 (height, width, 3) of any strides, as the newest.

        wanted: the value of `wanted` that it was decoded for. The picture before it is counted as
        overwritten if it was not taken.
        """
        words = self._words
        taken = (words[_NEWEST] & 0xFF if words[_NEWEST] else NO_SLOT, words[_HELD])
        slot = next(slot for slot in range(SLOTS) if slot not in taken)
        height, width, _ = pixels.shape
        if pixels.size > self.slot_bytes:
            raise ValueError(f"a picture of {width}x{height} does not fit in the mailbox")
        np.copyto(_slot_pixels(self._memory, self.slot_bytes, slot, height, width), pixels)
        record = (width, height, captured_ns, received_ns, clock(), wanted)
        _RECORD.pack_into(self._memory, _RECORDS_AT + slot * _RECORD_BYTES, *record)

        fcntl.lockf(self._memfd, fcntl.LOCK_EX)
        try:
            if words[_NEWEST] != words[_SEEN]:
                self.count(overwritten=1)
            words[_NEWEST] = ((words[_NEWEST] >> 8) + 1 << 8 | slot) & _WORD_MASK
        finally:
            fcntl.lockf(self._memfd, fcntl.LOCK_UN)
        os.eventfd_write(self._wake_fd, 1)

    def count(
        self,
        *,
        captured: int = 0,
        overwritten: int = 0,
        skipped: int = 0,
        broken: int = 0,
        quiet: int = 0,
    ) -> None:
        """Only this process writes the counters, so they need no lock."""
        words = self._words
        for word, frames in (
            (_CAPTURED, captured),
            (_OVERWRITTEN, overwritten),
            (_SKIPPED, skipped),
            (_BROKEN, broken),
            (_QUIET, quiet),
        ):
            if frames:
                words[word] = words[word] + frames & _WORD_MASK


def _slot_pixels(
    memory: mmap.mmap, slot_bytes: int, slot: int, height: int, width: int
) -> NDArray[np.uint8]:
    offset = HEADER_BYTES + slot * _pages(slot_bytes)
    pixels: NDArray[np.uint8] = np.ndarray((height, width, 3), np.uint8, memory, offset)
    return pixels

"""Whatever a capture process writes into its mailbox, given anything."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.mailbox import HEADER_BYTES, SLOTS, Mailbox
from edged.clock import monotonic_ns
from tests.rig.damage import MANY, fuzz

pytestmark = pytest.mark.timeout(3600 if MANY else 120)

SIDE = 24
SLOT_BYTES = SIDE * SIDE * 3
VIEWS = 3
RECORDS, RECORD_WORDS = 144, 168

_SMALL = st.one_of(st.integers(1, SIDE), st.integers(0, 2 * SIDE))
_MOMENTS = st.integers(-9, 1).map(lambda seconds: monotonic_ns() + seconds * 1_000_000_000)
_WORDS = st.one_of(
    _SMALL,
    _MOMENTS,
    st.integers(0, 2**64 - 1),
    st.sampled_from((2**63, 2**64 - 1, 2**32, 2**32 + 1, SLOT_BYTES, 255)),
)
_TIMES = st.lists(st.one_of(st.integers(0, 9), _MOMENTS), min_size=3, max_size=3)
_PLACES = st.lists(
    st.tuples(_SMALL, _SMALL, _SMALL, _SMALL, st.sampled_from((0, SIDE, SIDE, 7))),
    min_size=VIEWS,
    max_size=VIEWS,
)
_RECORDS = st.tuples(
    _SMALL, _SMALL, st.one_of(_TIMES.map(sorted), _TIMES), st.integers(0, VIEWS), _PLACES
).map(lambda parts: (*parts[:2], *parts[2], parts[3], 0, 0, *chain(*parts[4])))
_NEWEST = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(0, SLOTS)).map(lambda t: t[0] << 8 | t[1]), _WORDS
)
_HOSTILE = st.lists(
    st.tuples(
        _NEWEST,
        st.lists(_RECORDS, min_size=SLOTS, max_size=SLOTS),
        st.dictionaries(st.integers(0, HEADER_BYTES // 8 - 1), _WORDS, max_size=4),
        st.sampled_from((0, 1, 2**64 - 2)),
    ),
    min_size=1,
    max_size=4,
)


@fuzz
@given(_HOSTILE, st.sampled_from((1, VIEWS)))
def test_whatever_a_capture_process_writes_the_reader_stays_in_its_slots(
    outcomes: Callable[[str, str], None],
    rounds: list[tuple[int, list[tuple[int, ...]], dict[int, int], int]],
    views: int,
) -> None:
    mailbox = Mailbox.create(SIDE, views)
    with mmap.mmap(mailbox.memfd, 0) as memory:
        slot_pages = (len(memory) - HEADER_BYTES) // SLOTS
        for slot in range(SLOTS):
            begin = HEADER_BYTES + slot * slot_pages
            memory[begin : begin + slot_pages] = bytes((slot,)) * slot_pages
        words = memoryview(memory)[:HEADER_BYTES].cast("Q")
        for newest, records, others, wakes in rounds:
            for view in range(views):
                mailbox.want(SIDE, view)
            for slot, record in enumerate(records):
                for offset, word in enumerate(record):
                    words[RECORDS + RECORD_WORDS * slot + offset] = word
            words[4] = newest
            for place, word in others.items():
                words[place] = word
            os.eventfd_write(mailbox.wake_fd, wakes)
            mailbox.clear_wake()
            frames = mailbox.take()
            outcomes("mailbox", f"{sum(frame is not None for frame in frames)} of {views} views")
            assert len(frames) in (0, views)
            counts = [mailbox.counts(view) for view in range(views)]
            numbers = (mailbox.captured, mailbox.broken, mailbox.decoded, *chain(*counts))
            assert all(isinstance(count, int) and count >= 0 for count in numbers)
            assert mailbox.sequence >= 0
            for frame in frames:
                if frame is None:
                    continue
                height, width, _ = frame.pixels.shape
                assert 0 < frame.pixels.size <= slot_pages
                assert not frame.pixels.flags.writeable
                (slot,) = np.unique(frame.pixels).tolist()
                assert slot < SLOTS
                assert 0 <= frame.captured_ns <= frame.received_ns <= frame.ready_ns
                assert frame.ready_ns <= monotonic_ns()
                assert frame.wanted in (0, SIDE)
                assert frame.region[2:] == (width, height)
            mailbox.prepare()
        words.release()
    mailbox.close()

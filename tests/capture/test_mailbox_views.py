"""Several views of a camera in one mailbox."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edged.capture.frame import Frame
from edged.capture.mailbox import NUMBERS, Mailbox, MailboxWriter, Place, ViewCounts
from edged.clock import monotonic_ns

VIEWS = 3
RECORD, PLACES, PLACE = 144, 144 + 8, 5
LEFT, RIGHT, ALL = Place(0, 0, 4, 6, 0), Place(4, 0, 4, 6, 0), Place(0, 0, 8, 6, 0)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox.create(16, VIEWS)
    yield box
    box.close()


@pytest.fixture
def writer(mailbox: Mailbox) -> MailboxWriter:
    return MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)


def halves() -> NDArray[np.uint8]:
    """1 on the left, 2 on the right."""
    picture = np.ones((6, 8, 3), np.uint8)
    picture[:, 4:] = 2
    return picture


def publish(
    writer: MailboxWriter,
    places: dict[int, Place],
    pixels: NDArray[np.uint8] | None = None,
    carried: Collection[int] = (),
    **more: int,
) -> None:
    now_ns = monotonic_ns()
    given = halves() if pixels is None else pixels
    writer.publish(given, now_ns - 2, now_ns - 1, places, carried=carried, **more)


def frame_of(mailbox: Mailbox, view: int) -> Frame:
    frame = mailbox.take()[view]
    assert frame is not None
    return frame


def test_each_view_gets_its_part_to_keep(mailbox: Mailbox, writer: MailboxWriter) -> None:
    assert mailbox.take() == ()
    publish(writer, {0: LEFT, 2: RIGHT}, leader=2)
    left, none, right = mailbox.take()
    assert left is not None
    assert right is not None
    assert none is None
    assert np.all(left.pixels == 1)
    assert np.all(right.pixels == 2)
    assert (left.region, right.region) == (LEFT[:4], RIGHT[:4])
    assert (left.leads, right.leads) == (False, True)
    assert left.sequence == right.sequence == 1
    for each in (left, right):
        assert each.pixels.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            each.pixels[0, 0, 0] = 9
    for value in range(3, 9):  # each slot is used again
        publish(writer, {1: ALL}, np.full((6, 8, 3), value, np.uint8))
        none = none or frame_of(mailbox, 1)
        mailbox.take()
    assert none is not None
    assert np.all(none.pixels == 3)
    assert np.all(left.pixels == 1)
    assert np.all(right.pixels == 2)


def test_equal_regions_share_their_pixels(mailbox: Mailbox, writer: MailboxWriter) -> None:
    mailbox.want(5, 1)
    publish(writer, {0: LEFT, 1: LEFT._replace(wanted=5), 2: RIGHT})
    first, second, third = mailbox.take()
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.pixels is second.pixels
    assert first.region == second.region != third.region
    assert (first.wanted, second.wanted) == (0, 5)


def test_the_latest_picture_has_all_views(mailbox: Mailbox, writer: MailboxWriter) -> None:
    publish(writer, {0: LEFT})
    assert np.array_equal(frame_of(mailbox, 0).pixels, halves()[:, :4])
    assert mailbox.latest is not None
    assert np.array_equal(mailbox.latest.pixels, halves())
    assert not mailbox.latest.whole
    publish(writer, {0: LEFT}, whole=True)
    frame_of(mailbox, 0)
    assert mailbox.latest.whole


def test_what_the_reader_needs_outlives_a_child(mailbox: Mailbox, writer: MailboxWriter) -> None:
    mailbox.want(160, 2)
    mailbox.show_whole = True
    for number in range(2):
        assert [writer.wanted(view) for view in range(VIEWS)] == [0, 0, 160]
        assert writer.show_whole
        assert mailbox.show_whole
        if number == 0:
            for word in (7, *range(16, 16 + VIEWS)):
                writer._words[word] = 0 if word == 7 else 99
            mailbox.prepare()
            writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    mailbox.show_whole = False
    assert not writer.show_whole


def test_the_only_view_gets_its_part_of_a_whole_picture() -> None:
    mailbox = Mailbox.create(16)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    mailbox.show_whole = True
    assert writer.show_whole
    publish(writer, {0: RIGHT}, whole=True)
    assert np.array_equal(frame_of(mailbox, 0).pixels, halves()[:, 4:])
    assert mailbox.latest is not None
    assert mailbox.latest.whole
    assert np.array_equal(mailbox.latest.pixels, halves())
    mailbox.close()


def test_who_has_not_seen_a_picture_is_served_by_the_next(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    publish(writer, {0: LEFT, 1: RIGHT})
    assert set(writer.untaken) == {0, 1}
    publish(writer, {0: LEFT, 1: RIGHT}, carried=[1])
    first, second, third = mailbox.take()
    assert first is not None
    assert second is not None
    assert third is None
    assert second.sequence == 2
    assert writer.untaken == ()
    assert [mailbox.counts(view).overwritten for view in range(VIEWS)] == [1, 0, 0]


def test_what_is_taken_in_the_last_moment_is_not_served_twice(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    publish(writer, {1: RIGHT})
    carried = writer.untaken
    frame_of(mailbox, 1)
    publish(writer, {0: LEFT, 1: RIGHT}, carried=carried)
    first, second, _ = mailbox.take()
    assert first is not None
    assert second is None
    assert mailbox.counts(1) == ViewCounts(0, 0, 0, 0)


def test_a_new_child_knows_whom_the_last_picture_waits_for(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    publish(writer, {0: LEFT, 2: RIGHT})
    mailbox.prepare()
    assert set(MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd).untaken) == {0, 2}


FATES = st.sampled_from(("due", "skipped", "quiet"))


@given(st.lists(st.one_of(st.just(()), st.tuples(*[FATES] * VIEWS)), max_size=40), st.booleans())
def test_each_view_counts_each_frame_once(steps: list[tuple[str, ...]], in_time: bool) -> None:
    """In `steps`, () takes; in_time: before the writer knows, not while it writes."""
    mailbox = Mailbox.create(16, VIEWS)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    captured, taken = 0, [0] * VIEWS
    waiting: set[int] = set()

    def take() -> None:
        frames = mailbox.take()
        assert {view for view, frame in enumerate(frames) if frame is not None} == waiting
        for view in waiting:
            taken[view] += 1
        waiting.clear()

    for number, step in enumerate(steps):
        if not step:
            take()
            continue
        writer.count(captured=1)
        captured += 1
        for view, fate in enumerate(step):
            if fate != "due":
                writer.count_for(view, **{fate: 1})
        due = {view for view, fate in enumerate(step) if fate == "due"}
        if due:
            carried = set(writer.untaken) - due
            if not in_time and number % 2:
                take()
            publish(writer, dict.fromkeys(due | carried, ALL), carried=carried)
            waiting |= due
    for view in range(VIEWS):
        fates = taken[view] + sum(mailbox.counts(view)) + (view in waiting)
        assert fates == captured == mailbox.captured
    mailbox.close()


def test_what_the_camera_leaves_out_counts_for_each_view(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    writer.count(captured=9, overwritten=1, skipped=2, off=4, broken=3)
    writer.count_for(1, overwritten=10, skipped=20, quiet=30)
    assert (mailbox.captured, mailbox.broken) == (9, 3)
    assert mailbox.counts(0) == ViewCounts(1, 2, 0, 4)
    assert mailbox.counts(1) == ViewCounts(11, 22, 30, 4)


def test_a_picture_for_no_view_is_progress(mailbox: Mailbox, writer: MailboxWriter) -> None:
    publish(writer, {0: LEFT})
    writer.count(unneeded=1)
    assert (mailbox.sequence, mailbox.decoded) == (1, 2)


def test_counts_go_on_in_another_mailbox(mailbox: Mailbox, writer: MailboxWriter) -> None:
    writer.count(captured=9, overwritten=1, skipped=2, off=4, broken=3)
    writer.count_for(0, skipped=10)
    writer.count_for(2, quiet=30)
    for _ in range(5):
        publish(writer, {0: LEFT})
    other = Mailbox.create(16, 4)
    other.go_on_from(mailbox, {0: 2, 1: None, 2: 0, 3: None})
    assert (other.captured, other.broken) == (9, 3)
    assert [other.counts(view) for view in range(4)] == [
        (1, 2, 30, 4),
        (1, 2, 0, 4),
        (5, 12, 0, 4),
        (1, 2, 0, 4),
    ]
    assert (other.sequence, other.take()) == (5, ())
    further = MailboxWriter.attach(other.memfd, other.wake_fd)
    for number in range(6, 11):  # each slot
        publish(further, {1: LEFT})
        assert frame_of(other, 1).sequence == number
    other.close()


def test_a_picture_made_before_a_change_is_for_the_views_that_stay(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    mailbox.want(160, 0)
    places = {0: LEFT._replace(wanted=160), 1: RIGHT}
    mailbox.serve({1: 1, 2: 0}, 1)
    mailbox.serve({1: 1, 0: 2}, 2)  # before the child has followed
    mailbox.want(160, 0)
    publish(writer, places)
    left, right, _ = mailbox.take()
    assert left is None
    assert right is not None
    publish(writer, {0: LEFT}, edition=1)
    assert mailbox.take() == (None, None, None)
    publish(writer, places, edition=2)
    assert np.all(frame_of(mailbox, 0).pixels == 1)
    assert mailbox.broken == 0


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (PLACES, 5),
        (PLACES, 2**64 - 1),
        (PLACES + 1, 1),
        (PLACES + 2, 9),
        (PLACES + 2, 2**64 - 1),
        (PLACES + 3, 0),
        (PLACES + 3, 7),
        (PLACES + 4, 160),
        (PLACES + PLACE + 4, 224),
        (RECORD, 2**32),
    ],
    ids=[
        "too far right",
        "far away",
        "too low",
        "too wide",
        "wide",
        "no height",
        "too high",
        "wanted by another view",
        "never wanted",
        "larger than a slot",
    ],
)
def test_a_place_that_cannot_be_is_a_counted_drop(
    mailbox: Mailbox, writer: MailboxWriter, word: int, value: int
) -> None:
    mailbox.want(160, 1)
    publish(writer, {0: LEFT, 1: RIGHT._replace(wanted=160)})
    writer._words[word] = value
    assert mailbox.take() == ()
    assert mailbox.broken == 1
    publish(writer, {0: LEFT})
    assert np.all(frame_of(mailbox, 0).pixels == 1)


def test_a_picture_for_nobody_is_a_counted_drop(mailbox: Mailbox, writer: MailboxWriter) -> None:
    publish(writer, {})
    assert mailbox.take() == ()
    assert mailbox.broken == 1


def test_as_many_views_as_there_may_be() -> None:
    mailbox = Mailbox.create(2048, NUMBERS)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    picture = np.zeros((1024, 4096, 3), np.uint8)
    places = {}
    for view in range(NUMBERS):
        mailbox.want(128, view)
        picture[:, 128 * view : 128 * (view + 1)] = view
        places[view] = Place(128 * view, 0, 128, 1024, 128)
        writer.count_for(view, skipped=view)
    for _ in range(4):  # each slot
        publish(writer, places, picture)
        for view, frame in enumerate(mailbox.take()):
            assert frame is not None
            assert np.all(frame.pixels == view)
            assert mailbox.counts(view).skipped == view
    mailbox.close()
    for count in (0, NUMBERS + 1):
        with pytest.raises(ValueError, match=f"{count} views"):
            Mailbox.create(224, count)

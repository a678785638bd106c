from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edged.capture.mailbox import HEADER_BYTES, Mailbox, MailboxWriter
from edged.clock import monotonic_ns
from tests.rig.camera import publish as publish_whole
from tests.rig.camera import taken, wait_until

FAST_WRITER = """
import sys
import numpy as np
from edged.capture.mailbox import MailboxWriter
from edged.clock import monotonic_ns
from tests.rig.camera import publish
writer = MailboxWriter.attach(int(sys.argv[1]), int(sys.argv[2]))
sequence = writer._words[4] >> 8
while True:
    sequence += 1
    side = 40 + sequence % 60
    now = monotonic_ns()
    publish(writer, np.full((side, 2 * side, 3), sequence & 0xFF, np.uint8), now, now)
    writer.count(captured=1)
"""

STOPS_WITH_THE_LOCK = """
import fcntl, os, signal, sys
import numpy as np
from edged.capture.mailbox import MailboxWriter
from tests.rig.camera import publish
writer = MailboxWriter.attach(int(sys.argv[1]), int(sys.argv[2]))
publish(writer, np.zeros((4, 4, 3), np.uint8), 1, 1)
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def writer_process(mailbox: Mailbox, script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(mailbox.memfd), str(mailbox.wake_fd)],
        pass_fds=(mailbox.memfd, mailbox.wake_fd),
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox.create(200)
    yield box
    box.close()


@pytest.fixture
def writer(mailbox: Mailbox) -> MailboxWriter:
    return MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)


def plain(value: int, height: int = 6, width: int = 8) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def publish(writer: MailboxWriter, value: int) -> None:
    now_ns = monotonic_ns()
    publish_whole(writer, plain(value), now_ns - 2, now_ns - 1)


def test_the_newest_picture_wins_and_the_others_are_counted(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    assert taken(mailbox) is None
    for value in (1, 2, 3):
        publish(writer, value)
    frame = taken(mailbox)
    assert frame is not None
    assert (frame.sequence, int(frame.pixels[0, 0, 0])) == (3, 3)
    assert frame.pixels.shape == (6, 8, 3)
    assert frame.captured_ns < frame.received_ns < frame.ready_ns
    assert mailbox.counts().overwritten == 2
    assert taken(mailbox) is None
    assert mailbox.latest is not None
    assert np.shares_memory(mailbox.latest.pixels, frame.pixels)


def test_a_picture_that_the_reader_holds_is_never_written_to(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    publish(writer, 1)
    held = taken(mailbox)
    assert held is not None
    for value in range(2, 20):
        publish(writer, value)
        assert np.all(held.pixels == 1)
    with pytest.raises(ValueError, match="read-only"):
        held.pixels[0, 0, 0] = 9
    newest = taken(mailbox)
    assert newest is not None
    assert np.all(newest.pixels == 19)


def test_pictures_of_any_strides_and_shape_that_fit(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    picture = np.arange(5 * 9 * 3, dtype=np.uint8).reshape(5, 9, 3)
    turned = np.rot90(picture)[:, ::-1]
    now_ns = monotonic_ns()
    publish_whole(writer, turned, now_ns, now_ns)
    frame = taken(mailbox)
    assert frame is not None
    assert np.array_equal(frame.pixels, turned)
    wide = plain(7, 100, 400)
    publish_whole(writer, wide, now_ns, now_ns)
    frame = taken(mailbox)
    assert frame is not None
    assert np.array_equal(frame.pixels, wide)
    with pytest.raises(ValueError, match="201x200 does not fit"):
        publish_whole(writer, plain(7, 200, 201), now_ns, now_ns)


def test_what_the_reader_wants_reaches_the_writer(mailbox: Mailbox, writer: MailboxWriter) -> None:
    assert writer.wanted() == 0
    mailbox.want(160)
    assert writer.wanted() == 160


def test_counters_and_sequence_go_on_with_the_next_writer(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    writer.count(captured=3, skipped=2, broken=1)
    publish(writer, 1)
    mailbox.prepare()
    successor = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    successor.count(captured=2, overwritten=1)
    publish(successor, 2)
    frame = taken(mailbox)
    assert frame is not None
    assert frame.sequence == mailbox.sequence == 2
    assert (mailbox.captured, mailbox.counts().skipped, mailbox.broken) == (5, 2, 1)
    assert mailbox.counts().overwritten == 2  # the unseen first picture, and the one counted


def test_the_wake_descriptor_tells_of_something_new(
    mailbox: Mailbox, writer: MailboxWriter
) -> None:
    def readable() -> bool:
        return bool(select.select([mailbox.wake_fd], [], [], 0)[0])

    assert not readable()
    publish(writer, 1)
    publish(writer, 2)
    assert readable()
    mailbox.clear_wake()
    assert not readable()
    mailbox.clear_wake()  # with nothing to clear


@given(st.lists(st.sampled_from(("publish", "take", "hold")), max_size=60))
def test_every_picture_is_taken_or_overwritten_or_waits(steps: list[str]) -> None:
    mailbox = Mailbox.create(16)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    published = seen = 0
    unseen = False
    for step in steps:
        if step == "publish":
            published += 1
            publish(writer, published)
            unseen = True
        elif step == "take":
            frame = taken(mailbox)
            assert (frame is not None) == unseen
            if frame is not None:
                seen += 1
                assert frame.sequence == published
            unseen = False
        if mailbox.latest is not None:
            assert np.all(mailbox.latest.pixels == mailbox.latest.sequence)
    assert published == seen + mailbox.counts().overwritten + unseen
    assert mailbox.broken == 0
    mailbox.close()


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.integers(0, HEADER_BYTES // 8 - 1),
        st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)),
        max_size=8,
    ),
    st.integers(0, 3),
)
def test_a_header_full_of_nonsense_never_crashes_the_reader(
    words: dict[int, int], published: int
) -> None:
    mailbox = Mailbox.create(16)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    for value in range(published):
        publish(writer, value)
    for index, word in words.items():
        writer._words[index] = word
    frame = taken(mailbox)
    if frame is not None:
        assert frame.pixels.size <= 16 * 16 * 3
        assert int(frame.pixels.sum()) >= 0  # every byte can be read
        assert 0 <= frame.captured_ns <= frame.received_ns <= frame.ready_ns <= monotonic_ns()
    # The next child starts as if nothing had been.
    mailbox.prepare()
    publish(MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd), 77)
    frame = taken(mailbox)
    assert frame is not None
    assert np.all(frame.pixels == 77)
    mailbox.close()


@pytest.mark.parametrize(
    ("captured_ns", "received_ns"),
    [(20, 10), (10, 2**62), (2**62, 2**62)],
    ids=["disorder", "received in the future", "all in the future"],
)
def test_impossible_times_are_a_counted_drop(
    mailbox: Mailbox, writer: MailboxWriter, captured_ns: int, received_ns: int
) -> None:
    publish(writer, 1)
    held = taken(mailbox)
    assert held is not None
    publish_whole(writer, plain(2), captured_ns, received_ns)
    assert taken(mailbox) is None
    assert mailbox.broken == 1
    assert taken(mailbox) is None
    assert mailbox.broken == 1  # counted once
    assert mailbox.latest is not None
    assert mailbox.latest.sequence == held.sequence
    for value in range(3, 9):
        publish(writer, value)
        assert np.all(held.pixels == 1)  # still held


@pytest.mark.parametrize(
    ("word", "value"),
    [(4, 1 << 8 | 3), (4, 1 << 8 | 255), (144, 0), (144, 2**32), (145, 2**63), (145, 0)],
    ids=["slot 3", "slot 255", "no width", "too wide", "too high", "no height"],
)
def test_a_picture_that_cannot_be_is_a_counted_drop(
    mailbox: Mailbox, writer: MailboxWriter, word: int, value: int
) -> None:
    publish(writer, 1)
    writer._words[word] = value
    assert taken(mailbox) is None
    assert mailbox.broken == 1


def test_no_picture_is_torn_by_a_fast_writer(mailbox: Mailbox) -> None:
    process = writer_process(mailbox, FAST_WRITER)
    try:
        previous = frames = 0
        assert wait_until(lambda: mailbox.sequence > 0)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            frame = taken(mailbox)
            if frame is None:
                continue
            frames += 1
            assert frame.sequence > previous
            previous = frame.sequence
            for _ in range(2):
                assert np.all(frame.pixels == frame.sequence & 0xFF)
                time.sleep(0.002 if frames % 5 else 0.02)
    finally:
        end(process)
    assert frames > 10
    assert mailbox.counts().overwritten > frames  # it was much faster than the reader
    last = taken(mailbox)
    seen = frames + (last is not None)
    # The kill may fall between counting a picture and replacing it.
    assert seen + mailbox.counts().overwritten - mailbox.sequence in (0, 1)
    assert mailbox.broken == 0


def test_writers_that_are_killed_at_any_moment_leave_a_working_mailbox(mailbox: Mailbox) -> None:
    previous = 0
    for _ in range(4):
        mailbox.prepare()
        process = writer_process(mailbox, FAST_WRITER)
        enough = mailbox.sequence + 50
        while mailbox.sequence < enough:
            time.sleep(0.001)
        end(process)
        frame = taken(mailbox)
        assert frame is not None
        assert frame.sequence > previous
        assert np.all(frame.pixels == frame.sequence & 0xFF)
        previous = frame.sequence


def test_a_writer_stopped_inside_the_lock_does_not_hold_up_the_reader(mailbox: Mailbox) -> None:
    process = writer_process(mailbox, STOPS_WITH_THE_LOCK)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        mailbox.clear_wake()
        begun = time.monotonic()
        assert taken(mailbox) is None
        assert time.monotonic() - begun < 0.5
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert taken(mailbox) is not None  # the kernel dropped the dead writer's lock
    finally:
        end(process)


def test_a_child_that_makes_the_wake_block_does_not_hold_up_the_reader(mailbox: Mailbox) -> None:
    """O_NONBLOCK is a matter of both ends, and the child may empty what was seen to be full."""
    os.eventfd_write(mailbox.wake_fd, 1)
    mailbox.clear_wake()
    os.set_blocking(mailbox.wake_fd, True)
    reader = threading.Thread(target=mailbox.clear_wake, daemon=True)
    reader.start()
    reader.join(2)
    assert not reader.is_alive()


def test_a_child_cannot_take_the_memory_away(mailbox: Mailbox) -> None:
    for size in (0, 1 << 30):
        with pytest.raises(PermissionError) as caught:
            os.ftruncate(mailbox.memfd, size)
        assert caught.value.errno == errno.EPERM


def test_only_a_mailbox_of_this_version_is_attached(mailbox: Mailbox) -> None:
    small = os.memfd_create("small")
    with pytest.raises(ValueError, match="not a mailbox: 0 bytes"):
        MailboxWriter.attach(small, mailbox.wake_fd)
    os.close(small)
    blank = os.memfd_create("blank")
    os.ftruncate(blank, 4 * HEADER_BYTES)
    with pytest.raises(ValueError, match="not a mailbox of version 2"):
        MailboxWriter.attach(blank, mailbox.wake_fd)
    os.close(blank)
    os.pwrite(mailbox.memfd, (99).to_bytes(8, sys.byteorder), 8)
    with pytest.raises(ValueError, match="not a mailbox of version 2"):
        MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)


def test_it_leaves_no_name_behind() -> None:
    shm = Path("/dev/shm")
    before = set(shm.iterdir()) if shm.exists() else set()
    box = Mailbox.create(100)
    publish(MailboxWriter.attach(box.memfd, box.wake_fd), 1)
    assert (set(shm.iterdir()) if shm.exists() else set()) == before
    box.close()

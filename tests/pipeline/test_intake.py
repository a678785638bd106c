"""What of a camera's pictures is shown, beside the frames of its views."""

from __future__ import annotations

import numpy as np
import pytest

from edged.capture.mailbox import Mailbox, MailboxWriter, Place
from edged.clock import monotonic_ns
from edged.pipeline.output import Output
from edged.pipeline.queue import Intake, ViewQueue


@pytest.mark.parametrize("views", [("yard/gate",), ("yard/gate", "yard/bin"), ("yard",)])
def test_only_whole_pictures_of_cameras_with_views_are_shown(views: tuple[str, ...]) -> None:
    mailbox = Mailbox.create(16, len(views))
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    output = Output(("a", "b"), 1, 0.0)
    queues = [
        ViewQueue(view, mailbox, output, 100.0, 0.95, index=index)
        for index, view in enumerate(views)
    ]
    (intake,) = Intake.each(queues)
    assert intake.whole is None
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for whole in (False, True, False):
        captured_ns = monotonic_ns()
        places = dict.fromkeys(range(len(views)), Place(4, 0, 4, 6, 0))
        writer.publish(picture, captured_ns, captured_ns, places, whole=whole)
        assert intake.take(())
        assert all(np.array_equal(q.waiting.pixels, picture[:, 4:]) for q in queues if q.waiting)
        if whole and views != ("yard",):
            assert intake.whole is not None
            assert np.array_equal(intake.whole.pixels, picture)
        else:
            assert intake.whole is None
    mailbox.close()


def test_a_view_that_is_off_gets_no_frame_and_counts_it() -> None:
    mailbox = Mailbox.create(16, 2)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    output = Output(("a", "b"), 1, 0.0)
    gate, bin = (
        ViewQueue(view, mailbox, output, 100.0, 0.95, index=index)
        for index, view in enumerate(("yard/gate", "yard/bin"))
    )
    (intake,) = Intake.each([gate, bin])

    def publish() -> bool:
        captured_ns = monotonic_ns()
        places = {0: Place(0, 0, 8, 6, 0), 1: Place(4, 0, 4, 6, 0)}
        writer.publish(np.zeros((6, 8, 3), np.uint8), captured_ns, captured_ns, places, whole=True)
        return intake.take(())

    for _ in range(2):
        assert publish()
    assert gate.waiting and bin.waiting
    assert gate.due_ns() is not None and gate.delivers(monotonic_ns())
    gate.on = False
    assert publish()
    assert (gate.waiting, gate.off, intake.views) == (None, 2, ["yard/bin"])
    assert bin.waiting is not None
    assert gate.due_ns() is None and not gate.delivers(monotonic_ns())  # others need not wait
    bin.on = False
    assert not publish()  # nobody wants to see the whole picture either
    assert (gate.off, bin.off, bin.waiting, bin.overwritten) == (3, 2, None, 2)
    gate.on = True
    assert publish()
    assert (gate.waiting is not None, gate.off, bin.off) == (True, 3, 3)
    mailbox.close()

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

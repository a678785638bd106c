"""What the capture process makes of a picture file."""

from __future__ import annotations

from pathlib import Path

from edged.capture.admission import Admission
from edged.capture.frame import Frame
from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.capture.source import CaptureRequest
from edged.capture.sources.folder import FolderSource
from edged.capture.worker import capture


def photograph(path: Path, mailbox: Mailbox, *, square: bool) -> None:
    """Deliver the picture as a camera whose source it is."""
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    request = CaptureRequest(str(path), square=square)
    said: list[object] = []
    admission = Admission(writer, None, said.append)
    capture(request, FolderSource(request, admission), writer, said.append)
    assert mailbox.captured == 1 and not mailbox.broken, said


def folder_frame(path: Path, wanted: int, *, square: bool) -> Frame:
    """wanted: short side in pixels, the largest resolution of the camera's family."""
    mailbox = Mailbox.create(2 * wanted)
    mailbox.want(wanted, 0)
    photograph(path, mailbox, square=square)
    frames = mailbox.take()
    assert frames and frames[0] is not None
    return frames[0]

"""The newest picture of one camera, in memory shared with its capture process (layout.py)."""

from edged.capture.frame import Place
from edged.capture.mailbox.layout import HEADER_BYTES, NUMBERS, SLOTS
from edged.capture.mailbox.mailbox import Mailbox, ViewCounts
from edged.capture.mailbox.writer import MailboxWriter

__all__ = ["HEADER_BYTES", "NUMBERS", "SLOTS", "Mailbox", "MailboxWriter", "Place", "ViewCounts"]

"""`edged teach …`: classifiers of one's own, taught on this device."""

from edged.commands.teach.parser import add

__all__ = ["add"]

"""`edged status`: what the running daemon does, on one screen."""

from edged.commands.status.status import add

__all__ = ["add"]

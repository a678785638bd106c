"""Paths, and secrets that are read from files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edged.atomic_file import read_file
from edged.errors import InputError, cannot_read

_LONGEST_SECRET_BYTES = 4096


def path_from(text: str, base: Path) -> Path:
    """The path, relative to `base`; `~` is expanded."""
    with suppress(RuntimeError):  # ~nobody: no such home
        return base / Path(text).expanduser()
    return base / text


def file_path(text: str) -> None:
    """Raises InputError for a text that is no path, without it: it may be a private key."""
    if not text.isprintable() or "-----BEGIN" in text:
        raise InputError("expected the path of a file, not its content")


def read_secret(file: Path, what: str) -> str:
    """The only line of a file, such as a systemd credential. what: its content, for the error.

    Raises InputError, which does not show the line.
    """
    try:
        content = read_file(file, _LONGEST_SECRET_BYTES + 1)
    except OSError as error:
        fix = (
            f"write {what} to that file and give the daemon's user read permission; relative "
            "paths start at the configuration's folder"
        )
        if not isinstance(cannot_read(file, error), InputError):
            raise cannot_read(file, error, fix) from None
        raise InputError(f"cannot be read: {error.strerror}", got=file, fix=fix) from None
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text or len(content) > _LONGEST_SECRET_BYTES:
        raise InputError(f"expected a file whose only line is {what}", got=file)
    return text

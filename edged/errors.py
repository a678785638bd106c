"""Errors for the user: what, where, the value found, and a fix."""

from __future__ import annotations

import errno
import shlex
import sys
from pathlib import Path

from edged.secret import redact

_MENDED_BY_A_PERSON = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENXIO, errno.ENODEV),
    )
)
"""File errors that persist until somebody changes the file or its name. Others, such as an I/O
error of a memory card, may be temporary."""


class EdgedError(Exception):
    """A failure reported in one message, without a traceback.

    what: what went wrong. where: file, `file:line`, camera, URL or address; credentials are masked.
    got: the value found. fix: what the user can do.
    """

    exit_status = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        # The user may have given an address instead of a file.
        self.where = None if where is None else redact(str(where))
        self.got = got
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        if self.got is not None:
            text += f" (got {self.got})"
        if self.fix is not None:
            text += f"; {self.fix}"
        return text


class InputError(EdgedError):
    """Invalid user input: a configuration, a model file, a picture, an argument."""

    exit_status = 2


class InputErrors(InputError):  # noqa: N818  (several errors)
    """Several errors in one input, reported together, one per line."""

    def __init__(self, errors: list[InputError]) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))


def cannot_read(path: str | Path, error: OSError, fix: str | None = None) -> EdgedError:
    """The exception for an unreadable file: InputError for an error that persists, otherwise
    EdgedError, on whose exit status the service is restarted."""
    kind = InputError if error.errno in _MENDED_BY_A_PERSON else EdgedError
    return kind(f"cannot be read: {error.strerror}", where=path, fix=fix)


DEBIAN_PREFIX = Path("/usr/lib/edged")
"""The virtual environment of the .deb, which has no pip."""
REINSTALL = "sudo apt install --reinstall ./edged_*.deb (the package's file)"
"""apt cannot fetch the package, as it is in no archive."""


def not_utf8(what: str, path: object, error: UnicodeDecodeError) -> InputError:
    """what: was expected, as in `expected UTF-8 text`. Names the line and the byte."""
    return InputError(
        what,
        where=f"{path}:{error.object.count(10, 0, error.start) + 1}",
        got=f"the byte 0x{error.object[error.start]:02x}",
        fix="save the file as UTF-8",
    )


class MissingPackageError(EdgedError):
    """A package is missing. install: pip's command that installs it. in_deb: edged's Debian package
    includes it."""

    def __init__(self, what: str, install: str, *, in_deb: bool = False) -> None:
        super().__init__(what, fix=how_to_install(install, in_deb=in_deb))


def how_to_install(command: str, prefix: Path = Path(sys.prefix), *, in_deb: bool = False) -> str:
    """The fix for a missing package. command: pip's. prefix: of this Python."""
    if prefix == DEBIAN_PREFIX:
        if in_deb:
            return f"install it again: {REINSTALL}"
        return (
            "edged's Debian package does not include it: use an edged installed with pip, on this "
            "machine or another (/usr/share/doc/edged/docs/operations.md)"
        )
    # Another Python's pip may be first on the path.
    return f"install it with: {shlex.quote(sys.executable)} -m {command}"

"""The errors a user can cause: each says what, where, what was got, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

from edged.secret import redact

_MENDED_BY_A_PERSON = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENXIO, errno.ENODEV),
    )
)
"""Errors of a file that stay until somebody changes the file or its name. Any other one, such as an
I/O error of a memory card, may be gone at the next try."""


class EdgedError(Exception):
    """A failure that is reported in one message, without a traceback.

    what: what went wrong.  where: file, `file:line`, camera, URL or address; logins are masked.
    got: what was found instead.  fix: what the reader can do about it.
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
        # An address may have been given where a file was expected.
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
    """The user's own input is wrong: a configuration, a model file, a picture, an argument."""

    exit_status = 2


class InputErrors(InputError):  # noqa: N818  (it is several of them)
    """Several things are wrong with one input; all are reported at once, one a line."""

    def __init__(self, errors: list[InputError]) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))


def cannot_read(path: str | Path, error: OSError, fix: str | None = None) -> EdgedError:
    """What to raise when a file of the user's cannot be read: InputError where a person must mend
    it, otherwise an EdgedError, whose exit status has the service started again.
    """
    kind = InputError if error.errno in _MENDED_BY_A_PERSON else EdgedError
    return kind(f"cannot be read: {error.strerror}", where=path, fix=fix)


class MissingPackageError(EdgedError):
    """An optional package is needed for what was asked. `install` is the command that brings it."""

    def __init__(self, what: str, install: str) -> None:
        super().__init__(what, fix=f"install it with: {install}")

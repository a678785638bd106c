"""The `edged` command: parses arguments, runs a command of edged/commands/, reports errors."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from edged import __version__
from edged.commands import (
    access,
    bench,
    cameras,
    classify,
    doctor,
    models,
    notify,
    replay,
    run,
    service,
    status,
    teach,
)
from edged.errors import EdgedError
from edged.secret import redact
from edged.service.journal import JournalHandler, writes_to_journal

_LIMITS = (errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.EAGAIN, errno.ENOMEM)


def program() -> NoReturn:
    """The process of a command.

    It skips Python's finalization, where a thread inside a runtime (a session or an engine that is
    being loaded, a network that hangs) would abort the process.
    """
    status = main()
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 success, 1 failure at run time, 2 bad usage or input, 3 no daemon answers."""
    _open_standard_streams()
    options = make_parser().parse_args(arguments)
    report = _log_to(writes_to_journal(os.environ))
    try:
        _check_folder()
        status: int = options.command(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except EdgedError as error:
        for line in str(error).splitlines():
            report(line)
        return error.exit_status
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in _LIMITS:
            report(f"a limit is too low for edged: {error.strerror}; see ulimit -a")
            return 1
        if error.errno in (errno.EACCES, errno.EPERM):
            path = error.filename or "a file"
            report(
                f"{path}: {error.strerror} for user {os.geteuid()}; namei -l {path} shows owners "
                "and modes"
            )
            return 1
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        report(f"cannot write the output: {error.strerror}")
        return 1
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != "can't start new thread":
            raise
        report(f"a limit is too low for edged: {error or 'no memory'}; see ulimit -a")
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _check_folder() -> None:
    """Raise EdgedError without a current folder: relative paths and children need one."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise EdgedError(
            "the current folder has been deleted", fix="cd to another folder"
        ) from None


def _open_standard_streams() -> None:
    """Open closed standard descriptors on /dev/null: otherwise the next file opened would take
    their place, and a capture process would find its mailbox as its standard input."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)


def _log_to(journal: bool) -> Callable[[str], None]:
    """Set up logging; returns the function that reports a failure."""
    if journal:
        logging.basicConfig(format="%(message)s", level=logging.INFO, handlers=[JournalHandler()])
        return logging.getLogger("edged").error
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
    return lambda line: print(f"edged: {line}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Never shows a misplaced password, as in `edged hash-password WORD`."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = self.parse_known_args(args, namespace)
        if hasattr(options, "paths") and not any(each.startswith("-") for each in rest):
            # argparse gives a list only what comes before the first option.
            options.paths += map(Path, rest)
        elif rest:
            unknown = [each.partition("=")[0] for each in rest if each.startswith("-")]
            known_form = [each for each in unknown if re.fullmatch(r"-[a-z]|--[a-z-]+", each)]
            named = f"unknown arguments: {' '.join(known_form)}"
            if not known_form:
                # Another word may be a password.
                files = [each for each in rest if os.path.lexists(each)]
                named = f"too many arguments{': ' * bool(files)}{' '.join(files)}"
                named += "; edged COMMAND --help shows what a command takes"
            self.error(named)
        return options

    def error(self, message: str) -> NoReturn:
        super().error(redact(message))


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="edged",
        description="Classifies camera frames with MobileNet within a latency budget.",
        epilog="To try it without a camera or a configuration: edged demo",
    )
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    watching = run, status, cameras, doctor, teach, notify
    for part in (*watching, service, access, classify, bench, replay, models):
        part.add(commands)
    return parser

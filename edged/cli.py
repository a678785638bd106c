"""The `edged` command: parses, calls a command of edged/commands/, reports what goes wrong."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence

from edged import __version__
from edged.commands import bench, models, replay, run
from edged.errors import EdgedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 success, 1 failure at run time, 2 bad usage or input."""
    _open_standard_streams()
    options = _parser().parse_args(arguments)
    logging.basicConfig(format=_log_format(), level=logging.INFO, stream=sys.stderr)
    try:
        status: int = options.command(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except EdgedError as error:
        for line in str(error).splitlines():
            print(f"edged: {line}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"edged: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _open_standard_streams() -> None:
    """A descriptor below 3 that is closed would go to the next file opened, and a capture process
    would then find its mailbox where its standard input belongs."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)


def _log_format() -> str:
    """The journal stamps its own time."""
    return "%(message)s" if "JOURNAL_STREAM" in os.environ else "%(asctime)s %(message)s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edged",
        description="Camera frames become MobileNet results inside a latency budget.",
        epilog="A first look, without a camera or a configuration: edged demo",
    )
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    for part in (run, bench, replay, models):
        part.add(commands)
    return parser

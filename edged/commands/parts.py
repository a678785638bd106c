"""What the commands share.

Commands import heavy libraries inside the functions that need them, so that `--help` and `check`
are fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edged.errors import EdgedError, InputError

if TYPE_CHECKING:
    from edged.config.config import Config

Commands = argparse._SubParsersAction  # the type has no public name


def add_command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace], int],
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    """`function` gets the parsed options and returns the exit status."""
    parser = commands.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def add_config(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Accept the configuration as FILE or -c FILE; `config_of` returns it."""
    parser.add_argument("file", type=_config_file, nargs="?", metavar="FILE", help=purpose)
    parser.add_argument("-c", "--config", type=_config_file, metavar="FILE", help="the same")


def file_or_folder(text: str) -> Path:
    """Refuses the empty path, which would be the current folder: it is mostly an unset variable."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty one")
    return Path(text)


def _config_file(text: str) -> Path:
    if "://" in text or (":" in text and "@" in text and not Path(text).exists()):
        raise argparse.ArgumentTypeError(
            "expected a configuration file, got an address: write it as a camera's source in "
            "that file, or try it with edged demo --source"
        )
    return file_or_folder(text)


def config_of(options: argparse.Namespace) -> Path | None:
    if options.file is not None and options.config is not None:
        raise InputError("expected one configuration", got=f"{options.file} and {options.config}")
    path: Path | None = options.config or options.file
    return path


def required_config_of(options: argparse.Namespace, example: str) -> Path:
    path = config_of(options)
    if path is None:
        raise InputError("no configuration given", fix=f"for example: {example}")
    return path


def find_config(given: Path | None) -> Config | None:
    """The configuration of the device's daemon: the one that is given, else ./edged.yaml or the
    service's, if it can be used. Raises InputError if the one that is given cannot."""
    from edged.config.config import load_config
    from edged.service.install import CONFIG

    if given is not None:
        return load_config(given, os.environ)
    for path in (Path("edged.yaml"), Path(CONFIG)):
        if path.is_file():
            try:
                return load_config(path, os.environ)
            except EdgedError as error:
                first = str(error).splitlines()[0]
                print(f"edged: going on without a configuration: {first}", file=sys.stderr)
                return None
    return None


def positive_int(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, got {text}")
    return number


def thread_count(text: str) -> int:
    """As in the configuration's `threads`."""
    from edged.config.schema import MOST_THREADS

    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MOST_THREADS}, got {text}")
    return number


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {text}")
    return number


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text}") from None


def positive_float(text: str) -> float:
    found = number(text)
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return found


def print_table(rows: Sequence[Mapping[str, object]], heads: Sequence[str]) -> None:
    """Print aligned columns; numbers to the right."""
    lines = [heads, *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    right = [isinstance(value, (int, float)) for value in rows[0].values()] if rows else []
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        print("  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in cells).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Creates and writes the plots; the only file that imports matplotlib."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from edged.atomic_file import write_whole
from edged.errors import EdgedError, InputError, MissingPackageError

# Metadata with a date, left out so that equal figures give equal bytes.
_UNDATED: dict[str, dict[str, None]] = {
    ".pdf": {"CreationDate": None},
    ".png": {},
    ".svg": {"Date": None},
}
_DOTS_PER_INCH = 200


def check_plot(path: Path) -> None:
    """Raise EdgedError before a long measurement if the plot could not be written."""
    if path.suffix.lower() not in _UNDATED:
        raise InputError(
            "not a supported plot format",
            where=path,
            got=repr(path.suffix),
            fix="use a name that ends in " + ", ".join(_UNDATED),
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError("no such folder", where=folder)
    if not os.access(folder, os.W_OK):
        raise InputError("no write permission for this folder", where=folder)
    try:
        import matplotlib  # noqa: F401  (whether it is there)
    except ImportError:
        raise MissingPackageError(
            "plots need the matplotlib package", "pip install 'edged[plot]'"
        ) from None


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure, in inches; its parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def write_figure(figure: Any, path: Path) -> None:
    """Write it in the format of the suffix. On EdgedError the previous file stays."""
    from matplotlib import rc_context

    suffix = path.suffix.lower()
    content = io.BytesIO()
    with rc_context({"svg.hashsalt": "edged"}):
        figure.savefig(content, format=suffix[1:], metadata=_UNDATED[suffix])
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise EdgedError("cannot write the plot", where=path, got=error.strerror) from None

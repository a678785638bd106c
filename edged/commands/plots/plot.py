"""Pictures of what the commands found: asked for, begun and written here.

The one file that imports matplotlib, which no device needs.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from edged.atomic_file import write_whole
from edged.errors import EdgedError, InputError, MissingPackageError

# For each kind of file what would tell the time: the same figures give the same bytes.
_UNDATED: dict[str, dict[str, None]] = {
    ".pdf": {"CreationDate": None},
    ".png": {},
    ".svg": {"Date": None},
}
_DOTS_PER_INCH = 200


def check_plot(path: Path) -> None:
    """Raise, before anything long is measured, what would keep the picture from being written."""
    if path.suffix.lower() not in _UNDATED:
        raise InputError(
            "not a kind of picture that can be drawn",
            where=path,
            got=repr(path.suffix),
            fix="give it a name that ends with " + ", ".join(_UNDATED),
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError("there is no such folder", where=folder)
    if not os.access(folder, os.W_OK):
        raise InputError("the folder is not to be written", where=folder)
    try:
        import matplotlib  # noqa: F401  (whether it is there)
    except ImportError:
        raise MissingPackageError(
            "drawing a picture needs the matplotlib package", "pip install 'edged[plot]'"
        ) from None


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure, in inches; its parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def write_figure(figure: Any, path: Path) -> None:
    """The kind of file follows the name. Raises EdgedError where it cannot be written; what was
    there stays then."""
    from matplotlib import rc_context

    suffix = path.suffix.lower()
    content = io.BytesIO()
    with rc_context({"svg.hashsalt": "edged"}):
        figure.savefig(content, format=suffix[1:], metadata=_UNDATED[suffix])
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise EdgedError("cannot write the picture", where=path, got=error.strerror) from None

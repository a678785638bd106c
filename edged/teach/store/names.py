"""Names of classifiers, classes, views, moments and pictures. They are also names of folders and
files, so each is checked before it becomes part of a path.
"""

from __future__ import annotations

import calendar
import hashlib
import re
import secrets
import time
import unicodedata
from collections.abc import Iterable
from contextlib import suppress

from edged.errors import InputError
from edged.printable import printable
from edged.variants.family import shipped_families

NONE = "none"
"""The class of everything else, which is taught by itself."""
VERBS = frozenset(
    ("add", "train", "deploy", "back", "label", "discard", "export", "import", "forget")
)
"""Of `edged teach NAME VERB`; no names, or a command without its name would mean another one."""
FEWEST_CLASSES, MOST_CLASSES = 2, 50
LONGEST_LABEL = 40
"""Characters."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VIEW = re.compile(rf"{_NAME.pattern}(/{_NAME.pattern})?")
_MOMENT = re.compile(r"(\d{8}T\d{6})Z-[0-9a-f]{4}", re.ASCII)
_STAMP = "%Y%m%dT%H%M%S"
_PICTURE = re.compile(r"[0-9a-f]{16}")
_LETTERS = ("L", "M", "N")
"""General categories of Unicode: letters, marks that belong to a letter, and digits."""


def check_name(name: str) -> str:
    """The name of a classifier. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "not a name for a classifier",
            got=repr(printable(name, 60)),
            fix="use a small letter, then small letters, digits, - or _; 32 characters at most",
        )
    if name in VERBS:
        what = "this is what `edged teach NAME …` can do with a classifier, so not a name for one"
        raise InputError(what, got=name, fix="choose another name")
    if name in shipped_families():
        what = "this is the name of a family of networks that comes with edged"
        raise InputError(what, got=name, fix="choose another name")
    return name


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_view(view: str) -> str:
    """`camera/view`, or `camera`. Raises InputError."""
    if not is_view(view):
        raise InputError(
            "not a view",
            got=repr(printable(view, 80)),
            fix="write camera/view, or camera if that camera has no views",
        )
    return view


def is_view(view: str) -> bool:
    return _VIEW.fullmatch(view) is not None


def check_classes(classes: Iterable[str]) -> tuple[str, ...]:
    """The classes in their normal form. Raises InputError."""
    found = tuple(map(check_label, classes))
    folded: dict[str, str] = {}
    for label in found:
        if (other := folded.setdefault(label.casefold(), label)) != label or found.count(label) > 1:
            raise InputError("two classes have the same name", got=f"{other} and {label}")
    if not FEWEST_CLASSES <= len(found) <= MOST_CLASSES:
        raise InputError(
            f"expected {FEWEST_CLASSES} to {MOST_CLASSES} classes",
            got=len(found),
            fix="name them all: --classes open,closed",
        )
    return found


def check_label(label: str) -> str:
    """The class in its normal form (NFC). Raises InputError."""
    label = unicodedata.normalize("NFC", label)
    if label.casefold() == NONE:
        raise InputError(
            f"the class {NONE} (nothing that was taught) is there by itself; choose another name",
            got=repr(label),
        )
    if not is_label(label):
        raise InputError(
            "not a name for a class",
            got=repr(printable(label, 60)),
            fix="begin with a letter or a digit; letters, digits, spaces, - _ and . may follow, "
            f"{LONGEST_LABEL} characters at most",
        )
    return label


def is_label(label: str) -> bool:
    """Whether it is the name of a class in its normal form."""
    return (
        0 < len(label) <= LONGEST_LABEL
        and all(unicodedata.category(each)[0] in _LETTERS or each in " -_." for each in label)
        and label[0] not in " -_."
        and label[-1] != " "
        and label.casefold() != NONE
        and label == unicodedata.normalize("NFC", label)
    )


def new_moment(unix: float) -> str:
    """A name for the moment of this time."""
    seconds = min(max(unix, 0.0), 253402300799.0)  # 9999
    return f"{time.strftime(_STAMP, time.gmtime(seconds))}Z-{secrets.token_hex(2)}"


def check_moment(moment: str) -> str:
    """Raises InputError."""
    if moment_unix(moment) is None:
        raise InputError("not the name of a moment", got=repr(printable(moment, 60)))
    return moment


def moment_unix(moment: str) -> float | None:
    """The time that the name tells; None for another name."""
    match = _MOMENT.fullmatch(moment)
    if match is not None:
        with suppress(ValueError):  # the 31st of February
            return float(calendar.timegm(time.strptime(match[1], _STAMP)))
    return None


def picture_id(jpeg: bytes) -> str:
    """Of its content."""
    return hashlib.sha256(jpeg).hexdigest()[:16]


def is_picture_id(text: str) -> bool:
    return _PICTURE.fullmatch(text) is not None

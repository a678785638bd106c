"""What a person has decided about a classifier: its view, its classes, its quota."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from edged.atomic_file import read_file
from edged.clock import rfc3339
from edged.document.json_line import Line, parse_line
from edged.errors import InputError, cannot_read
from edged.teach.store.names import check_classes, check_name, check_view

FILE = "classifier.json"
FORMAT = 1
QUOTA_BYTES = 200_000_000
LEAST_QUOTA_BYTES, MOST_QUOTA_BYTES = 1_000_000, 10**12
LARGEST_BYTES = 64 * 1024
"""Of a settings file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """view: `camera/view`, or `camera`. none: also teach the class of everything else. backbone: a
    shipped family's name or an absolute folder; empty for the best that the device has."""

    name: str
    view: str
    classes: tuple[str, ...]
    none: bool = True
    backbone: str = ""
    quota_bytes: int = QUOTA_BYTES
    created: str = field(default_factory=lambda: rfc3339(time.time_ns()))

    @classmethod
    def checked(
        cls,
        name: str,
        view: str,
        classes: tuple[str, ...],
        *,
        none: bool = True,
        backbone: str = "",
        quota_bytes: int = QUOTA_BYTES,
        created: str | None = None,
    ) -> Settings:
        """Raises InputError for what a classifier cannot have."""
        if not LEAST_QUOTA_BYTES <= quota_bytes <= MOST_QUOTA_BYTES:
            what = (
                f"expected a quota of at least {LEAST_QUOTA_BYTES // 10**6} MB and at most "
                f"{MOST_QUOTA_BYTES // 10**6} MB"
            )
            raise InputError(what, got=f"{quota_bytes / 1e6:g} MB")
        rest = {} if created is None else {"created": created}
        return cls(
            check_name(name),
            check_view(view),
            check_classes(classes),
            none,
            backbone,
            quota_bytes,
            **rest,
        )

    def to_json(self) -> bytes:
        values = {
            "format": FORMAT,
            "name": self.name,
            "view": self.view,
            "classes": list(self.classes),
            "none": self.none,
            "backbone": self.backbone,
            "quota_bytes": self.quota_bytes,
            "created": self.created,
        }
        return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"


def read_settings(folder: Path) -> Settings:
    """Of the classifier in the folder. Raises InputError, with the file, for what is not one."""
    path = folder / FILE
    try:
        content = read_file(path, LARGEST_BYTES, links=False)
    except OSError as error:
        raise cannot_read(path, error) from None
    line = parse_line(content, str(path), 1)
    if (version := line.take("format")) != FORMAT:
        raise line.error(f"the classifier's format is not {FORMAT}", repr(version))
    if line.text_at("name") != folder.name:
        raise line.error("a classifier of another name", repr(line.text_at("name")))
    classes = line.list_at("classes")
    if not all(isinstance(each, str) for each in classes):
        raise line.error("`classes` must be names", repr(classes))
    try:
        return Settings.checked(
            folder.name,
            line.text_at("view"),
            tuple(classes),
            none=_flag(line, "none"),
            backbone=str(line.values.get("backbone", "")),
            quota_bytes=int(line.number_at("quota_bytes")),
            created=line.text_at("created"),
        )
    except InputError as error:
        if error.where is not None:
            raise
        raise line.error(error.what, error.got) from None


def _flag(line: Line, key: str) -> bool:
    value = line.take(key)
    if not isinstance(value, bool):
        raise line.error(f"`{key}` must be true or false", repr(value))
    return value

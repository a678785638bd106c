"""Debian's form of CHANGELOG.md."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import format_datetime

MAINTAINER = "The edged maintainers <>"


def debian_changelog(text: str, suffix: str, built: datetime) -> str:
    """`suffix` of the versions, as in deb12; `built` dates the version that is not released yet.

    Raises ValueError for a heading without a date.
    """
    releases = re.split(r"^## ", text, flags=re.M)[1:]
    return "\n".join(line for each in releases for line in _release(each, suffix, built))


def _release(text: str, suffix: str, built: datetime) -> Iterator[str]:
    heading, _, body = text.partition("\n")
    found = re.fullmatch(r"(\S+) \((unreleased|\d{4}-\d\d-\d\d)\)", heading)
    if found is None:
        raise ValueError(f"CHANGELOG.md: expected VERSION (YYYY-MM-DD) in a heading, got {heading}")
    version, day = found.groups()
    if day != "unreleased":
        built = datetime.fromisoformat(day).replace(tzinfo=timezone.utc)
    yield from (f"edged ({version}+{suffix}) stable; urgency=medium", "")
    for entry in re.split(r"\n\n|\n(?=- )", body.strip()):
        words = " ".join(entry.removeprefix("- ").split())
        if re.search(r"[.:]$", words):
            yield textwrap.fill(words, 79, initial_indent="  * ", subsequent_indent="    ")
        else:  # a heading within the release
            yield from ("", f"  [ {words} ]")
    yield from ("", f" -- {MAINTAINER}  {format_datetime(built)}", "")

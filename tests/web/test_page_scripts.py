"""The scripts of a page are joined into one, in which a second function of a name replaces the
first silently."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from edged.web.page import PAGES

# They start a line only at the top level.
NAMED = re.compile(r"^(?:async )?(?:function\*?|class) ([\w$]+)", re.MULTILINE)
DECLARED = re.compile(r"^(?:const|let|var) (.*)", re.MULTILINE)
FIRST_OR_NEXT = re.compile(r"(?:^|, )([\w$]+)(?= = |;)")


def defined(script: str) -> list[str]:
    """The global names, each as often as it is defined."""
    declared = (name for line in DECLARED.findall(script) for name in FIRST_OR_NEXT.findall(line))
    return [*NAMED.findall(script), *declared]


@pytest.mark.parametrize("path", PAGES)
def test_no_global_name_is_defined_twice(path: str) -> None:
    html = PAGES[path].html.decode()
    names = defined(html.partition("<script>")[2].partition("</script>")[0])
    assert {"$", "HOUR_MS", "Refused", "sentence", "shownStatus", "always"} <= set(names)
    assert [name for name, count in Counter(names).items() if count > 1] == []

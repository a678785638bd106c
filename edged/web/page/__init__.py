"""The pages: one HTML file each with inline style and script, and a policy that allows no others.
They load nothing from elsewhere, so they work without Internet access.

A page is `shell.html`, which has the header, around its own `NAME.html`: the content of `main` and,
after a line `<!--beside-->`, what lies beside it. `<!--question-->` there brings the dialog of
`confirmed`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple


class Page(NamedTuple):
    """policy: its Content-Security-Policy."""

    html: bytes
    policy: str


_VERDICT = '<p><a id="headline" href="./">Asking the device …</a></p>'
_VERDICT_FIRST = '<h1 id="headline">Asking the device …</h1>'
_BESIDE = "<!--beside-->"


def _read(name: str) -> str:
    return (files(__name__) / name).read_text("utf-8")


def _allowed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _page(name: str, href: str, *scripts: str, style: str = "") -> Page:
    """href: of the page's link in the header."""
    styles = "".join(map(_read, filter(None, ("page.css", style))))
    script = "\n".join(_read(f"{each}.js") for each in ("common", "header", *scripts))
    policy = (
        "default-src 'none'",
        f"style-src {_allowed(styles)}",
        f"script-src {_allowed(script)}",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    main, _, beside = _read(f"{name}.html").partition(_BESIDE)
    whole = _read("shell.html")
    for mark, text in (
        (f'<a href="{href}"', f'<a href="{href}" aria-current="page"'),
        ("<!--headline-->", _VERDICT_FIRST if name == "overview" else _VERDICT),
        ("<!--main-->", main),
        (_BESIDE, beside),
        ("<!--question-->\n", _read("question.html")),
        ("/*style*/", styles),
        ("/*script*/", script),
    ):
        whole = whole.replace(mark, text, 1)
    return Page(whole.encode(), "; ".join(policy))


PAGES: Mapping[str, Page] = {
    "/": _page("overview", "./", "plots", "strip", "switches", "overview", "pictures", "figures"),
    "/events": _page("events", "events", "strip", "events", "event"),
    "/teach": _page(
        "teach", "teach", "plots", "teach", "teach_show", "teach_report", style="teach.css"
    ),
    "/device": _page("device", "device", "plots", "device"),
}

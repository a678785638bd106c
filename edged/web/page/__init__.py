"""The pages at `/` and `/teach`: one HTML file each with inline style and script, and a policy that
allows no others. They load nothing from elsewhere, so they work without Internet access.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import NamedTuple


class Page(NamedTuple):
    """policy: its Content-Security-Policy."""

    html: bytes
    policy: str


def _read(name: str) -> str:
    return (files(__name__) / name).read_text("utf-8")


def _scripts(*names: str) -> str:
    return "\n".join(_read(f"{name}.js") for name in names)


def _allowed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _page(html: str, styles: str, script: str) -> Page:
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
    whole = html.replace("/*style*/", styles).replace("/*script*/", script)
    return Page(whole.encode(), "; ".join(policy))


HTML_PAGE = _page(_read("page.html"), _read("page.css"), _scripts("common", "page"))
TEACH_PAGE = _page(
    _read("teach.html"),
    _read("page.css") + _read("teach.css"),
    _scripts("common", "teach", "teach_show", "teach_report"),
)

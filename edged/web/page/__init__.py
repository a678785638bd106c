"""The page at `/`: one HTML file with inline style and script, and a policy that allows no others.
It loads nothing from elsewhere, so it works without Internet access.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files


def _read(name: str) -> str:
    return (files(__name__) / name).read_text("utf-8")


def _allowed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _read("page.css"), _read("page.js")

HTML_PAGE = _read("page.html").replace("/*style*/", _STYLE).replace("/*script*/", _SCRIPT).encode()
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_allowed(_STYLE)}",
        f"script-src {_allowed(_SCRIPT)}",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

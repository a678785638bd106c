"""The page that teaches, open in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from edged.view import camera_of
from edged.web.options import HttpConfig
from tests.rig.browser import Browser
from tests.rig.feed import showing
from tests.rig.live import Views
from tests.rig.metrics import VARIANTS
from tests.rig.teaching import FakeTeaching


def measured_ms() -> dict[str, float]:
    return {
        each.name: round((each.alpha * each.resolution / 224) ** 2 * 60 + 2, 2) for each in VARIANTS
    }


VIEWS: Views = {
    "yard/gate": {"roi": (0.0, 0.2, 0.25, 0.5), "measured_ms": measured_ms},
    "yard/bin": {"roi": (0.5, 0.5, 0.5, 0.5)},
}


@contextmanager
def page(
    browser: Browser,
    teaching: FakeTeaching,
    path: str = "teach",
    width: int = 1280,
    *,
    views: Views = VIEWS,
    http: HttpConfig | None = None,
    dark: bool = False,
    login: str = "",
) -> Iterator[str]:
    """Its address. login: user and password in it."""
    with showing(views, *{camera_of(view): 0 for view in views}, teaching=teaching, http=http) as (
        _,
        url,
    ):
        url = url.replace("//", f"//{login}")
        browser.size(width, 844, 1, dark=dark)
        browser.open(url + path)
        browser.wait_for("!!document.querySelector('#classifiers [aria-current]')")
        yield url


def button(text: str, within: str = "document") -> str:
    """The first that is in sight and has this text."""
    return (
        f"[...{within}.querySelectorAll('button')].find((each) => each.offsetParent !== null"
        f" && each.textContent.startsWith({json.dumps(text)}))"
    )

"""axe-core, which finds what keeps people with disabilities from using a page."""

from __future__ import annotations

from typing import Any

from tests.rig.browser import Browser
from tests.rig.wheels import unpacked

WHEEL = "axe-playwright-python==0.1.8"
"""Brings the script. Its dependencies, which drive a browser, are not needed."""
_RUN = """axe.run(document).then(({ violations, passes }) => ({
  passed: passes.length,
  found: violations.map(({ id, impact, nodes }) => [impact, id,
    nodes.slice(0, 5).map((each) => `${each.html.slice(0, 160)} ${each.failureSummary}`)]),
}))"""


def script() -> str:
    """Skips where it cannot be had."""
    return (unpacked(WHEEL) / "axe_playwright_python/axe.min.js").read_text("utf-8")


def violations(browser: Browser, axe: str) -> list[Any]:
    """Of the page that is shown: [impact, rule, elements]."""
    browser.value(f"{axe}; 0")
    done = browser.value(_RUN)
    assert done["passed"] > 10  # it has looked
    return list(done["found"])

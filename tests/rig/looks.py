"""Whether what a page shows can be read, and touched with a finger."""

from __future__ import annotations

from tests.rig.browser import Browser

AA = 4.5
"""Least contrast of text: WCAG 2.2, 1.4.3."""
_CONTRASTS = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((it) => it / 255);
  };
  const over = (top, below) =>
    [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const light = (colour) => {
    const [r, g, b] = colour.map((it) =>
      (it <= .03928 ? it / 12.92 : ((it + .055) / 1.055) ** 2.4));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (it) => {
    if (!it) return rgba(getComputedStyle(document.body).backgroundColor);
    const own = rgba(getComputedStyle(it).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(it.parentElement));
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const it = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !it.checkVisibility()) continue;
    if (it.closest("figure, script, style, :disabled")) continue;
    const style = getComputedStyle(it);
    const ground = behind(it);
    const ink = over(rgba(it.closest("svg") ? style.fill : style.color), ground);
    const [a, b] = [light(ink), light(ground)];
    const text = texts.currentNode.data.slice(0, 60);
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), text]);
  }
  return found;
})()"""


def faint(browser: Browser, least: int = 10) -> list[str]:
    """Texts without enough contrast; there are `least` texts at least. Text on pictures and that
    of what cannot be used is left out."""
    found = browser.value(_CONTRASTS)
    assert len(found) > least
    return [text for ratio, text in found if ratio < AA]


def too_wide(browser: Browser, width: int) -> list[str]:
    """What is cut off at the right edge, once the page is not wider than the window."""
    browser.wait_for(  # a phone would zoom out: then innerWidth is larger
        f"innerWidth == {width} && document.documentElement.scrollWidth == {width}"
    )
    found: list[str] = browser.value(
        "[...document.querySelectorAll('body *')].filter((it) => it.checkVisibility() &&"
        " it.closest('.scroll, .unseen, .skip') === null"
        " && it.getBoundingClientRect().right > innerWidth + 0.5)"
        ".map((it) => it.outerHTML.slice(0, 200))"
    )
    return found


def small(browser: Browser, least: int, selector: str) -> list[str]:
    """Those that are less than `least` pixels high."""
    found: list[str] = browser.value(
        f"[...document.querySelectorAll('{selector}')].filter((it) =>"
        f" it.offsetParent !== null && it.getBoundingClientRect().height < {least})"
        ".map((it) => it.outerHTML.slice(0, 200))"
    )
    return found

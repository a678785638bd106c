"""What others could make of the page: markup from outside, other sites' scripts and frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rig.browser import CARD, CHROMIUM, Browser, page_config
from tests.rig.daemon import RunningDaemon
from tests.rig.http_server import answering

MARKUP = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


def test_markup_in_what_a_camera_says_is_text(tmp_path: Path) -> None:
    source = json.dumps(f"/nowhere/{MARKUP}.mp4")
    with RunningDaemon(tmp_path, page_config(cameras=f"door: {{source: {source}}}")) as daemon:
        daemon.wait_for(lambda: MARKUP in daemon.get("/api/v1/status")[1])
        with Browser() as browser:
            browser.open(f"http://127.0.0.1:{daemon.port}/")
            browser.wait_for(f"{CARD}?.textContent.includes({json.dumps(MARKUP)})")
            assert browser.value("document.querySelectorAll('[onerror]').length") == 0
            assert browser.value("document.title") != "owned"
            assert browser.trouble == []

            # Had the page made markup of it, its policy would still keep scripts from running.
            browser.value(
                f"document.body.insertAdjacentHTML('beforeend', {json.dumps(MARKUP)});"
                "const script = document.createElement('script');"
                "script.textContent = 'document.title = \"owned\"';"
                "document.body.append(script); 0"
            )
            browser.wait_for("document.querySelectorAll('[onerror]').length == 1")
            assert browser.value("document.title") != "owned"
            assert any("Content Security Policy" in each for each in browser.trouble)


THEIRS = """<!DOCTYPE html><link rel=icon href=data:,><script>
    window.told = {};
    for (const path of ["/", "/metrics", "/api/v1/status"])
        fetch("OURS" + path).then(() => told[path] = "read", () => told[path] = "no");
    const picture = new Image();
    picture.onload = () => told.picture = "shown";
    picture.onerror = () => told.picture = "no";
    picture.src = "OURS/api/v1/cameras/door/snapshot.jpg";
    addEventListener("load", () => told.loaded = "yes");
</script><iframe src="OURS/"></iframe>"""
"""A page without any policy, which tries to read, show and frame what is ours."""


def test_other_sites_neither_read_nor_show_nor_frame_it(tmp_path: Path) -> None:
    """The same address with another port is another site."""
    with (
        RunningDaemon(tmp_path, page_config()) as ours,
        answering(
            lambda *_: (200, "text/html", THEIRS.replace("OURS", f"http://127.0.0.1:{ours.port}"))
        ) as port,
        Browser() as browser,
    ):
        ours.wait_for(lambda: ours.metric('edged_results_total{camera="door"}') > 0)
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for("window.told && Object.keys(told).length == 5")
        assert json.loads(browser.value("JSON.stringify(told)")) == {
            **dict.fromkeys(("/", "/metrics", "/api/v1/status", "picture"), "no"),
            "loaded": "yes",
        }
        for why in ("frame-ancestors", "NotSameOrigin", "CORS policy"):
            assert any(why in each for each in browser.trouble), why

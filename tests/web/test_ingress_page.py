"""The pages behind Home Assistant's ingress, in a frame of its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.browser import CHROMIUM, Browser, page_config
from tests.rig.daemon import RunningDaemon
from tests.rig.home_assistant import INGRESS_PATH, SUPERVISOR, ingress

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
CONFIG = page_config().replace(
    "{listen: 127.0.0.1:0",
    f"{{listen: '127.0.0.1:0', ingress: {SUPERVISOR}, may: {{teach: ['ingress:anna']}}",
)
PAGE = "frames[0].document"
SHOWN = {
    "./": "[data-camera=door] figure img:not([hidden])",
    "events": ".hour",
    "teach": "#begin:not([hidden])",
    "device": "#profile .plot",
}
"""By the link in the header, what the page shows once it has asked the daemon."""


def test_all_pages_work_below_the_path_of_ingress(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, CONFIG) as daemon, ingress(daemon.port) as home:
        daemon.wait_for(lambda: daemon.metric('edged_results_total{camera="door"}') > 0)
        browser.open(home.url)
        browser.wait_for("frames.length == 1")
        for link, what in SHOWN.items():
            browser.wait_for(f"!!{PAGE}.querySelector('nav a[href=\"{link}\"]')")
            browser.value(f"{PAGE}.querySelector('nav a[href=\"{link}\"]').click()")
            path = f"{INGRESS_PATH}/{link.removeprefix('./')}"
            browser.wait_for(f"frames[0].location.pathname == '{path}'")
            browser.wait_for(f"!!{PAGE}.querySelector('{what}')")
            browser.wait_for(
                f"!{PAGE}.getElementById('headline')?.textContent.startsWith('Asking')"
            )
            if link == "./":
                browser.wait_for(f"{PAGE}.querySelector('{what}').naturalWidth > 0")

        # What the page links to is shown in the frame as well.
        browser.value(f"{PAGE}.querySelector('a[href=\"metrics\"]').click()")
        browser.wait_for(f"{PAGE}.body?.textContent.includes('edged_results_total')")

        # The stream of results comes as it is made.
        first = browser.value(
            f"fetch('{INGRESS_PATH}/api/v1/results').then((it) => it.body.getReader().read())"
            ".then(({ value }) => new TextDecoder().decode(value))"
        )
        assert first != ""
        assert home.strayed == []
        assert browser.trouble == []


def test_the_user_of_home_assistant_decides_who_may_teach(tmp_path: Path, browser: Browser) -> None:
    begin = (
        "frames[0].send('api/v1/teach/{}', {{ view: 'door', classes: ['open', 'closed'] }})"
        ".then(() => '', (error) => error.message)"
    )
    with RunningDaemon(tmp_path, CONFIG) as daemon, ingress(daemon.port) as home:
        daemon.wait_for(lambda: daemon.metric('edged_results_total{camera="door"}') > 0)
        browser.open(home.url)
        browser.wait_for("frames.length == 1")
        browser.wait_for(f"typeof frames[0].send == 'function' && !!{PAGE}.querySelector('nav')")
        assert browser.value(begin.format("gate")) == ""
        zip_ = f"fetch('{INGRESS_PATH}/api/v1/teach/gate/export.zip').then((it) => it.status)"
        assert browser.value(zip_) == 200
        home.user = "bob"
        assert browser.value(begin.format("other")).startswith("ingress:bob may only read")
        taught = f"fetch('{INGRESS_PATH}/api/v1/teach').then((it) => it.text())"
        listed = browser.value(taught)
        assert "gate" in listed and "other" not in listed
        # A page of Home Assistant's address may not pretend to be somebody else.
        cheat = (
            f"fetch('{INGRESS_PATH}/api/v1/teach/other', {{ method: 'POST',"
            "headers: { 'Content-Type': 'application/json', 'x-remote-user-name': 'anna' },"
            "body: JSON.stringify({ view: 'door', classes: ['open', 'closed'] }) })"
            ".then((it) => it.status)"
        )
        assert browser.value(cheat) == 403
        assert home.strayed == []

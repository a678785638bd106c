"""The browser that the tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.browser import Browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.forget()
    chromium.size(1280, 1000, 1)
    return chromium

"""What the tests share: the folder of real data, and which tests need what."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edged.variants.family import Family

_DAEMON_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(scope="session", autouse=True)
def _state_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Daemons that tests start keep their profile out of the home of whoever runs the tests."""
    os.environ["STATE_DIRECTORY"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A daemon in the test's own process leaves its signals ignored, as would every child."""
    before = {number: signal.getsignal(number) for number in _DAEMON_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    """A small one of real networks, on disk."""
    from tests.rig.families import make_family  # needs ONNX Runtime, which most tests do not

    return make_family(tmp_path / "animals")


@pytest.fixture(scope="session")
def data() -> Path:
    """Real weights, photos and clips; they are not part of the project."""
    folder = os.environ.get("EDGED_DATA")
    if folder is None:
        pytest.skip("needs real weights, photos and clips: set EDGED_DATA to their folder")
    return Path(folder)

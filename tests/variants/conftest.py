"""Servers, files and folders that several tests of the room begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.variants.weights.http_client import RetryPolicy
from tests.rig.downloads import CONTENT, NAME
from tests.rig.imports import LABELS, write_labels, write_tflite
from tests.rig.pulls import official_files
from tests.rig.weight_server import WeightServer, weight_server
from tests.rig.weights import TINY


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[WeightServer]:
    with weight_server({NAME: CONTENT}) as server:
        yield server


@pytest.fixture
def mirror(server: WeightServer) -> None:
    """The server has official files, too."""
    server.files |= official_files()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / NAME


@pytest.fixture
def pauses() -> list[float]:
    """What would have been waited for, in seconds."""
    return []


@pytest.fixture
def policy(pauses: list[float]) -> RetryPolicy:
    return RetryPolicy(timeout_seconds=60, retries=3, sleep=pauses.append)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a model file."""
    return tmp_path / "model"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """Of a family to come."""
    return tmp_path / "imagenet"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "labels.txt", LABELS)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_tflite(tmp_path / "tiny.tflite", TINY)

"""One file on a server of weights, and what a download leaves behind."""

from __future__ import annotations

from pathlib import Path

from tests.rig.weight_server import WeightServer

CONTENT = bytes(range(256)) * 2000
MOST_BYTES = 1 << 20
NAME = "weights.tgz"


def url(server: WeightServer, name: str = NAME) -> str:
    return f"{server.url}/{name}"


def left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}

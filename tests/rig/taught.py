"""Taught families whose heads are drawn by lot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.variants.family import Accuracy, Family
from edged.variants.mobilenet import Architecture
from edged.variants.taught import write_taught

GATE = ("open", "closed")


def head(channels: int, rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Scores that depend on the features."""
    random = np.random.default_rng(seed)
    return random.normal(0, 1 / np.sqrt(channels), (rows, channels + 1)).astype(np.float32)


def heads(backbone: Family, rows: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """For every network of the backbone."""
    return {
        network.sha256: head(Architecture(network.alpha, 1).features, rows, seed + number)
        for number, network in enumerate(backbone.networks)
    }


def make_taught(
    directory: Path,
    backbone: Family,
    labels: Sequence[str] = GATE,
    *,
    none: bool = True,
    seed: int = 0,
    top1: float | None = None,
) -> Family:
    """top1: as estimated, of all variants."""
    accuracy = {}
    if top1 is not None:
        judged = Accuracy(top1, None, 40, "moments left out", top1 - 0.05, top1 + 0.05)
        accuracy = {
            network.sha256: dict.fromkeys(network.resolutions, judged)
            for network in backbone.networks
        }
    made = heads(backbone, len(labels) + none, seed)
    return write_taught(directory, "gate", backbone, labels, made, accuracy, none)

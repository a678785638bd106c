"""Pictures that somebody sends, as the pipeline gets them."""

from __future__ import annotations

import numpy as np

from edged.clock import Clock, monotonic_ns
from edged.pipeline.sent import SentPicture, SentPictures


def send(
    sent: SentPictures,
    view: str = "door",
    value: int = 255,
    budget_ms: float = 500.0,
    clock: Clock = monotonic_ns,
) -> SentPicture:
    """A picture of one brightness."""
    now_ns = clock()
    pixels = np.full((32, 32, 3), value, np.uint8)
    picture = SentPicture(view, pixels, budget_ms, arrived_ns=now_ns, ready_ns=now_ns)
    sent.put(picture)
    return picture

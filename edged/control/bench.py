"""Every variant timed on this device: what `edged bench` prints.

Variants take turns, so that a disturbance meets all of them; the picture is a camera's size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.backends.loaded import LoadedFamily
from edged.clock import monotonic_ns
from edged.control.profile import Candidate, timed

PICTURE_SIDE = 270
"""A 1080p frame decoded at a quarter."""
SETTLING_ROUNDS = 2


def bench(loaded: LoadedFamily, runs: int, progress: Callable[[], object]) -> list[Candidate]:
    """Time preprocess and inference of each variant x threads, `runs` times.

    progress: called after each round of all of them.
    """
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (PICTURE_SIDE, PICTURE_SIDE, 3), dtype=np.uint8)
    family = loaded.family
    choices = [(variant, count) for variant in family.variants() for count in loaded.threads]
    times_ms: dict[tuple[object, int], list[float]] = {choice: [] for choice in choices}
    for round_number in range(SETTLING_ROUNDS + runs):
        for variant, count in choices:
            begun_ns = monotonic_ns()
            _, _, inferred_ns = loaded.infer(variant, count, pixels)
            if round_number >= SETTLING_ROUNDS:
                times_ms[variant, count].append((inferred_ns - begun_ns) / 1e6)
        if round_number >= SETTLING_ROUNDS:
            progress()
    return [
        timed(variant, count, family.top1(variant), times_ms[variant, count])
        for variant, count in choices
    ]

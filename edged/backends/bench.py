"""Times every variant on this device, and the cost of a pause, for `edged bench`.

Variants take turns, so that a disturbance affects all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.clock import Clock, monotonic_ns
from edged.control.profile import Candidate, Spread, timed
from edged.device import KEEP_WARM_SECONDS
from edged.variants.family import Family
from edged.variants.variant import Choice

PICTURE_SIDE = 270
"""A 1080p frame decoded at a quarter."""
SETTLING_ROUNDS = 2
PAUSES = 5
PAUSE_SECONDS = 1.0
RAMP_RATIO = 1.3
"""Limit of the first run after a pause, relative to steady runs. With constant clocks a pause costs
0.4 ms (x86-64, virtual): 1 % of MobileNet 1.0 at 224, but 58 % of 0.25 at 128."""


def bench(
    family: Family, loaded: LoadedNetworks, runs: int, progress: Callable[[], object]
) -> list[Candidate]:
    """Time preprocess and inference of each choice, `runs` times.

    loaded: the family's networks. progress: called after each round.
    """
    pixels = picture()
    times_ms: dict[Choice, list[float]] = {choice: [] for choice in sorted(loaded.choices)}
    for round_number in range(SETTLING_ROUNDS + runs):
        for choice, spent_ms in times_ms.items():
            begun_ns = monotonic_ns()
            _, _, inferred_ns = loaded.infer(choice, pixels, family.input.fit)
            if round_number >= SETTLING_ROUNDS:
                spent_ms.append((inferred_ns - begun_ns) / 1e6)
        if round_number >= SETTLING_ROUNDS:
            progress()
    return [
        timed(choice, family.top1(choice.variant), Spread.of(spent_ms))
        for choice, spent_ms in times_ms.items()
    ]


@dataclass(frozen=True, slots=True)
class Ramp:
    """Median times of the slowest variant, in ms. steady: without pauses; rested: first run after
    a pause; warm: the same with the cheapest variant running during the pause, as with `keep_warm`
    (None if not measured)."""

    variant: str
    steady_ms: float
    rested_ms: float
    warm_ms: float | None = None

    @property
    def slow(self) -> bool:
        return self.rested_ms > RAMP_RATIO * self.steady_ms


def ramp(
    loaded: LoadedNetworks,
    measured: Collection[Candidate],
    sleep: Callable[[float], None] = time.sleep,
    clock: Clock = monotonic_ns,
) -> Ramp:
    """Measure the cost of a pause of PAUSE_SECONDS.

    Lower clocks slow all variants by the same factor. The slowest variant shows it best: other
    costs of a pause (cold caches, sleep states) are a small part of its time.
    """
    dearest = max(measured, key=lambda each: each.p50_ms)
    cheapest = min(measured, key=lambda each: each.p50_ms)
    pixels = picture()

    def run_ms(candidate: Candidate) -> float:
        begun_ns = clock()
        _, _, inferred_ns = loaded.infer(candidate.choice, pixels)
        return (inferred_ns - begun_ns) / 1e6

    def rested_ms(keep_warm: bool) -> float:
        times_ms = []
        for _ in range(PAUSES):
            for _ in range(round(PAUSE_SECONDS / KEEP_WARM_SECONDS)):
                if keep_warm:
                    run_ms(cheapest)
                sleep(KEEP_WARM_SECONDS)
            times_ms.append(run_ms(dearest))
        return median(times_ms)

    steady_ms = dearest.p50_ms
    found = Ramp(dearest.variant.name, steady_ms, rested_ms(keep_warm=False))
    if not found.slow:
        return found
    return Ramp(found.variant, steady_ms, found.rested_ms, rested_ms(keep_warm=True))


def picture() -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (PICTURE_SIDE, PICTURE_SIDE, 3), dtype=np.uint8)

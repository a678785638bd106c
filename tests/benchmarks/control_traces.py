"""Traces to measure policies on: drawn from a seed, and measured or recorded ones from files.

Drawn ones disturb the sixteen official ImageNet variants in ways that are known exactly; they
say whether a policy understands one kind of disturbance. Measured ones (traces/, made by
`control.py collect`) say what happens on a machine. Recorded ones (`edged run --trace`) say what
happened to a daemon; the times of variants that did not run are estimated.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.tracing.recording import read_trace
from edged.tracing.reproduce import as_full
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant
from edged.variants.published import published_top1
from edged.variants.variant import Variant
from tests.benchmarks.control_collect import INTERVAL_MS

FRAMES = 6000
MEASURED = Path(__file__).parent / "traces"
VARIANTS = tuple(
    Variant(alpha, side) for alpha in (1.0, 0.75, 0.5, 0.25) for side in (224, 192, 160, 128)
)
# One thread of an undisturbed x86-64 core, alphas by resolutions.
P50_MS = (
    *(14.0, 10.3, 7.1, 4.6),
    *(8.6, 6.3, 4.4, 2.85),
    *(4.4, 3.3, 2.3, 1.5),
    *(1.6, 1.2, 0.85, 0.5),
)
PAUSE_MS = 4.0
BUDGET_PARTS = (0.25, 0.5, 1.0)
"""A budget is the median wait and so much of what the most accurate variant takes at the median."""
Floats = NDArray[np.float64]


def budgets_ms(trace: FullTrace) -> Iterator[float]:
    best = max(range(len(trace.variants)), key=lambda index: trace.variants[index].top1)
    wait_ms = statistics.median(frame.wait_ms for frame in trace.frames)
    best_ms = statistics.median(frame.service_ms[best] for frame in trace.frames)
    for part in BUDGET_PARTS:
        yield round(2 * (wait_ms + part * best_ms)) / 2


def synthetic(seed: int) -> dict[str, FullTrace]:
    """All of them; a seed gives the same traces for ever."""
    kinds: tuple[Callable[[np.random.Generator], FullTrace], ...] = (
        steady,
        regimes,
        thermal_ramp,
        short_bursts,
        camera_jitter,
        interruptions,
        mixed,
    )
    return {
        kind.__name__.replace("_", " "): kind(np.random.default_rng([seed, number]))
        for number, kind in enumerate(kinds)
    }


def measured() -> dict[str, FullTrace]:
    return from_files(sorted(MEASURED.glob("*.jsonl.gz")))


def from_files(paths: Iterable[Path]) -> dict[str, FullTrace]:
    """By the file's name; a recorded trace is one for each view."""
    traces = {}
    for path in paths:
        name = path.name.removesuffix(".gz").removesuffix(".jsonl").replace("-", " ")
        trace = read_trace(path)
        if isinstance(trace, FullTrace):
            traces[name] = trace
        else:
            traces |= {f"{name}, {view}": as_full(trace, view) for view in trace.views()}
    return traces


def steady(random: np.random.Generator) -> FullTrace:
    """Nothing happens, but for an interruption per second of running."""
    return _trace(random, np.ones(FRAMES), 0.05, 0.001)


def regimes(random: np.random.Generator) -> FullTrace:
    """Slow-downs of 1 to 4, each for ten seconds on average."""
    return _trace(random, _spells(random, 300, lambda: np.exp(random.uniform(0, np.log(4)))), 0.06)


def thermal_ramp(random: np.random.Generator) -> FullTrace:
    """The device heats up and throttles to 2.3 times, then cools."""
    time = np.linspace(0, 1, FRAMES)
    level = 1 + 1.3 * np.clip(np.minimum(time / 0.45, (1 - time) / 0.2), 0, 1)
    ripple = np.exp(0.03 * np.sin(np.arange(FRAMES) / 40))
    return _trace(random, level * ripple, 0.05)


def short_bursts(random: np.random.Generator) -> FullTrace:
    """Every five seconds or so, 4 to 24 frames take two to four times as long."""
    level, frame = np.ones(FRAMES), 0
    while frame < FRAMES:
        frame += max(10, int(random.exponential(150)))
        length = int(random.integers(4, 25))
        level[frame : frame + length] = random.uniform(2, 4)
        frame += length
    return _trace(random, level, 0.06)


def camera_jitter(random: np.random.Generator) -> FullTrace:
    """Frames come 2 to 20 ms old."""
    wait_ms = 2 + random.gamma(1.2, 2.0, FRAMES)
    return _trace(random, np.ones(FRAMES), 0.06, wait_ms=wait_ms)


def interruptions(random: np.random.Generator) -> FullTrace:
    """A neighbour that takes the core for 4 ms, every 50 ms of running."""
    return _trace(random, np.full(FRAMES, 1.1), 0.08, 0.02)


def mixed(random: np.random.Generator) -> FullTrace:
    """Calm, rough and very rough spells: level, scatter and interruptions change together."""
    kinds = ((1.0, 0.03, 0.001), (1.15, 0.1, 0.02), (1.5, 0.2, 0.05))
    kind = _spells(random, 400, lambda: float(random.integers(0, len(kinds)))).astype(int)
    level, scatter, rate = np.array(kinds)[kind].T
    return _trace(random, level, scatter, rate)


def _spells(random: np.random.Generator, mean: float, draw: Callable[[], float]) -> Floats:
    """One drawn value for each spell of at least 20 frames."""
    values: list[float] = []
    while len(values) < FRAMES:
        values += [draw()] * max(20, int(random.exponential(mean)))
    return np.array(values[:FRAMES])


def _trace(
    random: np.random.Generator,
    level: Floats,
    scatter: float | Floats,
    interruptions_per_ms: float | Floats = 0.002,
    wait_ms: Floats | None = None,
) -> FullTrace:
    """level, scatter (of log time) and the rate of interruptions: for each frame, or for all."""
    scatter, rate = (np.broadcast_to(x, FRAMES)[:, None] for x in (scatter, interruptions_per_ms))
    shape = (FRAMES, len(P50_MS))
    service_ms = np.array(P50_MS) * level[:, None] * np.exp(scatter * random.standard_normal(shape))
    number = random.poisson(rate * service_ms)
    service_ms = service_ms + number * PAUSE_MS * random.uniform(0.8, 1.2, shape)
    if wait_ms is None:
        wait_ms = 2 + random.gamma(2.0, 0.3, FRAMES)
    variants = tuple(
        TracedVariant(variant.name, published_top1(variant), p50_ms)
        for variant, p50_ms in zip(VARIANTS, P50_MS, strict=True)
    )
    frames = tuple(
        TracedFrame(index * INTERVAL_MS, float(wait), tuple(times))
        for index, (wait, times) in enumerate(zip(wait_ms, service_ms.tolist(), strict=True))
    )
    return FullTrace(variants, frames)

"""A result, as the pipeline would give it."""

from __future__ import annotations

from edged.result import Result, Score, Stages
from edged.variants.variant import Variant

LARGE = Variant(1.0, 224)


def make_result(
    sequence: int = 1,
    score: float = 0.93,
    *,
    camera: str = "door",
    latency_ms: float = 10.0,
    variant: Variant = LARGE,
    budget_ms: float = 33.0,
) -> Result:
    """Everything but one millisecond of each other stage was inference."""
    return Result(
        camera=camera,
        sequence=sequence,
        captured_unix_ns=1_700_000_000_000_000_000,
        budget_ms=budget_ms,
        variant=variant,
        threads=1,
        reason="budget",
        stages=Stages(1, 1, 1, 1, latency_ms - 5, 1),
        top=(Score("golf ball", score),),
    )

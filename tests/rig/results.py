"""Results as the pipeline makes them, and the lines that they become."""

from __future__ import annotations

import json

from edged.result import Result, Score, Stages
from edged.variants.variant import Variant

SMALL = Variant(0.25, 128)


def make_result(
    sequence: int = 1,
    score: float = 0.5,
    *,
    view: str = "door",
    latency_ms: float = 10.0,
    variant: Variant = SMALL,
    budget_ms: float = 33.0,
) -> Result:
    """Everything but one millisecond of each other stage was inference."""
    stages = Stages(1, 1, 1, 1, latency_ms - 5, 1)
    return Result(
        view=view,
        sequence=sequence,
        captured_unix_ns=1_700_000_000_000_000_000,
        budget_ms=budget_ms,
        variant=variant,
        threads=1,
        runtime="onnxruntime",
        reason="budget",
        stages=stages,
        latency_ms=sum(stages),
        top=(Score("line\nbreak", score),),
    )


def sequences(text: str) -> list[int]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["sequence"] for line in text.splitlines()]

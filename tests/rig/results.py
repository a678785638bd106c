"""Results as the pipeline makes them, and the lines that they become."""

from __future__ import annotations

import json

from edged.result import Result, Score, Stages
from edged.variants.variant import Variant


def make_result(sequence: int, score: float = 0.5) -> Result:
    return Result(
        camera="door",
        sequence=sequence,
        captured_unix_ns=0,
        budget_ms=33,
        variant=Variant(0.25, 128),
        threads=1,
        reason="budget",
        stages=Stages(1, 2, 3, 4, 5, 6),
        top=(Score("line\nbreak", score),),
    )


def sequences(text: str) -> list[int]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["sequence"] for line in text.splitlines()]

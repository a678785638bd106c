"""The scores that a result carries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edged.result import Score


@dataclass(slots=True)
class Output:
    labels: tuple[str, ...]
    top_k: int
    min_score: float

    def top(self, scores: NDArray[np.float32]) -> tuple[Score, ...]:
        """At most top_k labels whose scores reach min_score, best first."""
        left, found = scores.copy(), []
        # For a few out of a thousand, partitioning or sorting takes three times as long.
        for _ in range(min(self.top_k, len(scores))):
            best = int(left.argmax())
            score = float(left[best])
            if not self.min_score <= score < math.inf:  # also ends at NaN
                break
            found.append(Score(self.labels[best], score))
            left[best] = -1
        return tuple(found)

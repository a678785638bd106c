"""How much of a network's scores a result carries."""

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
        """The best labels, best first, with the scores that reach the minimum."""
        left, found = scores.copy(), []
        # A few are wanted of a thousand: to partition or sort these takes three times as long.
        for _ in range(min(self.top_k, len(scores))):
            best = int(left.argmax())
            score = float(left[best])
            if not self.min_score <= score < math.inf:  # or not a number
                break
            found.append(Score(self.labels[best], score))
            left[best] = -1
        return tuple(found)

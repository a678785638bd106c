"""The scores that a result carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edged.result import Score
from edged.variants.heads import HeadMatrix

_NOTHING = np.empty(0, np.float32)


@dataclass(slots=True)
class Output:
    """heads: of a taught family, by their networks' sha256; empty before it is taught, None for a
    family whose networks give its scores themselves."""

    labels: tuple[str, ...]
    top_k: int
    min_score: float
    heads: Mapping[str, HeadMatrix] | None = None

    @property
    def takes_features(self) -> bool:
        """A run gives it features in place of scores."""
        return self.heads is not None

    @property
    def silent(self) -> bool:
        """There are no scores, because nothing has been taught yet."""
        return self.heads is not None and not self.heads

    def rows(self, values: NDArray[np.float32], network: str) -> NDArray[np.float32]:
        """The scores of all classes, and of none of them where the heads know that, from what a run
        of the network gave; empty if silent."""
        if self.heads is None:
            return values
        return self.heads[network].scores(values) if self.heads else _NOTHING

    def top(self, rows: NDArray[np.float32]) -> tuple[Score, ...]:
        """At most top_k labels whose scores reach min_score, best first."""
        left, found = rows[: len(self.labels)].copy(), []
        # For a few out of a thousand, partitioning or sorting takes three times as long.
        for _ in range(min(self.top_k, len(left))):
            best = left.argmax()
            score = left.item(best)
            if not self.min_score <= score < math.inf:  # also ends at NaN
                break
            found.append(Score(self.labels[best], score))
            left[best] = -1
        return tuple(found)

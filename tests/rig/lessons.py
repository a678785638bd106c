"""Drawn lessons: pictures as features of two networks, in moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.teach.teach import Example, Extractor, Taught, teach

SIDES = (128, 224)
COLUMNS = {"small": 24, "large": 48}
NETWORKS = tuple(
    Extractor(name, {side: prior + side / 1000 for side in SIDES})
    for name, prior in (("small", 0.3), ("large", 0.5))
)


class Scene:
    """apart: how far the centres of the classes are. drift: how far moments of a class are, both
    in spreads of the pictures of one moment."""

    def __init__(self, classes: int, apart: float = 4.0, drift: float = 1.0, seed: int = 0) -> None:
        self.names = tuple("abcdefgh"[:classes])
        self._apart, self._drift = apart, drift
        self._random = np.random.default_rng(seed)
        self._centres = {
            name: self._random.normal(0, 1, (classes, columns)) / np.sqrt(columns)
            for name, columns in COLUMNS.items()
        }
        self.examples: list[Example] = []
        self.rows: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}

    def add(self, label: int, moments: int, pictures: int = 5, centre: int | None = None) -> None:
        """centre: of another class, for labels that say nothing."""
        shown = label if centre is None else centre
        for _ in range(moments):
            moment = f"moment-{len(self.examples)}"
            for name, columns in COLUMNS.items():
                place = 5 + self._apart * self._centres[name][shown] + self._noise(columns, 1)
                for _ in range(pictures):
                    copies = [place + self._noise(columns, 0.5) for _ in range(2 * len(SIDES))]
                    self.rows[name].append(np.reshape(copies, (2, len(SIDES), columns)))
            self.examples += [
                Example(f"{moment}-{number}", label, moment) for number in range(pictures)
            ]

    def _noise(self, columns: int, scale: float) -> NDArray[Any]:
        spread = self._drift if scale == 1 else scale
        return self._random.normal(0, spread, columns) / np.sqrt(columns)

    def features(self, name: str) -> NDArray[np.float16]:
        return np.array(self.rows[name], np.float16)

    def none(self, name: str) -> NDArray[np.float16]:
        columns = COLUMNS[name]
        random = np.random.default_rng(7)
        spread = 5 + random.normal(0, 6, (40, 1, columns)) / np.sqrt(columns)
        return np.repeat(spread, len(SIDES), axis=1).astype(np.float16)

    def teach(self, *, none: bool = True, classes: Sequence[str] | None = None) -> Taught:
        return teach(
            self.examples,
            self.names if classes is None else classes,
            NETWORKS,
            self.features,
            self.none if none else None,
        )

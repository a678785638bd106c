"""What each view saw, added up in memory until it is written once a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edged.result import Result

MOST_CLASSES = 5
"""Named in a minute; the results of others are the rest."""


class Minute(NamedTuple):
    """What a view saw in one minute, or in a part of it before or after a reload.

    started_ms: Unix time. results, late: those later than the budget. stale: frames too late to
    run. latency_ms: mean; None without results. variant: the one that most results came from.
    accuracy: expected top-1 of the variants that ran, best_accuracy of the best one of the view;
    None where the family does not say. classes: number of results by their top class, MOST_CLASSES
    at most. nothing: results without a class above min_score.
    """

    view: str
    started_ms: int
    results: int
    late: int
    stale: int
    latency_ms: float | None
    variant: str | None
    accuracy: float | None
    best_accuracy: float | None
    classes: Mapping[str, int]
    nothing: int


@dataclass(slots=True)
class _Part:
    late: int = 0
    stale: int = 0
    latency_ms: float = 0.0
    """Sum."""
    tops: dict[str | None, int] = field(default_factory=dict)
    """Results by top class; None where none was above min_score."""
    variants: dict[str, int] = field(default_factory=dict)

    def sum_up(self, view: str, started_ms: int, top1: Mapping[str, float]) -> Minute:
        tops = sorted(self.tops.items(), key=lambda item: -item[1])
        named = [item for item in tops if item[0] is not None]
        results = sum(self.tops.values())
        known = {name: count for name, count in self.variants.items() if name in top1}
        right = sum(top1[name] * count for name, count in known.items())
        return Minute(
            view,
            started_ms,
            results,
            self.late,
            self.stale,
            self.latency_ms / results if results else None,
            max(self.variants, key=self.variants.__getitem__, default=None),
            right / sum(known.values()) if known else None,
            max(top1.values(), default=None),
            {str(label): count for label, count in named[:MOST_CLASSES]},
            self.tops.get(None, 0),
        )


class Minutes:
    """`observe` and `stale` are called for each frame, the rest seldom; from any thread."""

    def __init__(self, unix_ns: Callable[[], int] = time.time_ns) -> None:
        self._unix_ns = unix_ns
        self._top1: Mapping[str, Mapping[str, float]] = {}
        self._parts: dict[str, _Part] = {}
        self._over: list[Minute] = []
        """Of before a reload."""
        self._begun_ms = 0
        self._lock = threading.Lock()

    def follow(self, top1: Mapping[str, Mapping[str, float]]) -> None:
        """Continue with these views. top1: by view and variant, where it is known."""
        with self._lock:
            self._over += self._cut()
            self._top1 = top1
            self._parts = {view: _Part() for view in top1}

    def observe(self, result: Result, latency_ms: float) -> None:
        """latency_ms: of the result, which computes it."""
        label = result.top[0].label if result.top else None
        variant = result.variant.name
        with self._lock:
            part = self._parts[result.view]
            part.tops[label] = part.tops.get(label, 0) + 1
            part.variants[variant] = part.variants.get(variant, 0) + 1
            part.latency_ms += latency_ms
            part.late += latency_ms > result.budget_ms

    def stale(self, view: str) -> None:
        """Count a frame too late to run."""
        with self._lock:
            self._parts[view].stale += 1

    def take(self) -> list[Minute]:
        """What was seen since the last call, and begin anew. Views without results and frames are
        left out."""
        with self._lock:
            taken = [*self._over, *self._cut()]
            self._over.clear()
        return taken

    def _cut(self) -> list[Minute]:
        begun_ms, self._begun_ms = self._begun_ms, self._unix_ns() // 1_000_000
        cut = []
        for view, part in self._parts.items():
            if part.tops or part.stale:
                cut.append(part.sum_up(view, begun_ms, self._top1[view]))
                self._parts[view] = _Part()
        return cut

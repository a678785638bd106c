"""Who is told of results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edged.result import Result

Seen: TypeAlias = Callable[
    [Result, NDArray[np.float32], NDArray[np.float32], str, NDArray[np.uint8]], None
]
"""Receives a result of a view that is taught or will be; its features (channels,); the scores of
its labels and, last, of none of them, which are empty before it is taught; the sha256 of its
network; and its picture, which is valid until the call returns."""


class ResultObserver(Protocol):
    """Receives what the metrics count."""

    def observe(self, result: Result) -> None: ...
    def stale(self, view: str) -> None: ...
    def shed(self, view: str, *, by_power: bool) -> None: ...
    def switched(self, view: str, reason: str) -> None: ...

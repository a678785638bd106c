"""Whether a version is worse than the one that runs, according to their reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

TOLERANCE = 0.01
"""A difference of a point is within what a few moments can tell."""


class Worse(NamedTuple):
    """top1: balanced accuracy, mean of the variants, on pictures that were not taught; None if it
    cannot be judged. running: that of the version that runs, `runs`. moments: that both were judged
    on; None where each was on its own."""

    version: int
    runs: int
    top1: float | None
    running: float
    moments: int | None

    def __str__(self) -> str:
        if self.top1 is None:
            return (
                f"version {self.version} cannot be judged, while version {self.runs}, which runs, "
                f"was right in {100 * self.running:.0f} % of the cases"
            )
        of = "" if self.moments is None else f" on the {self.moments} moments that are new to it"
        return (
            f"version {self.version} is right in {100 * self.top1:.0f} % of the cases, version "
            f"{self.runs}, which runs, in {100 * self.running:.0f} %{of}"
        )


def worse_than(
    version: int, report: Mapping[str, Any], runs: int, running: Mapping[str, Any]
) -> Worse | None:
    """None if it is not worse. running: the report of version `runs`."""
    compared = report.get("comparison") or {}
    if compared.get("version") == runs:
        top1, other = float(compared["top1"]), float(compared["running"])
        moments: int | None = int(compared["moments"])
    else:
        before = mean_top1(running)
        if before is None:
            return None
        now = mean_top1(report)
        if now is None:
            return Worse(version, runs, None, before, None)
        top1, other, moments = now, before, None
    return Worse(version, runs, top1, other, moments) if top1 < other - TOLERANCE else None


def mean_top1(report: Mapping[str, Any]) -> float | None:
    """Over the variants; None where nothing could be judged."""
    shares = [each["top1"] for each in report["estimate"]["variants"].values()]
    return sum(shares) / len(shares) if shares else None

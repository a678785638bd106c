"""What a report says, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edged.printable import printable
from edged.teach.store.comparison import mean_top1

MOST_CONFUSIONS = 3
MOST_LEFT_OUT = 10


def learned(report: Mapping[str, Any]) -> Iterator[str]:
    """How good it is, and how sure that is; one sentence a line."""
    estimate = report["estimate"]
    shares: Mapping[str, Mapping[str, float]] = estimate["variants"]
    top1 = mean_top1(report)
    if not estimate["judged"] or top1 is None:
        yield "It cannot be judged yet: add another moment of each class, three are better."
    else:
        low = min(each["low"] for each in shares.values())
        high = max(each["high"] for each in shares.values())
        yield (
            f"It is right in about {percent(top1)} of new cases; the truth is most likely between "
            f"{percent(low)} and {percent(high)} ({estimate['moments']} moments)."
        )
        if estimate["rough"]:
            yield "This is a rough figure: a class has only two moments. Add a third of each."
        yield from _extremes(shares)
    yield from _confusions(report["confusion"])
    left_out: Sequence[Mapping[str, str]] = report["left_out"]
    for each in left_out[:MOST_LEFT_OUT]:
        yield f"Left out: picture {each['picture']}: {printable(each['reason'])}."
    if len(left_out) > MOST_LEFT_OUT:
        yield f"Left out: {len(left_out) - MOST_LEFT_OUT} more pictures."
    yield from report["warnings"]


def to_add(report: Mapping[str, Any]) -> Iterator[str]:
    yield from report["advice"]


def thresholds(report: Mapping[str, Any]) -> Iterator[str]:
    """For events in edged.yaml."""
    for label, each in report["thresholds"].items():
        often = _number(float(each["false_starts_per_day"]))
        yield f"{label}: above {each['above']:.2f} ({often} false starts a day expected)"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def counted(count: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _extremes(shares: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Of the variants, the best and the worst."""
    best = max(shares, key=lambda name: shares[name]["top1"])
    worst = min(shares, key=lambda name: shares[name]["top1"])
    if best != worst:
        yield (
            f"Best variant: {best} with {percent(shares[best]['top1'])}; "
            f"least good: {worst} with {percent(shares[worst]['top1'])}."
        )


def _confusions(confusion: Mapping[str, Any]) -> Iterator[str]:
    labels: Sequence[str] = confusion["labels"]
    found = [
        (count, sum(row), label, said)
        for label, row in zip(labels, confusion["counts"], strict=False)
        for said, count in zip(labels, row, strict=False)
        if label != said and count >= 0.5
    ]
    found.sort(key=lambda each: each[0], reverse=True)
    for count, of, label, said in found[:MOST_CONFUSIONS]:
        taken = "not recognized" if said == "none" else f"taken for {said}"
        were = "was" if round(count) == 1 else "were"
        yield f"Of {of:.0f} pictures of {label}, {count:.0f} {were} {taken}."


def _number(count: float) -> str:
    return f"{count:.0f}" if count >= 10 else f"{count:.1f}"

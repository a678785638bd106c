"""What to add next, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edged.teach.curve import Point
from edged.teach.estimate import ENOUGH_MOMENTS, Confusion, Estimate, Evidence

_LOW = 0.75
"""Mean accuracy below which frozen features may be the limit."""
_STILL_RISING = 0.02
"""Gain in accuracy from the last step of the learning curve that promises more."""
_FEW_MOMENTS = 10
_OFTEN = 0.1
"""Share of a class's pictures."""
_UNEVEN = 3


def advice(
    evidence: Evidence,
    classes: Sequence[str],
    estimate: Estimate,
    confusion: Confusion,
    curve: Sequence[Point],
) -> tuple[str, ...]:
    """Sentences, the most useful first."""
    return tuple(_sentences(evidence, classes, estimate, confusion, curve))


def _sentences(
    evidence: Evidence,
    classes: Sequence[str],
    estimate: Estimate,
    confusion: Confusion,
    curve: Sequence[Point],
) -> Iterator[str]:
    counts = evidence.moments_by_class()
    for name, count in zip(classes, counts, strict=True):
        if count < ENOUGH_MOMENTS:
            why = "nothing can be judged" if count < 2 else "the estimate is rough"
            yield (
                f"Show {name!r} in {_more(ENOUGH_MOMENTS - count)}, at another time, place or "
                f"light: with {_moments(count)} {why}."
            )
    if not estimate.judged:
        return
    yield from _mistakes(evidence, classes, confusion)
    most, least = max(counts), min(counts)
    if least >= ENOUGH_MOMENTS and most >= _UNEVEN * least:
        name = classes[counts.index(least)]
        yield f"Add moments of {name!r} first: it has {least}, another class {most}."
    gain = curve[-1].top1 - curve[-2].top1 if len(curve) > 1 else 0.0
    mean = sum(share.top1 for share in estimate.variants.values()) / len(estimate.variants)
    if gain >= _STILL_RISING:
        yield (
            f"Go on adding moments: the last step, from {curve[-2].moments} to "
            f"{curve[-1].moments}, raised the accuracy by {100 * gain:.0f} points."
        )
    elif mean < _LOW and least >= ENOUGH_MOMENTS:
        yield (
            "More of the same pictures will hardly help. Draw a smaller region around what "
            "differs, or name classes that differ more: digits, small print and small parts are "
            "beyond these networks."
        )
    elif least >= ENOUGH_MOMENTS:
        yield (
            "More of the same pictures will hardly help: add moments that are unlike those there "
            "are, such as night, rain, or another position."
        )
    if least >= ENOUGH_MOMENTS and sum(counts) < _FEW_MOMENTS:
        low = min(share.low for share in estimate.variants.values())
        yield (
            f"The estimate comes from {sum(counts)} moments: the least accurate variant may be "
            f"right in no more than {100 * low:.0f} % of them. More moments make it surer."
        )


def _mistakes(evidence: Evidence, classes: Sequence[str], confusion: Confusion) -> Iterator[str]:
    """The two confusions that are most frequent."""
    found = []
    for label, row in enumerate(confusion.counts):
        pictures = int((evidence.labels == label).sum())
        for said, count in enumerate(row):
            if said != label and count > _OFTEN * pictures:
                found.append((count / pictures, label, said))
    for share, label, said in sorted(found, reverse=True)[:2]:
        if said == len(classes):
            yield (
                f"{100 * share:.0f} % of the pictures of {classes[label]!r} are taken for none of "
                f"the classes: add moments of {classes[label]!r}, or draw a smaller region "
                "around it."
            )
        else:
            yield (
                f"{100 * share:.0f} % of the pictures of {classes[label]!r} are taken for "
                f"{classes[said]!r}: add moments of both in which they look alike."
            )


def _moments(count: int) -> str:
    return "one moment" if count == 1 else f"{count} moments"


def _more(count: int) -> str:
    return "one more moment" if count == 1 else f"{count} more moments"

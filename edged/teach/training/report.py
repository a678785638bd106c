"""report.json of a version: what it was taught on, and how sure what it learned is."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence

from edged.clock import rfc3339
from edged.teach.store import Settings
from edged.teach.teach import Estimate, Example, Taught
from edged.teach.training.against import Comparison
from edged.variants.family import Family
from edged.variants.network import Accuracy

FORMAT = 1
DECIMALS = 4


def source_of(settings: Settings, estimate: Estimate) -> str:
    """What the figures were measured on; the same for all variants, so that they count."""
    return f"held-out moments of {settings.name}: {estimate.moments}"


def accuracy_of(
    settings: Settings, taught: Taught, family: Family, pictures: int
) -> dict[str, dict[int, Accuracy]]:
    """By network and resolution; empty where nothing can be judged."""
    found: dict[str, dict[int, Accuracy]] = {network.sha256: {} for network in family.networks}
    if taught.estimate.judged:
        source = source_of(settings, taught.estimate)
        for (network, side), share in taught.estimate.variants.items():
            shares = (_rounded(each) for each in (share.top1, share.low, share.high))
            top1, low, high = shares
            found[network][side] = Accuracy(top1, None, pictures, source, low, high)
    return found


def report_json(
    settings: Settings,
    family: Family,
    version: int,
    trained_unix_ns: int,
    examples: Sequence[Example],
    labelled: Collection[str],
    taught: Taught,
    left_out: Sequence[tuple[str, str]],
    warnings: Sequence[str],
    comparison: Comparison | None,
) -> bytes:
    """labelled: the moments that had a label then, whether or not their pictures could be read."""
    classes, estimate = settings.classes, taught.estimate
    names = {
        (network.sha256, variant.resolution): variant.name
        for network in family.networks
        for variant in network.variants()
    }
    pictures = Counter(example.label for example in examples)
    moments = Counter(label for label, _ in {(each.label, each.moment) for each in examples})
    said = (*classes, "none")
    values = {
        "format": FORMAT,
        "version": version,
        "trained_at": rfc3339(trained_unix_ns),
        "view": settings.view,
        "backbone": family.name,
        "classes": list(classes),
        "none": settings.none,
        "pictures": {label: pictures[index] for index, label in enumerate(classes)},
        "moments": {label: moments[index] for index, label in enumerate(classes)},
        "moment_ids": sorted(labelled),
        "left_out": [{"picture": picture, "reason": why} for picture, why in left_out],
        "warnings": list(warnings),
        "estimate": {
            "judged": estimate.judged,
            "rough": estimate.rough,
            "moments": estimate.moments,
            "variants": {
                names[key]: {
                    "top1": _rounded(share.top1),
                    "low": _rounded(share.low),
                    "high": _rounded(share.high),
                }
                for key, share in sorted(estimate.variants.items(), key=lambda each: names[each[0]])
            },
        },
        "comparison": None if comparison is None else comparison.to_json(),
        "confusion": {
            "labels": list(taught.confusion.labels),
            "counts": [[_rounded(count) for count in row] for row in taught.confusion.counts],
        },
        "worst": [
            {
                "picture": each.picture,
                "label": classes[each.label],
                "said": said[each.said],
                "score": _rounded(each.score),
            }
            for each in taught.worst
        ],
        "curve": [
            {"moments": each.moments, "pictures": each.pictures, "top1": _rounded(each.top1)}
            for each in taught.curve
        ],
        "thresholds": {
            label: {
                "above": _rounded(each.above),
                "false_starts_per_day": round(float(each.false_starts_per_day), 2),
            }
            for label, each in taught.thresholds.items()
        },
        "advice": list(taught.advice),
    }
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _rounded(share: float) -> float:
    number = float(share)
    assert math.isfinite(number)
    return round(number, DECIMALS)

"""teach.md of the results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from edged.teach.light import COPIES
from edged.teach.none import PICTURES
from tests.benchmarks.teach import drawn
from tests.benchmarks.teach.sets import CLIPS
from tests.benchmarks.teach.studies import (
    ASKED_EVERY,
    DRAWS,
    HONEST_DRAWS,
    HONEST_SIZES,
    LIGHTS,
    LOT_SECONDS,
    MOST_COPIES,
    PENALTIES,
    SETS,
    Results,
)

GOALS = {
    ("trash", 20): (0.56, 0.70),
    ("trash", 50): (0.63, 0.76),
    ("bottle", 20): (0.92, 0.94),
    ("person", 20): (0.96, 0.96),
}
HEAD = """# Taught heads

Written by `make bench-teach`, with EDGED_DATA: the official ImageNet networks 0.25, 0.5, 0.75 and
1.0, de-quantised, each at 128, 160, 192 and 224 pixels, through ONNX Runtime; heads as
`edged/teach` teaches them, with the class `none` from {photos} photos and {copies} lit copy of each
picture, the whole of which is squashed into a square, as in a view. *trash*: 6 kinds of trash,
tested on other objects. *bottle* (complete, missing, a hand) and *person* (empty, a person): clips,
tested later in time. Accuracy is balanced: the mean of the classes' shares. Pictures are drawn from
the part to teach from; means are of {draws} draws where nothing else is said.

![Accuracy by pictures, estimates against the truth, light, and none](teach.png)
"""


def report(results: Results) -> str:
    parts = (_goals, _accuracy, _honesty, _differences, _none, _light, _penalty, _cost)
    head = HEAD.format(photos=PICTURES, copies="one" if COPIES == 1 else COPIES, draws=DRAWS)
    return "\n".join([head, *(part(results) for part in parts)])


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "".join("| " + " | ".join(str(each) for each in line) + " |\n" for line in lines)


def _goals(results: Results) -> str:
    """What was asked for, and what was found."""
    cost = results.cost
    assert cost is not None
    rows = []
    for (name, size), (worst, best) in GOALS.items():
        shares = results.accuracy[name, size]
        found = f"{shares.min():.3f} / {shares[-1]:.3f}"
        what = f"{name}, {size} pictures a class: worst of 16 / 1.0@224"
        rows.append((what, f"{worst} / {best}", found))
    covered = [each for found in results.honesty.values() for each in found.covered]
    few = [np.mean(above) for (_, count), above in results.few_moments.items() if count > 1]
    differences = max(_root(results.honesty[name, 20].shrunken) for name in SETS)
    above = [results.strangers[name, "photos"][0].mean() for name in SETS]
    own = [
        results.strangers[name, "no none"][1].mean() - results.strangers[name, "photos"][1].mean()
        for name in SETS
    ]
    lost = [_lost(results, name, COPIES) for name in CLIPS]
    lots = (f"{np.mean(said):.3f} ± {_error(said):.3f}" for said in results.lots.values())
    rows += [
        ("intervals that cover the truth", "0.85", f"{np.mean(covered):.3f}"),
        ("2 or 3 moments: estimate above the truth, points", "5", f"{100 * max(few):+.1f}"),
        ("labels by lot: estimate", "0.5 ± 2 s.e.", ", ".join(lots)),
        ("error of differences, 20 pictures a class, worst set", "0.028", f"{differences:.4f}"),
        (
            "strangers above 0.6: mean (worst set)",
            "0.05",
            f"{np.mean(above):.3f} ({max(above):.3f})",
        ),
        (
            "own accuracy lost to none, points: mean (worst set)",
            "1",
            f"{100 * np.mean(own):.1f} ({100 * max(own):.1f})",
        ),
        ("lost in other light, points: worst clip", "3", f"{max(lost):.1f}"),
        ("one pass over the 16 variants, inferences", "7.5", f"{cost.one_pass:.1f}"),
        (f"heads, {cost.heads[0][0]} pictures, inferences", "20", f"{cost.heads[0][1]:.1f}"),
    ]
    return "## Goals\n\n" + table(("what", "goal", "found"), rows)


def _accuracy(results: Results) -> str:
    rows = [
        (
            name,
            size,
            f"{shares.min():.3f}",
            f"{shares[0]:.3f}",
            f"{shares[-1]:.3f}",
            f"{shares.mean():.3f}",
        )
        for (name, size), shares in results.accuracy.items()
    ]
    columns = ("set", "pictures a class", "worst of 16", "0.25@128", "1.0@224", "mean of 16")
    return "## Held-out accuracy\n\n" + table(columns, rows)


def _honesty(results: Results) -> str:
    rows = []
    for (name, size), found in results.honesty.items():
        judged = len(found.covered)
        rows.append(
            (
                f"{name}, {size} pictures a class",
                f"{judged} of {judged + found.unjudged}",
                _share(found.covered),
                _signed(found.above),
            )
        )
    covered = [each for found in results.honesty.values() for each in found.covered]
    few = [
        (
            f"{name}, {count} moment{'s' * (count > 1)} a class",
            f"{len(above)} of {HONEST_DRAWS}",
            _signed(above),
        )
        for (name, count), above in results.few_moments.items()
    ]
    lots = [
        (name, len(said), f"{np.mean(said):.3f}", f"{_error(said):.3f}")
        for name, said in results.lots.items()
    ]
    return f"""## Honesty

{HONEST_DRAWS} draws. *covered*: how many of the 95 % intervals of the 16 variants hold the accuracy
on the test part; over all rows {np.mean(covered):.3f}. *above*: estimate minus truth in points,
mean over the variants and draws, with its standard deviation between draws. Estimates of *bottle*
are low because two of its classes have two moments to teach from: the folds learn from one.

{table(("set", "judged", "covered", "above"), rows)}
With few moments a class, at most 20 pictures a class of them:

{table(("set", "judged", "above"), few)}
Clips in pieces of {LOT_SECONDS:g} s, each with a label drawn by lot, so that the truth is .5; mean
over the variants before shrinking:

{table(("clip", "draws", "estimate", "standard error"), lots)}"""


def _differences(results: Results) -> str:
    rows = [
        (name, size, f"{_root(found.raw):.4f}", f"{_root(found.shrunken):.4f}")
        for (name, size), found in results.honesty.items()
    ]
    for size in HONEST_SIZES:
        means = [
            [value for name in SETS for value in getattr(results.honesty[name, size], field)]
            for field in ("raw", "shrunken")
        ]
        rows.append(("all", size, *(f"{_root(each):.4f}" for each in means)))
    return f"""## Differences between variants

Root mean square error of the differences of the 16 variants from their mean.

{table(("set", "pictures a class", "raw", "shrunken"), rows)}"""


def _none(results: Results) -> str:
    ways = dict.fromkeys(way for _, way in results.strangers)
    rows = []
    for name in SETS:
        plain = results.strangers[name, "no none"][1].mean()
        for way in ways:
            above, own = results.strangers[name, way]
            rows.append((name, way, *_stranger_row(above.mean(), above.max(), own.mean(), plain)))
    for way in ways:
        pairs = [results.strangers[name, way] for name in SETS]
        plain = np.mean([results.strangers[name, "no none"][1].mean() for name in SETS])
        above = np.mean([each.mean() for each, _ in pairs])
        worst = max(each.max() for each, _ in pairs)
        own = np.mean([each.mean() for _, each in pairs])
        rows.append(("mean", way, *_stranger_row(above, worst, own, plain)))
    return f"""## None of these

20 pictures a class. *strangers*: photos of ImageNet's and imagenette's validation sets, which were
not taught, of which a class scores above 0.6. *drawn*: {drawn.PICTURES} pictures drawn by code
(`tests/benchmarks/teach/drawn.py`); *photos*: the {PICTURES} that come with edged. Strangers are
hardest among kinds of trash, because some are of metal, glass or paper.

{
        table(
            ("set", "none from", "strangers", "worst variant", "own accuracy", "lost, points"),
            rows,
        )
    }"""


def _stranger_row(above: float, worst: float, own: float, plain: float) -> list[str]:
    return [f"{above:.3f}", f"{worst:.3f}", f"{own:.3f}", f"{100 * (plain - own):+.1f}"]


def _light(results: Results) -> str:
    rows = []
    for name in CLIPS:
        for count in range(MOST_COPIES + 1):
            plain = results.light[name, count, "as taught"]
            lit = [results.light[name, count, kind] for kind in LIGHTS]
            rows.append(
                (
                    name,
                    count,
                    f"{plain:.3f}",
                    *(f"{each:.3f}" for each in lit),
                    f"{_lost(results, name, count):+.1f}",
                )
            )
    columns = ("clip", "lit copies", "as taught", *LIGHTS, "mean loss, points")
    return f"""## Other light

20 pictures a class, asked in other light (brightness x0.4, gamma 2, red x1.25 and blue x0.7, the
reverse) on every {ASKED_EVERY}nd test picture; mean of the 16 variants. Each copy costs one more
pass over the networks. The light of a copy depends on the picture, so that one copy of each teaches
all lights.

{table(columns, rows)}"""


def _penalty(results: Results) -> str:
    rows = [
        (
            f"{penalty:g} / n",
            *(f"{results.penalties[name, penalty][0]:.3f}" for name in SETS),
            *(f"{results.penalties[name, penalty][1]:.3f}" for name in SETS),
        )
        for penalty in PENALTIES
    ]
    columns = (
        "penalty",
        *(f"{name}, accuracy" for name in SETS),
        *(f"{name}, strangers" for name in SETS),
    )
    return f"## Penalty\n\n20 pictures a class, n pictures in all.\n\n{table(columns, rows)}"


def _cost(results: Results) -> str:
    cost = results.cost
    assert cost is not None
    rows = [
        ("one pass of a picture over all 16 variants", f"{cost.one_pass:.1f}"),
        *((f"heads and estimate, {count} pictures", f"{each:.1f}") for count, each in cost.heads),
    ]
    return f"""## Cost

In inferences of 1.0@224 through ONNX Runtime on one thread of the same process
({1000 * cost.seconds:.1f} ms of processor time here), least of {DRAWS}. A pass includes preparing
the pictures. {1 + COPIES} passes a picture are taught.

{table(("what", "inferences"), rows)}"""


def _lost(results: Results, clip: str, copies: int) -> float:
    """Points, mean over the lights."""
    lit = [results.light[clip, copies, kind] for kind in LIGHTS]
    return 100 * (results.light[clip, copies, "as taught"] - float(np.mean(lit)))


def _share(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f}" if values else "-"


def _signed(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{100 * np.mean(values):+.1f} ± {100 * np.std(values):.1f}"


def _error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def _root(squares: Sequence[float]) -> float:
    return math.sqrt(np.mean(squares)) if squares else math.nan

"""What is measured: accuracy, honesty, none, light and cost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edged.teach import fit, light
from edged.teach.none import PICTURES, none_picture
from edged.teach.teach import Key
from tests.benchmarks.teach import drawn as drawing
from tests.benchmarks.teach.backbone import Eye, Features, backbone
from tests.benchmarks.teach.sets import CLIPS, Labelled, Picture, pictures, read_set
from tests.benchmarks.teach.trials import (
    ByNetwork,
    Seen,
    drawn,
    drawn_moments,
    held_out,
    strangers_above,
    trial,
    truth,
)

SETS = ("trash", "bottle", "person")
SIZES = (5, 20, 50)
DRAWS, HONEST_DRAWS = 5, 20
HONEST_SIZES = (5, 10, 20)
MOST_COPIES = 5
LIT_EVERY, ASKED_EVERY = 4, 2
"""Frames of the clips that are taught in, and asked in, other light."""
LOT_SECONDS, LOT_EVERY = 3.0, 3
"""Of the frames in the tables, every third."""
PENALTIES = (0.05, 0.5, 1.5, 5.0)
Shares = NDArray[np.float64]
"""Of the variants, in their order."""


def relit(
    picture: Picture, brightness: float = 1, gamma: float = 1, gains: Sequence[float] = (1, 1, 1)
) -> Picture:
    levels = np.asarray(gains) * brightness * (picture / 255) ** gamma
    return np.clip(np.rint(255 * levels), 0, 255).astype(np.uint8)


LIGHTS: Mapping[str, Callable[[Picture], Picture]] = {
    "x0.4": partial(relit, brightness=0.4),
    "gamma 2": partial(relit, gamma=2.0),
    "warm": partial(relit, gains=(1.25, 1.0, 0.7)),
    "cold": partial(relit, gains=(0.7, 1.0, 1.25)),
}


@dataclass(frozen=True, slots=True)
class Honesty:
    """Of one set and size: a row for each draw that can be judged."""

    unjudged: int
    covered: list[float]
    """Share of the variants whose interval covers the truth."""
    above: list[float]
    """Estimate minus truth, mean over the variants."""
    shrunken: list[float]
    raw: list[float]
    """Mean square errors of the differences between variants."""


@dataclass(frozen=True, slots=True)
class Cost:
    """In inferences of 1.0@224 on one thread of the same process. seconds: of one such."""

    seconds: float
    one_pass: float
    heads: Sequence[tuple[int, float]]
    """Of so many pictures."""


@dataclass(slots=True)
class Results:
    variants: list[str] = field(default_factory=list)
    accuracy: dict[tuple[str, int], Shares] = field(default_factory=dict)
    honesty: dict[tuple[str, int], Honesty] = field(default_factory=dict)
    few_moments: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    lots: dict[str, list[float]] = field(default_factory=dict)
    strangers: dict[tuple[str, str], tuple[Shares, Shares]] = field(default_factory=dict)
    """By set and kind of none: strangers above 0.6, own accuracy."""
    light: dict[tuple[str, int, str], float] = field(default_factory=dict)
    """By set, copies and light: accuracy, mean over the variants."""
    penalties: dict[tuple[str, float], tuple[float, float]] = field(default_factory=dict)
    """By set and penalty: accuracy and strangers, means over the variants."""
    cost: Cost | None = None


class Bench:
    def __init__(self, data: Path, cache: Path) -> None:
        self._data = data
        self.family = backbone(data, cache)
        self._features = Features(self.family, cache)
        self._results = Results(
            [each.name for network in self.family.networks for each in network.variants()]
        )

    def run(self) -> Results:
        seen = {name: self._seen(name) for name in SETS}
        none = self._none("photos")
        for study in (self._accuracy, self._honesty, self._few_moments, self._strangers):
            for name in SETS:
                study(seen[name], none)
                print(study.__name__, name, flush=True)
        for name in CLIPS:
            self._lots(seen[name], none)
            self._light(seen[name], none)
            print("light", name, flush=True)
        self._results.cost = self._cost(seen["bottle"], none)
        return self._results

    # ----------------------------------------------------------------------------------- features

    def _seen(self, name: str) -> Seen:
        found = read_set(self._data, name)
        names, plain = self._features.of(f"{name}-0", partial(pictures, self._data, name))
        pool = {each.name for each in found.pool}
        lit_names, lit = self._features.of(
            f"{name}.lit-1", partial(self._some, name, pool), partial(light.lit, copy=1)
        )
        return Seen(
            found,
            _places(names),
            plain,
            _places(lit_names),
            {k: v[:, None] for k, v in lit.items()},
        )

    def _some(self, name: str, wanted: set[str]) -> Iterator[tuple[str, Picture]]:
        return (each for each in pictures(self._data, name) if each[0] in wanted)

    def _none(self, kind: str) -> dict[str, NDArray[Any]]:
        count, make = {
            "photos": (PICTURES, none_picture),
            "drawn": (drawing.PICTURES, drawing.none_picture),
        }[kind]
        made = ((str(number), make(number)) for number in range(count))
        return self._features.of(f"none-{kind}-{count}", lambda: made)[1]

    # ------------------------------------------------------------------------------------ studies

    def _accuracy(self, seen: Seen, none: ByNetwork) -> None:
        classes = len(seen.set.classes)
        for size in SIZES:
            found = [
                self._truth(seen, drawn(seen.set.pool, classes, size, seed), none)
                for seed in range(DRAWS)
            ]
            self._results.accuracy[seen.set.name, size] = np.mean(found, axis=0)

    def _truth(
        self, seen: Seen, pool: Sequence[Labelled], none: ByNetwork | None, copies: int = 1
    ) -> Shares:
        found = trial(seen, self.family, pool, none, copies)
        return self._ask(seen, found.taught.heads)

    def _ask(self, seen: Seen, heads: ByNetwork) -> Shares:
        asked, labels = held_out(seen)
        return _row(truth(heads, self.family, asked, labels, len(seen.set.classes)))

    def _honesty(self, seen: Seen, none: ByNetwork) -> None:
        classes = len(seen.set.classes)
        for size in HONEST_SIZES:
            found = Honesty(0, [], [], [], [])
            unjudged = 0
            for seed in range(HONEST_DRAWS):
                tried = trial(seen, self.family, drawn(seen.set.pool, classes, size, seed), none)
                estimate = tried.taught.estimate
                if not estimate.judged:
                    unjudged += 1
                    continue
                true = self._ask(seen, tried.taught.heads)
                shares = list(estimate.variants.values())
                said = np.array([each.top1 for each in shares])
                covers = [
                    each.low <= share <= each.high for each, share in zip(shares, true, strict=True)
                ]
                found.covered.append(float(np.mean(covers)))
                found.above.append(float((said - true).mean()))
                found.shrunken.append(_spread(said - true))
                found.raw.append(_spread(_row(tried.raw) - true))
            self._results.honesty[seen.set.name, size] = Honesty(
                unjudged, found.covered, found.above, found.shrunken, found.raw
            )

    def _few_moments(self, seen: Seen, none: ByNetwork) -> None:
        classes = len(seen.set.classes)
        for count in (1, 2, 3):
            above = []
            for seed in range(HONEST_DRAWS):
                pool = drawn_moments(seen.set.pool, classes, count, seed)
                pool = drawn(pool, classes, 20, seed)
                tried = trial(seen, self.family, pool, none)
                estimate = tried.taught.estimate
                if estimate.judged:
                    said = np.array([each.top1 for each in estimate.variants.values()])
                    above.append(float((said - self._ask(seen, tried.taught.heads)).mean()))
            self._results.few_moments[seen.set.name, count] = above

    def _lots(self, seen: Seen, none: ByNetwork) -> None:
        """Labels drawn by lot for each piece of the clip: nothing can be learned."""
        rate = CLIPS[seen.set.name][1]
        frames = sorted({int(each.name) for each in (*seen.set.pool, *seen.set.test)})
        said = []
        for seed in range(HONEST_DRAWS):
            source = random.Random(seed)
            label_of: dict[int, int] = {}
            pool = []
            for frame in frames[::LOT_EVERY]:
                piece = int(frame / rate / LOT_SECONDS)
                label = label_of.setdefault(piece, source.randrange(2))
                pool.append(Labelled(str(frame), label, str(piece)))
            if min(sum(label_of.values()), len(label_of) - sum(label_of.values())) < 2:
                continue
            tried = trial(seen, self.family, pool, none, 0, ("heads", "tails"))
            said.append(float(_row(tried.raw).mean()))
        self._results.lots[seen.set.name] = said

    def _strangers(self, seen: Seen, none: ByNetwork) -> None:
        name = seen.set.name
        _, strangers = self._features.of("strangers-0", partial(pictures, self._data, "strangers"))
        ways: dict[str, ByNetwork | None] = {
            "no none": None,
            "drawn": self._none("drawn"),
            "photos": none,
        }
        for way, features in ways.items():
            found = [self._with_strangers(seen, seed, features, strangers) for seed in range(DRAWS)]
            above, own = np.mean(found, axis=0)
            self._results.strangers[name, way] = above, own
        for penalty in PENALTIES:
            with mock.patch.object(fit, "PENALTY", penalty):
                found = [self._with_strangers(seen, seed, none, strangers) for seed in range(DRAWS)]
            above, own = np.mean(found, axis=(0, 2))
            self._results.penalties[name, penalty] = float(own), float(above)

    def _with_strangers(
        self, seen: Seen, seed: int, none: ByNetwork | None, strangers: ByNetwork
    ) -> tuple[Shares, Shares]:
        classes = len(seen.set.classes)
        found = trial(seen, self.family, drawn(seen.set.pool, classes, 20, seed), none)
        heads = found.taught.heads
        return strangers_above(heads, strangers, classes), self._ask(seen, heads)

    def _light(self, seen: Seen, none: ByNetwork) -> None:
        name, classes = seen.set.name, len(seen.set.classes)
        taught = {each.name for each in seen.set.pool[::LIT_EVERY]}
        asked = seen.set.test[::ASKED_EVERY]
        lit = []
        for copy in range(1, MOST_COPIES + 1):
            names, rows = self._features.of(
                f"{name}.lit.{LIT_EVERY}-{copy}",
                partial(self._some, name, taught),
                partial(light.lit, copy=copy),
            )
            lit.append(rows)
        places = _places(names)
        copies = {network: np.stack([rows[network] for rows in lit], axis=1) for network in lit[0]}
        seen = Seen(seen.set, seen.index, seen.plain, places, copies)
        pool = [each for each in seen.set.pool if each.name in places]
        kinds: dict[str, ByNetwork] = {}
        for kind, change in LIGHTS.items():
            names, kinds[kind] = self._features.of(
                f"{name}.asked.{ASKED_EVERY}-{kind.replace(' ', '-')}",
                partial(self._some, name, {each.name for each in asked}),
                change,
            )
        label_of = {each.name: each.label for each in asked}
        labels = np.array([label_of[each] for each in names])
        order = [seen.index[each] for each in names]
        kinds["as taught"] = {network: rows[order] for network, rows in seen.plain.items()}
        for count in range(MOST_COPIES + 1):
            found = {kind: [] for kind in kinds}
            for seed in range(DRAWS):
                heads = trial(
                    seen, self.family, drawn(pool, classes, 20, seed), none, count
                ).taught.heads
                for kind, features in kinds.items():
                    shares = _row(truth(heads, self.family, features, labels, classes))
                    found[kind].append(float(shares.mean()))
            for kind, shares in found.items():
                self._results.light[name, count, kind] = float(np.mean(shares))

    def _cost(self, seen: Seen, none: ByNetwork) -> Cost:
        """In time of the processor, which neighbours do not lengthen much."""
        eyes = [Eye(network) for network in self.family.networks]
        side = eyes[-1].network.resolutions[-1]
        picture = none_picture(0)
        lessons = [drawn(seen.set.pool, 3, count, 0) for count in (20, 100)]
        single, passes = [], []
        heads: list[list[float]] = [[] for _ in lessons]
        for _ in range(DRAWS):
            single.append(_seconds(lambda: eyes[-1].run(picture, side), 10))
            passes.append(_seconds(lambda: [eye(picture) for eye in eyes], 3))
            for lesson, found in zip(lessons, heads, strict=True):
                found.append(_seconds(partial(trial, seen, self.family, lesson, none), 1))
        unit = min(single)
        return Cost(
            unit,
            min(passes) / unit,
            [(len(each), min(found) / unit) for each, found in zip(lessons, heads, strict=True)],
        )


def _seconds(work: Callable[[], object], times: int) -> float:
    """Processor time of one."""
    begin = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begin) / times


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _row(shares: Mapping[Key, float]) -> Shares:
    return np.array(list(shares.values()))


def _spread(errors: Shares) -> float:
    """Mean square of the errors of the differences between variants."""
    return float(np.mean((errors - errors.mean()) ** 2))

"""A clip of bottles, taught to the smallest network of ImageNet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.teach.fit import scores
from edged.teach.light import COPIES, lit
from edged.teach.none import PICTURES, none_picture
from edged.teach.teach import Example, Extractor, Taught, teach
from tests.benchmarks.teach.backbone import FILES, Eye
from tests.benchmarks.teach.sets import Labelled, Picture, Set, pictures, read_set
from tests.benchmarks.teach.studies import LIGHTS
from tests.benchmarks.teach.trials import drawn
from tests.rig.families import import_weights

pytestmark = pytest.mark.data
SIDES = (128, 160)
STRANGERS = 60


class Bottles:
    """20 pictures a class taught, with and without their lit copies."""

    def __init__(self, data: Path, folder: Path) -> None:
        network = import_weights(
            data / "weights" / FILES[0][0],
            None,
            labels=data / "weights/imagenet_labels.txt",
            into=folder,
            resolutions=SIDES,
        )
        self._eye = Eye(network)
        self.set: Set = read_set(data, "bottle")
        self.pool = drawn(self.set.pool, 3, 20, 0)
        self.asked = self.set.test[::6]
        wanted = {each.name for each in (*self.pool, *self.asked)}
        self.frames: Mapping[str, Picture] = {
            name: picture for name, picture in pictures(data, "bottle") if name in wanted
        }
        self.strangers = [
            self._eye(picture)
            for (_, picture), _ in zip(pictures(data, "strangers"), range(STRANGERS), strict=False)
        ]
        self._none = np.stack([self._eye(none_picture(number)) for number in range(PICTURES)])

    def taught(self, copies: int = COPIES, none: bool = True) -> Taught:
        shots = [
            [self._eye(lit(self.frames[each.name], copy)) for copy in range(1 + copies)]
            for each in self.pool
        ]
        return teach(
            [Example(each.name, each.label, each.moment) for each in self.pool],
            self.set.classes,
            [Extractor("net", {128: 0.41, 160: 0.45})],
            lambda _: np.array(shots),
            (lambda _: self._none) if none else None,
        )

    def accuracy(self, taught: Taught, light: str | None = None) -> NDArray[Any]:
        """By resolution."""
        change = LIGHTS[light] if light else lambda picture: picture
        seen = np.stack([self._eye(change(self.frames[each.name])) for each in self.asked])
        right = scores(taught.heads["net"], seen).argmax(axis=-1) == _labels(self.asked)[:, None]
        shares = [right[_labels(self.asked) == each].mean(axis=0) for each in range(3)]
        return np.mean(shares, axis=0)


def _labels(pictures: tuple[Labelled, ...]) -> NDArray[np.intp]:
    return np.array([each.label for each in pictures])


@pytest.fixture(scope="module")
def bottles(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bottles:
    return Bottles(data, tmp_path_factory.mktemp("bottles") / "imagenet")


def test_a_clip_is_learned_and_the_estimate_is_no_boast(bottles: Bottles) -> None:
    taught = bottles.taught()
    accuracy = bottles.accuracy(taught)
    assert (accuracy > 0.88).all()
    estimate = taught.estimate
    assert estimate.judged and estimate.rough and estimate.moments == 8
    for share, true in zip(estimate.variants.values(), accuracy, strict=True):
        assert share.low < true <= share.high and share.top1 < true + 0.05


def test_strangers_are_refused(bottles: Bottles) -> None:
    above = {}
    for none in (True, False):
        head = bottles.taught(0, none).heads["net"]
        answers = scores(head, np.stack(bottles.strangers))[..., :3].max(axis=-1)
        above[none] = (answers > 0.6).mean()
    assert above[True] <= 0.05 < 0.8 < above[False]


def test_a_lit_copy_keeps_it_in_other_light(bottles: Bottles) -> None:
    lit_copies, none = bottles.taught(), bottles.taught(0)
    losses = {}
    for name, taught in (("lit", lit_copies), ("plain", none)):
        found = [bottles.accuracy(taught, light).mean() for light in LIGHTS]
        losses[name] = bottles.accuracy(taught).mean() - np.mean(found)
    assert losses["lit"] < 0.06 < losses["plain"]

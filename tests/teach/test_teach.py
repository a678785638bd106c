"""Teaching, on drawn features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edged.errors import InputError
from edged.teach.fit import scores
from edged.teach.teach import Example, Taught, teach
from tests.rig.lessons import COLUMNS, NETWORKS, SIDES, Scene


def scene(moments: int = 4, classes: int = 3, **drawing: float) -> Scene:
    made = Scene(classes, **drawing)
    for label in range(classes):
        made.add(label, moments)
    return made


def mean(taught: Taught) -> float:
    shares = [each.top1 for each in taught.estimate.variants.values()]
    return sum(shares) / len(shares)


@pytest.mark.parametrize("none", [True, False])
def test_each_network_gets_a_head(none: bool) -> None:
    shown = scene()
    taught = shown.teach(none=none)
    rows = 3 + none
    assert {name: head.shape for name, head in taught.heads.items()} == {
        name: (rows, columns + 1) for name, columns in COLUMNS.items()
    }
    labels = [each.label for each in shown.examples]
    for name, head in taught.heads.items():
        said = scores(head, shown.features(name)[:, 0, 0]).argmax(axis=1)
        assert (said == labels).mean() > 0.95
    assert taught.confusion.labels == ("a", "b", "c", "none")[:rows]


def test_strangers_are_none() -> None:
    shown = scene()
    with_none, without = shown.teach(), shown.teach(none=False)
    strangers = 5 + np.random.default_rng(1).normal(0, 6 / np.sqrt(48), (200, 48))
    above = [
        (scores(each.heads["large"], strangers)[:, :3].max(axis=1) > 0.6).mean()
        for each in (with_none, without)
    ]
    assert above[0] < 0.15 < 0.5 < above[1]


def test_the_estimate_is_near_the_truth() -> None:
    shown = scene(6, apart=0.4)
    taught = shown.teach()
    asked = scene(60, apart=0.4)
    labels = [each.label for each in asked.examples[90:]]
    for (name, side), share in taught.estimate.variants.items():
        features = asked.features(name)[90:, 0, SIDES.index(side)]
        true = (scores(taught.heads[name], features).argmax(axis=1) == labels).mean()
        assert 0.4 < true < 0.97 and share.low < true < share.high
        assert abs(share.top1 - true) < 0.15


def test_every_variant_has_a_share_with_its_interval() -> None:
    taught = scene().teach()
    assert list(taught.estimate.variants) == [
        (each.name, side) for each in NETWORKS for side in SIDES
    ]
    for share in taught.estimate.variants.values():
        assert 0 <= share.low <= share.top1 <= share.high <= 1


def test_one_moment_of_a_class_cannot_be_judged() -> None:
    shown = Scene(3)
    for label, moments in enumerate((4, 4, 1)):
        shown.add(label, moments, pictures=20 // moments)
    taught = shown.teach()
    assert not taught.estimate.judged and not taught.estimate.variants
    assert (taught.confusion.counts, taught.worst, taught.curve, taught.thresholds) == (
        (),
        (),
        (),
        {},
    )
    assert taught.heads["small"].shape == (4, 25)
    assert taught.advice[0].startswith("Show 'c' in 2 more moments")


def test_two_moments_of_a_class_are_rough() -> None:
    taught = scene(2).teach()
    assert taught.estimate.judged and taught.estimate.rough
    assert not scene(3).teach().estimate.rough


def test_labels_that_say_nothing_are_estimated_as_chance() -> None:
    """A hundred near-identical pictures of a moment are one piece of evidence."""
    means = []
    for seed in range(12):
        shown = Scene(2, drift=4.0, seed=seed)
        for label in np.random.default_rng(seed).integers(0, 2, 16).tolist():
            shown.add(label, 1, pictures=6, centre=0)
        means.append(mean(shown.teach()))
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - 0.5) < 3 * error + 0.02


def test_classes_with_few_moments_count_as_much_as_others() -> None:
    shown = Scene(2, apart=1.5)
    shown.add(0, 2, pictures=2)
    shown.add(1, 20)
    taught = shown.teach()
    fresh = Scene(2, apart=1.5)
    fresh.add(0, 100, pictures=1)
    said = scores(taught.heads["large"], fresh.features("large")[:, 0, 1]).argmax(axis=1)
    assert (said == 0).mean() > 0.6


def test_the_order_of_pictures_changes_nothing_much() -> None:
    shown = scene()
    turned = np.random.default_rng(0).permutation(len(shown.examples))
    other = teach(
        [shown.examples[each] for each in turned],
        shown.names,
        NETWORKS,
        lambda name: shown.features(name)[turned],
        shown.none,
    )
    asked = shown.features("large")[:, 0, 0]
    taught = shown.teach()
    assert np.allclose(
        scores(taught.heads["large"], asked), scores(other.heads["large"], asked), atol=0.02
    )


def test_one_network_is_in_memory_at_a_time() -> None:
    shown = scene()
    asked = []
    teach(
        shown.examples,
        shown.names,
        NETWORKS,
        lambda name: (asked.append(f"{name} own"), shown.features(name))[1],
        lambda name: (asked.append(f"{name} none"), shown.none(name))[1],
        lambda done, of: asked.append(f"{done}/{of}"),
    )
    assert asked == ["small own", "small none", "1/2", "large own", "large none", "2/2"]


def test_pictures_that_are_all_the_same_are_taught() -> None:
    examples = [Example(str(each), each % 2, str(each)) for each in range(12)]
    taught = teach(
        examples,
        ("a", "b"),
        NETWORKS[:1],
        lambda name: np.ones((12, 2, 2, 24), np.float16),
    )
    assert all(np.isfinite(head).all() for head in taught.heads.values())
    assert 0.2 < mean(taught) < 0.8


def test_one_resolution_and_one_copy_serve() -> None:
    shown = scene()
    taught = teach(
        shown.examples,
        shown.names,
        [replace(each, priors={128: 0.5}) for each in NETWORKS],
        lambda name: shown.features(name)[:, :1, :1],
        lambda name: shown.none(name)[:, :1],
    )
    assert len(taught.estimate.variants) == 2 and mean(taught) > 0.7


# ---------------------------------------------------------------------------------------- mistakes


def test_a_class_without_pictures_is_refused() -> None:
    with pytest.raises(InputError, match=r"no picture \(got d\); add pictures of it"):
        scene().teach(classes=("a", "b", "c", "d"))


def test_a_single_class_is_refused() -> None:
    with pytest.raises(InputError, match="at least two classes"):
        scene(classes=1).teach()


def test_a_label_without_a_class_is_refused() -> None:
    with pytest.raises(InputError, match="label without a class"):
        scene().teach(classes=("a", "b"))


def test_a_moment_with_two_labels_is_refused() -> None:
    shown = scene()
    shown.examples[0] = replace(shown.examples[0], label=1)
    with pytest.raises(InputError, match=r"two labels.*split it"):
        shown.teach()


def test_features_that_are_not_finite_are_refused_by_picture() -> None:
    shown = scene()
    shown.rows["large"][7][1, 0, 3] = np.nan
    with pytest.raises(InputError, match=f"{shown.examples[7].picture}: features are not finite"):
        shown.teach()


@pytest.mark.parametrize("part", [np.s_[:-1], np.s_[:, :, :1], np.s_[0], np.s_[..., :0]])
def test_features_of_another_shape_are_refused(part: tuple[slice, ...]) -> None:
    shown = scene()
    with pytest.raises(InputError, match="expected features of shape"):
        teach(shown.examples, shown.names, NETWORKS, lambda name: shown.features(name)[part])


def test_features_of_none_of_another_shape_are_refused() -> None:
    shown = scene()
    with pytest.raises(InputError, match="expected features of `none`"):
        teach(
            shown.examples,
            shown.names,
            NETWORKS,
            shown.features,
            lambda name: shown.none(name)[..., 1:],
        )

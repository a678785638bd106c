"""What is measured on photos, and what is written down of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.errors import InputError, InputErrors
from edged.variants.evaluation.evaluate import (
    Evaluation,
    evaluate,
    rank,
    record_accuracy,
    standard_error,
    verify,
)
from edged.variants.evaluation.photos import Photo, Photos
from edged.variants.family import Family, InputContract, Network, load_family, write_family
from edged.variants.golden import golden_picture, with_golden
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Variant
from tests.rig.families import LABELS, RESOLUTIONS, import_weights, model
from tests.rig.geometry import UPRIGHT, with_exif_orientation
from tests.rig.photos import coded, drawn_photos


def resampled(rows: NDArray[Any], side: int) -> NDArray[Any]:
    """Rows under a triangle as wide as two steps, or two rows where there are fewer."""
    step = len(rows) / side
    made = []
    for number in range(side):
        weights = {
            row: 1 - abs((row + 0.5) - (number + 0.5) * step) / max(step, 1)
            for row in range(len(rows))
        }
        weights = {row: weight for row, weight in weights.items() if weight > 0}
        total = sum(weights.values())
        made.append(sum(rows[row] * (weight / total) for row, weight in weights.items()))
    return np.array(made)


def expected_places(family: Family, photos: Path, variant: Variant) -> list[int]:
    """The same by other means: sessions, slices and sorting written out."""
    session = onnxruntime.InferenceSession(family.network(variant).path)
    places = []
    for path in sorted(photos.rglob("*.png")):
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        kept = round(side * 0.875)
        edge = (side - kept) // 2
        seen = picture[top + edge :, left + edge :][:kept, :kept]
        image = resampled(resampled(seen, variant.resolution).swapaxes(0, 1), variant.resolution)
        image = np.rint(image.swapaxes(0, 1)).astype(np.uint8)
        scores = session.run(None, {"image": image[np.newaxis]})[0][0]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        places.append(order.index(family.labels.index(path.parent.name)))
    return places


class Counted(Photos):
    """Counts how often it is walked."""

    walks = 0

    def __iter__(self) -> Iterator[Photo]:
        self.walks += 1
        return super().__iter__()


def test_every_variant_is_measured_as_defined(family: Family, tmp_path: Path) -> None:
    source = drawn_photos(tmp_path / "photos", LABELS, 24)
    photos = Counted(source, family)
    progress: list[int] = []
    found = evaluate(family, photos, family.variants(), OrtBackend(), progress=progress.append)
    assert [each.variant for each in found] == list(family.variants())
    assert photos.walks == 1  # however many variants
    assert progress == list(range(1, 25))
    for each in found:
        places = expected_places(family, source, each.variant)
        top1, top5 = (sum(place < n for place in places) / 24 for n in (1, 5))
        assert each == Evaluation(
            each.variant, top1, top5, 24, standard_error(top1, 24), standard_error(top5, 24)
        )
        assert 0 < each.top1 < 1
        assert each.top5 is not None
        assert each.top1 < each.top5 < 1


def test_one_variant_named_twice_is_measured_once(family: Family, tmp_path: Path) -> None:
    photos = Photos(drawn_photos(tmp_path / "photos", LABELS, 12), family)
    variant = family.variants()[0]
    (once,) = evaluate(family, photos, [variant], OrtBackend())
    (twice,) = evaluate(family, photos, [variant, variant], OrtBackend(), threads=2)
    assert once == twice


def test_a_variant_that_is_not_there_is_told(family: Family, tmp_path: Path) -> None:
    photos = Photos(drawn_photos(tmp_path / "photos", LABELS, 6), family)
    with pytest.raises(InputError, match="no such variant"):
        evaluate(family, photos, [Variant(1.0, 224)], OrtBackend())


def test_broken_photos_count_nowhere(family: Family, tmp_path: Path) -> None:
    source = drawn_photos(tmp_path / "photos", LABELS, 12)
    whole = evaluate(family, Photos(source, family), family.variants(), OrtBackend())
    (source / "ant" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    photos = Photos(source, family)
    assert evaluate(family, photos, family.variants(), OrtBackend()) == whole
    assert len(photos.broken) == 1


def test_only_broken_photos_are_an_error(family: Family, tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "ant"
    folder.mkdir(parents=True)
    for count in (1, 2):
        (folder / f"{count}.jpg").write_bytes(b"\xff\xd8")
        photos = Photos(folder.parent, family)
        with pytest.raises(InputError, match=r"1\.jpg: incomplete picture") as raised:
            evaluate(family, photos, family.variants(), OrtBackend())
        assert isinstance(raised.value, InputErrors) == (count == 2)
        assert str(raised.value).count("incomplete picture") == count


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_from_a_turned_camera_gets_the_upright_ones_answer(
    family: Family, tmp_path: Path, orientation: int
) -> None:
    variant = family.variants()[0]
    network = family.network(variant)
    runner = OrtBackend().load(network, network.read(), 1)
    preprocess = Preprocessor(family.input, variant.resolution)
    upright = golden_picture(5)
    # Of the eight turns only the quarter ones, 6 and 8, do not undo themselves.
    stored = UPRIGHT[{6: 8, 8: 6}.get(orientation, orientation)](upright)
    path = tmp_path / "photos" / "ant" / "a.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(with_exif_orientation(coded(stored, ".jpg"), orientation))
    (photo,) = Photos(tmp_path / "photos", family)
    expected = runner.run(preprocess.photo(upright)).copy()
    scores = runner.run(preprocess.photo(photo.picture))
    # The JPEG itself costs 0.03; not turned back, each of them is off by 0.28 and more.
    np.testing.assert_allclose(scores, expected, atol=0.1)


def test_a_damaged_network_is_not_measured(family: Family, tmp_path: Path) -> None:
    photos = Photos(drawn_photos(tmp_path / "photos", LABELS, 6), family)
    family.networks[0].path.write_bytes(model(0.03, seed=9))
    with pytest.raises(InputError, match="the file is damaged"):
        evaluate(family, photos, family.variants(), OrtBackend())


def test_of_two_classes_there_is_no_top5(tmp_path: Path) -> None:
    content = {"person.onnx": model(0.25, classes=2)}
    network = Network.of(tmp_path / "person.onnx", content["person.onnx"], 0.25, (96,))
    labels = ("nobody", "person")
    bare = Family("person", tmp_path / "family", labels, InputContract(), (network,))
    family, golden = with_golden(bare, content, OrtBackend())
    family = write_family(family, content, golden)
    photos = Photos(drawn_photos(tmp_path / "photos", labels, 20), family)
    (found,) = evaluate(family, photos, family.variants(), OrtBackend())
    assert (found.top5, found.top5_standard_error) == (None, None)
    written = record_accuracy(family, [found], "drawn pictures")
    assert written.accuracy(found.variant).top5 is None


# ------------------------------------------------------------------------------------------ ranks


def scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_places_are_counted_from_the_best() -> None:
    assert [rank(scores(0.1, 0.6, 0.3), index) for index in range(3)] == [2, 0, 1]


def test_a_network_that_answers_all_the_same_wins_nothing() -> None:
    assert [rank(scores(0.25, 0.25, 0.25, 0.25), index) for index in range(4)] == [0, 1, 2, 3]


def test_no_number_comes_last() -> None:
    assert rank(scores(float("nan"), float("nan"), 0.1), 0) == 3


def test_the_standard_error_is_that_of_a_share() -> None:
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(0.54, 650) == pytest.approx(0.01955, abs=1e-5)
    assert standard_error(1.0, 10) == 0


# ---------------------------------------------------------------------------------- written down


def evaluations(family: Family) -> list[Evaluation]:
    return [
        Evaluation(variant, 0.5 + number / 30, 0.9, 1963, 0.01, 0.01)
        for number, variant in enumerate(family.variants())
    ]


def test_what_was_measured_is_written_into_the_manifest(family: Family) -> None:
    found = evaluations(family)
    written = record_accuracy(family, found, "imagenette-val")
    loaded = load_family(str(family.directory), Path())
    assert loaded == written
    for each in found:
        accuracy = loaded.accuracy(each.variant)
        assert (accuracy.top1, accuracy.top5) == (round(each.top1, 4), 0.9)
        assert (accuracy.photos, accuracy.source) == (1963, "imagenette-val")
    assert [network.golden for network in loaded.networks] == [
        network.golden for network in family.networks
    ]
    assert loaded.fingerprint == family.fingerprint
    assert verify(loaded, OrtBackend()) == []


def test_one_variant_can_be_measured_again(family: Family) -> None:
    found = evaluations(family)
    before = record_accuracy(family, found, "a set")
    better = replace(found[1], top1=0.99)
    after = record_accuracy(before, [better], "a set")
    assert after.top1(better.variant) == 0.99
    others = [each.variant for each in found if each.variant != better.variant]
    assert [after.top1(v) for v in others] == [before.top1(v) for v in others]


def test_resolutions_that_were_not_measured_have_no_figure(family: Family) -> None:
    first = family.variants()[0]
    written = record_accuracy(family, evaluations(family)[:1], "a set")
    assert list(written.network(first).accuracy) == [RESOLUTIONS[0]]
    assert written.networks[1].accuracy == {}


# ----------------------------------------------------------------------------------- real weights


@pytest.mark.data
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("file", "alpha", "side", "top1"),
    [
        ("mobilenet_v1_0.25_128_quant.tflite", 0.25, 128, 0.540),
        pytest.param(
            *("mobilenet_v1_0.5_160_quant.tflite", 0.5, 160, 0.729), marks=pytest.mark.long
        ),
        pytest.param("mobilenet_v1_0.25_224.h5", 0.25, 224, 0.671, marks=pytest.mark.long),
    ],
)
def test_official_weights_are_as_good_as_known(
    data: Path, tmp_path: Path, file: str, alpha: float, side: int, top1: float
) -> None:
    """Known: the same photos through the same weights by other programs. They resample a little
    otherwise, which moves a photo in a hundred; the wrong crop or colours move far more."""
    import_weights(
        data / "weights" / file,
        None,
        alpha=alpha,
        resolutions=(side,),
        labels=data / "weights" / "imagenet_labels.txt",
        into=tmp_path / "imagenet",
    )
    family = load_family("imagenet", tmp_path, ())
    folder = data / "photos"
    photos = Photos(folder / "ilsvrc2012-val650.tar", family, folder / "ilsvrc2012-val650.csv")
    (found,) = evaluate(family, photos, family.variants(), OrtBackend())
    assert found.photos == 650
    assert found.top1 == pytest.approx(top1, abs=0.01)
    uncropped = replace(family, input=InputContract(crop_fraction=1.0))
    (whole,) = evaluate(uncropped, photos, family.variants(), OrtBackend())
    assert whole.top1 < top1 - 0.01

"""The parts of the training recipe: reading pictures, changing them, batches and rates."""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.errors import InputError
from edged.variants.evaluation.evaluate import Evaluation
from edged.variants.variant import Variant
from tests.rig.geometry import with_exif_orientation
from tests.rig.photos import CMYK, RED, coded, halves
from tests.rig.recipe import COLOURS, draw_classes

torch = pytest.importorskip("torch", reason="the recipe needs torch, which make test-long installs")
pytestmark = pytest.mark.long

import export  # noqa: E402
import network  # noqa: E402
import pictures  # noqa: E402
import train  # noqa: E402


def test_broken_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    root = draw_classes(tmp_path / "training", 3, seed=4)
    (root / "red box" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (root / "red box" / "notes.txt").write_text("no picture either, and not named like one")
    photos = pictures.read_photos(root, 32)
    assert len(photos) == 9
    assert len(photos.skipped) == 1
    assert "red box/broken.jpg" in photos.skipped[0]
    assert photos.folders == tuple(COLOURS)


@pytest.mark.parametrize("content", [None, b"not a picture"])
def test_a_class_without_pictures_is_refused(tmp_path: Path, content: bytes | None) -> None:
    root = draw_classes(tmp_path / "training", 2, seed=5)
    (root / "yellow box").mkdir()
    if content is not None:
        (root / "yellow box" / "1.png").write_bytes(content)
    with pytest.raises(InputError, match="the class 'yellow box' has no readable picture"):
        pictures.read_photos(root, 32)


def test_grey_deep_and_turned_pictures_are_read_as_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "all" / "one"
    folder.mkdir(parents=True)
    grey = np.full((40, 40), 100, np.uint8)
    assert cv2.imwrite(str(folder / "1-grey.png"), grey)
    deep = np.full((40, 40, 3), (10 * 256, 20 * 256, 200 * 256), np.uint16)  # BGR
    assert cv2.imwrite(str(folder / "2-deep.png"), deep)
    (folder / "3-turned.jpg").write_bytes(
        with_exif_orientation(coded(np.rot90(halves(32, 32)), ".jpg"), 6)
    )
    (folder / "4-cmyk.jpg").write_bytes(CMYK)
    photos = pictures.read_photos(tmp_path / "all", 32)
    assert (photos.pixels[0] == 100).all()
    assert (photos.pixels[1] == (200, 20, 10)).all()
    assert np.abs(photos.pixels[2].astype(int) - halves(32, 32)).mean() < 8
    assert np.abs(photos.pixels[3][16, 4].astype(int) - RED).max() <= 4
    assert photos.skipped == ()


def test_a_tar_is_read_as_the_folder_is(tmp_path: Path) -> None:
    held_out = draw_classes(tmp_path / "held-out", 6, seed=2)
    with tarfile.open(tmp_path / "held-out.tar", "w") as archive:
        archive.add(held_out, "held-out")
    folder, archived = (
        pictures.read_photos(source, 32) for source in (held_out, tmp_path / "held-out.tar")
    )
    assert folder.folders == archived.folders
    assert sorted(map(bytes, folder.pixels)) == sorted(map(bytes, archived.pixels))


def test_crops_have_the_wanted_size_and_are_the_same_for_the_same_seed() -> None:
    random = np.random.default_rng(7)
    squares = random.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    first, again, other = (
        pictures.augmented(squares, 48, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (5, 48, 48, 3)
    assert (first == again).all()
    assert (first != other).any()


def test_colours_change_as_brightness_contrast_and_saturation_do() -> None:
    random = np.random.default_rng(8)
    images = random.integers(60, 190, (4, 8, 8, 3), dtype=np.uint8)  # far enough from the ends
    changed = train.jittered(images, np.random.default_rng(1))
    plain = train.normalised(images)
    assert changed.shape == plain.shape
    assert changed.is_contiguous(memory_format=torch.channels_last)
    draw = np.random.default_rng(1).uniform(1 - train.JITTER, 1 + train.JITTER, (3, 4, 1, 1))
    brightness, contrast, saturation = torch.from_numpy(draw.astype(np.float32))[..., None]
    light = (plain + 1) * brightness
    mean = light.mean((1, 2, 3), keepdim=True)
    light = mean + (light - mean) * contrast
    grey = light.mean(1, keepdim=True)
    expected = grey + (light - grey) * saturation - 1
    torch.testing.assert_close(changed, expected, atol=1e-4, rtol=0)


def test_colours_stay_in_range() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[:, ::2] = 255
    changed = train.jittered(images, np.random.default_rng(1))
    assert changed.min() >= -1
    assert changed.max() <= 1


@pytest.mark.parametrize(("size", "expected"), [(8, (0, 1)), (7, (1, 1))])
def test_stride_two_pads_after_before_it_pads_before(size: int, expected: tuple[int, int]) -> None:
    assert network.same_padding(size, 3, 2) == expected


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    settings = train.Settings(0.25, 3, (32,), epochs=30, seed=1, learning_rate=0.008)
    rates = [train.learning_rate(settings, epoch / 2) for epoch in range(61)]
    assert rates[0] == 0
    assert max(rates) == rates[4] == 0.008
    assert rates[-1] == pytest.approx(0)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_each_resolution_costs_the_same_time_over_a_run() -> None:
    shares = train.resolution_shares((128, 224))
    assert shares.sum() == pytest.approx(1)
    assert shares[0] * 128**2 == pytest.approx(shares[1] * 224**2)


@pytest.mark.parametrize(("photos", "steps"), [(60, 64), (640, 64), (9469, 147)])
def test_few_pictures_make_as_many_steps_as_an_epoch_needs(photos: int, steps: int) -> None:
    settings = train.Settings(0.25, 3, (32,), epochs=1, seed=1)
    assert settings.batches(photos) == steps
    pixels = np.zeros((photos, 32, 32, 3), np.uint8)
    some = pictures.Photos(pixels, np.arange(photos), ("all",), ())
    drawn = [classes for _, classes in train._batches(settings, some, np.random.default_rng(1))]
    assert len(drawn) == steps
    assert {len(classes) for classes in drawn} == {64}
    times = np.bincount(np.concatenate(drawn), minlength=photos)
    assert times.max() - times.min() <= 1  # none more often than the others


@pytest.mark.parametrize(
    ("photos", "right", "guess", "expected"),
    [
        (45, 15, 1 / 3, True),
        (45, 21, 1 / 3, True),  # 4.4 % of guessers are as good
        (45, 24, 1 / 3, False),  # 0.5 %
        (1963, 228, 0.1, True),  # 1.06 %
        (1963, 229, 0.1, False),  # 0.87 %
        (18, 18, 1.0, True),
    ],
)
def test_chance_is_the_binomial_distributions_tail(
    photos: int, right: int, guess: float, expected: bool
) -> None:
    evaluation = Evaluation(Variant(0.25, 128), right / photos, None, photos, 0.0, None)
    assert export.guesses(evaluation, guess) is expected

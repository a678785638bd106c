"""Pictures become what the networks take: geometry, colours, and nothing allocated."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edged.variants.family import Fit, InputContract
from edged.variants.preprocess import Preprocessor

CROP, SQUASH = InputContract(Fit.CROP), InputContract(Fit.SQUASH)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def means(picture: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float64]:
    """Of blocks of rows x columns: what shrinking by averaging is."""
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    blocks = picture.reshape(height, rows, width, columns, 3).astype(np.float64)
    averages: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return averages


def test_a_wide_picture_is_cropped_to_its_middle_and_averaged() -> None:
    picture = noise(480, 720)
    image = Preprocessor(CROP, 160)(picture)
    assert image.shape == (1, 160, 160, 3)
    assert image.dtype == np.uint8
    assert np.abs(image[0] - means(picture[:, 120:600], 3, 3)).max() <= 0.5 + 1e-6


def test_a_tall_picture_is_cropped_to_its_middle() -> None:
    picture = noise(640, 320)
    image = Preprocessor(CROP, 160)(picture)
    assert np.abs(image[0] - means(picture[160:480], 2, 2)).max() <= 0.5 + 1e-6


def test_squashing_sees_the_whole_picture() -> None:
    picture = noise(320, 640)
    image = Preprocessor(SQUASH, 160)(picture)
    assert np.abs(image[0] - means(picture, 2, 4)).max() <= 0.5 + 1e-6


def test_a_side_that_shrinks_much_is_averaged_even_if_the_other_does_not() -> None:
    picture = np.zeros((140, 384, 3), np.uint8)
    picture[:, ::3] = 255  # who looks at some pixels only sees a third of the stripes, or all
    image = Preprocessor(SQUASH, 128)(picture)
    assert np.abs(image.astype(int) - 85).max() <= 1


@pytest.mark.parametrize(("height", "width", "side"), [(135, 240, 128), (270, 480, 224)])
def test_a_picture_a_little_too_large_keeps_its_shape_and_place(
    height: int, width: int, side: int
) -> None:
    ramp = np.linspace(20, 230, height)[:, None, None] * np.ones((height, width, 3))
    image = Preprocessor(CROP, side)(np.rint(ramp).astype(np.uint8))
    step = 210 / (height - 1)
    expected = 20 + step * ((np.arange(side) + 0.5) * height / side - 0.5)
    assert np.abs(image[0] - expected[:, None, None]).max() < 1.1


def test_a_picture_of_the_right_size_passes_unchanged() -> None:
    picture = noise(224, 224)
    assert (Preprocessor(CROP, 224)(picture)[0] == picture).all()


def test_enlarging_is_bilinear() -> None:
    ramp = np.zeros((2, 2, 3), np.uint8)
    ramp[:, 1] = 200
    row = Preprocessor(CROP, 8)(ramp)[0, 0, :, 0].astype(int)
    # Pixel centres: the two source pixels lie at 2 and 6 of eight; flat outside, a line between.
    assert row.tolist() == [0, 0, 25, 75, 125, 175, 200, 200]


def test_red_stays_red() -> None:
    picture = np.zeros((100, 130, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 250, 20
    assert np.unique(Preprocessor(CROP, 64)(picture).reshape(-1, 3), axis=0).tolist() == [
        [250, 20, 0]
    ]


def test_a_view_into_larger_read_only_memory_is_enough() -> None:
    """What the mailbox hands out."""
    memory = noise(300, 400)
    view = memory[20:260, 30:350]
    view.flags.writeable = False
    assert (Preprocessor(CROP, 96)(view) == Preprocessor(CROP, 96)(view.copy())).all()


@pytest.mark.parametrize("contract", [CROP, SQUASH])
def test_nothing_is_allocated_per_frame(contract: InputContract) -> None:
    picture = noise(480, 640)
    preprocess = Preprocessor(contract, 224)
    first = preprocess(picture)
    tracemalloc.start()
    try:
        for _ in range(20):
            image = preprocess(picture)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image is first
    assert peak < 10_000  # the picture alone would be 150,528 bytes
    assert cv2.getNumThreads() == 1


def test_a_photo_is_its_centre() -> None:
    picture = noise(224, 224)
    image = Preprocessor(InputContract(Fit.CROP, 0.875), 196).photo(picture)
    assert (image[0] == picture[14:210, 14:210]).all()


def test_a_wide_photo_is_cropped_then_its_centre_taken() -> None:
    picture = noise(160, 400)
    image = Preprocessor(InputContract(Fit.CROP, 0.8), 128).photo(picture)
    assert (image[0] == picture[16:144, 136:264]).all()


def test_a_squashed_photo_loses_the_same_share_of_both_sides() -> None:
    picture = noise(160, 320)
    image = Preprocessor(InputContract(Fit.SQUASH, 0.8), 128).photo(picture)
    middle = picture[16:144, 32:288].astype(float)
    # Half as wide: each pixel is the mean of four, weighted 1 3 3 1, fewer at the edge.
    inner = sum(w * middle[:, k : k + 251 : 2] for w, k in ((1, 1), (3, 2), (3, 3), (1, 4))) / 8
    assert np.abs(image[0, :, 1:-1] - inner).max() <= 0.5 + 1e-3


def test_a_photo_is_shrunk_so_that_every_pixel_counts() -> None:
    """Bilinear as Pillow means it: a triangle of twice the step on either side."""
    picture = noise(256, 256)
    image = Preprocessor(InputContract(Fit.CROP, 1.0), 64).photo(picture)
    weights = np.array([1, 3, 5, 7, 7, 5, 3, 1]) / 32
    window = picture[4 * 10 - 2 : 4 * 10 + 6, 4 * 20 - 2 : 4 * 20 + 6].astype(float)
    expected = np.einsum("i,j,ijc->c", weights, weights, window)
    assert np.abs(image[0, 10, 20] - expected).max() <= 0.5 + 1e-3


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 50),
    st.sampled_from(list(Fit)),
    st.floats(0.01, 1),
    st.booleans(),
)
def test_any_picture_of_any_size(
    height: int, width: int, side: int, fit: Fit, fraction: float, photo: bool
) -> None:
    picture = noise(height, width)
    preprocess = Preprocessor(InputContract(fit, fraction), side)
    image = preprocess.photo(picture) if photo else preprocess(picture)
    assert image.shape == (1, side, side, 3)
    assert image.dtype == np.uint8
    flat = picture.reshape(-1, 3)
    assert (image.min(axis=(0, 1, 2)) >= flat.min(axis=0)).all()
    assert (image.max(axis=(0, 1, 2)) <= flat.max(axis=0)).all()

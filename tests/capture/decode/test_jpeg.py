from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.capture.decode.jpeg import decode_jpeg, jpeg_size, reduction
from tests.rig.pictures import encoded


def test_colours_come_in_the_right_order_at_every_scale() -> None:
    jpeg = encoded(480, 640)
    for wanted in (0, 480, 240, 100, 50):
        pixels = decode_jpeg(jpeg, wanted)
        assert pixels is not None
        red, green, blue = pixels[10, 10]
        assert red > 250
        assert green < 5
        assert blue < 5


def test_the_smallest_scale_that_covers_what_is_wanted() -> None:
    jpeg = encoded(480, 640)
    shapes = {}
    for wanted in (0, 481, 480, 241, 240, 121, 120, 61, 60, 1):
        pixels = decode_jpeg(jpeg, wanted)
        assert pixels is not None
        shapes[wanted] = pixels.shape[0]
    assert shapes == {
        0: 480,
        481: 480,
        480: 480,
        241: 480,
        240: 240,
        121: 240,
        120: 120,
        61: 120,
        60: 60,
        1: 60,
    }


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 400))
def test_the_decoder_delivers_the_scale_that_was_computed(
    height: int, width: int, wanted: int
) -> None:
    pixels = decode_jpeg(encoded(height, width), wanted)
    assert pixels is not None
    factor = reduction(min(height, width), wanted)
    assert pixels.shape[:2] == (-(-height // factor), -(-width // factor))
    assert min(pixels.shape[:2]) >= min(wanted, height, width)


def test_grey_and_progressive_pictures() -> None:
    grey = np.full((64, 48), 90, np.uint8)
    for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
        done, data = cv2.imencode(".jpg", grey, options)
        assert done
        pixels = decode_jpeg(bytes(data), 20)
        assert pixels is not None
        assert pixels.shape == (32, 24, 3)
        assert np.all(abs(pixels.astype(int) - 90) < 4)


def test_half_a_picture_is_broken() -> None:
    jpeg = encoded(480, 640)
    assert decode_jpeg(jpeg[: len(jpeg) // 2], 0) is None
    assert decode_jpeg(jpeg[:-2], 0) is None
    assert decode_jpeg(jpeg + b"\0" * 500, 0) is not None  # drivers pad


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG", b"\0" * 99])
def test_what_is_no_jpeg(data: bytes) -> None:
    assert jpeg_size(data) is None
    assert decode_jpeg(data, 0) is None


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400))
def test_any_bytes_may_come(noise: bytes, at: int) -> None:
    jpeg = bytearray(encoded(16, 16))
    jpeg[at : at + len(noise)] = noise
    jpeg_size(bytes(jpeg))
    pixels = decode_jpeg(bytes(jpeg), 8)
    assert pixels is None or pixels.ndim == 3


@pytest.mark.parametrize("side", [65_535, 65_500])  # beyond the decoder's own bound, and within
@pytest.mark.parametrize("wanted", [0, 128])
def test_a_huge_size_in_the_header_is_broken_not_fatal(side: int, wanted: int) -> None:
    jpeg = bytearray(encoded(16, 16))
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = 2 * side.to_bytes(2, "big")
    assert decode_jpeg(bytes(jpeg), wanted) is None


def test_a_progressive_picture_is_held_whole_and_so_bounded_as_it_is_stored() -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), options)[1].tobytes())
    size = jpeg.index(b"\xff\xc2") + 5
    assert decode_jpeg(bytes(jpeg), 16) is not None
    jpeg[size : size + 4] = 2 * (20_000).to_bytes(2, "big")  # decoded for 128: 2500 x 2500
    assert decode_jpeg(bytes(jpeg), 128) is None


def test_a_picture_in_several_scans_is_bounded_alike() -> None:
    jpeg = encoded(16, 16)
    scan = jpeg.index(b"\xff\xda")
    luma = bytes((0xFF, 0xDA, 0, 8, 1, *jpeg[scan + 5 : scan + 7], 0, 63, 0))  # the others follow
    after = scan + 2 + int.from_bytes(jpeg[scan + 2 : scan + 4], "big")
    parted = bytearray(jpeg[:scan] + luma + jpeg[after:])
    assert decode_jpeg(bytes(parted), 16) is not None
    size = parted.index(b"\xff\xc0") + 5
    parted[size : size + 4] = 2 * (20_000).to_bytes(2, "big")
    assert decode_jpeg(bytes(parted), 128) is None


def with_thumbnail(jpeg: bytes, thumbnail: bytes) -> bytes:
    """A JPEG in the header of another, as cameras put it there."""
    body = b"Exif\0\0" + thumbnail
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_the_end_of_a_thumbnail_is_not_that_of_the_picture() -> None:
    jpeg = with_thumbnail(encoded(480, 640), encoded(60, 80, (0, 255, 0)))
    assert jpeg_size(jpeg) == (640, 480)
    pixels = decode_jpeg(jpeg, 240)
    assert pixels is not None
    assert pixels.shape == (240, 320, 3)
    assert pixels[100, 100, 0] > 250
    for end in (len(jpeg) - 2, len(jpeg) * 3 // 4, jpeg.index(b"\xff\xc0") + 30, 1000):
        assert decode_jpeg(jpeg[:end], 240) is None


@pytest.mark.parametrize(
    "sampling",
    [
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ],
)
def test_every_sampling_of_chroma(sampling: int) -> None:
    picture = np.zeros((101, 99, 3), np.uint8)
    picture[:, 50:] = 0, 0, 255
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    done, data = cv2.imencode(".jpg", picture, options)
    assert done
    pixels = decode_jpeg(bytes(data), 40)
    assert pixels is not None
    assert pixels.shape == (51, 50, 3)
    assert abs(pixels[25, 40].astype(int) - [254, 0, 0]).max() < 8
    assert pixels[25, 10].max() < 8


def test_cmyk_becomes_rgb() -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.new("RGB", (64, 48), (255, 0, 0)).convert("CMYK").save(file, "JPEG", quality=95)
    for wanted in (0, 20):
        pixels = decode_jpeg(file.getvalue(), wanted)
        assert pixels is not None
        assert pixels.shape[2] == 3
        assert abs(pixels.astype(int) - [255, 0, 0]).max() < 12


ARITHMETIC = {
    "sequential": "/9j/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNS"
    "Mj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
    "T09PT09PT09PT09PT0//yQARCAAQABADAREAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/ACHiUuia5EbfJ9"
    "oBdn5wO1y9AmfA/9k=",
    "progressive": "/9j/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlN"
    "SMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
    "T09PT09PT09PT09PT0//ygARCAAQABADAREAAhEBAxEB/8wABgAQARD/2gAMAwEAAhADEAAAAf5LvlXJbu+1y1cBMk1RxjyxM"
    "Mj/zAAEEAX/2gAIAQEAAQUCwP/MAAQRBf/aAAgBAwEBPwHA/8wABBEF/9oACAECAQE/AcD/zAAEEAX/2gAIAQEABj8CwP/M"
    "AAQQBf/aAAgBAQABPyHA/9oADAMBAAIAAwAAABASIP/MAAQRBf/aAAgBAwEBPxDA/8wABBEF/9oACAECAQE/EMD/zAAEEAX"
    "/2gAIAQEAAT8QwP/Z",
}
"""16x16 in quarters of red, green, blue and white, as `cjpeg -arithmetic` writes it."""


@pytest.mark.parametrize("kind", ARITHMETIC)
def test_arithmetic_coding(kind: str) -> None:
    jpeg = base64.b64decode(ARITHMETIC[kind])
    assert jpeg_size(jpeg) == (16, 16)
    for wanted, side in ((0, 16), (8, 8)):
        pixels = decode_jpeg(jpeg, wanted)
        assert pixels is not None
        assert pixels.shape == (side, side, 3)
        corners = pixels[:: side - 1, :: side - 1].reshape(4, 3).astype(int)
        expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
        assert abs(corners - expected).max() < 8
    assert decode_jpeg(jpeg[:-2], 0) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (7, 9)])
def test_the_smallest_and_the_thinnest(size: tuple[int, int]) -> None:
    width, height = size
    for jpeg in (encoded(height, width), progressive(height, width)):
        assert jpeg_size(jpeg) == size
        for wanted in (0, 224):
            pixels = decode_jpeg(jpeg, wanted)
            assert pixels is not None
            assert pixels.shape == (height, width, 3)
            assert abs(pixels.astype(int) - [255, 0, 0]).max() < 4


def progressive(height: int, width: int) -> bytes:
    picture = np.full((height, width, 3), (0, 0, 255), np.uint8)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def test_a_hundred_megapixels_are_decoded_at_half_their_size() -> None:
    jpeg = cv2.imencode(".jpg", np.full((9000, 12000), 90, np.uint8))[1].tobytes()
    assert jpeg_size(jpeg) == (12000, 9000)
    pixels = decode_jpeg(jpeg, 0)
    assert pixels is not None
    assert pixels.shape == (4500, 6000, 3)
    pixels = decode_jpeg(jpeg, 224)
    assert pixels is not None
    assert pixels.shape == (1125, 1500, 3)
    assert pixels[-1, -1].tolist() == [90, 90, 90]


def test_8k() -> None:
    pixels = decode_jpeg(encoded(4320, 7680), 224)
    assert pixels is not None
    assert pixels.shape == (540, 960, 3)
    pixels = decode_jpeg(encoded(4320, 7680), 0)
    assert pixels is not None
    assert pixels.shape == (4320, 7680, 3)


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_picture_without_size_is_broken(side: str) -> None:
    jpeg = bytearray(encoded(16, 16))
    at = jpeg.index(b"\xff\xc0") + (7 if side == "width" else 5)
    jpeg[at : at + 2] = b"\0\0"
    assert jpeg_size(bytes(jpeg)) is None
    assert decode_jpeg(bytes(jpeg), 0) is None

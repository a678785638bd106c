"""What files and streams say of how they are to be shown.

Each cell is all eight orientations, or the pixel shapes 16:11, 4:3 and 3:4 beside 1:1; every one
compares the pixels that the source delivers. A dash: the format cannot say it.

| source                   | orientation                    | pixel shape                    |
| ------------------------ | ------------------------------ | ------------------------------ |
| file MP4, MOV (H.264)    | matrix of the container        | container (pasp) and H.264 VUI |
| file MOV (MJPEG)         | matrix of the container        | container                      |
| file AVI (MJPEG)         | EXIF of the pictures           | container                      |
| file H.264, H.265        | SEI display orientation        | VUI                            |
| RTSP H.264, H.265        | SEI display orientation        | VUI                            |
| gst:                     | tags (qtdemux: all but 7)      | caps                           |
| folder, one picture file | EXIF of JPEG, PNG, WebP; TIFF  | -                              |
| HTTP snapshot, MJPEG     | EXIF                           | -                              |
| V4L2 MJPG                | EXIF                           | -                              |
| V4L2 plain, picamera2    | -                              | -                              |

The pixel density in a JPEG's JFIF header is not taken for a pixel shape: cameras write anything
there. BMP, PNM and GIF say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edged.capture.decode.jpeg import decode_jpeg
from edged.capture.decode.orientation import UPRIGHT as PLAIN
from edged.capture.decode.orientation import of_exif, of_matrix, of_user
from edged.capture.source import CaptureRequest, Granted, Source
from edged.capture.sources.table import make_source
from edged.variants.evaluation.photos import decode
from tests.rig.camera import Notes, next_frame, running, wait_until
from tests.rig.clips import write_jpegs
from tests.rig.geometry import (
    HEIGHT,
    MATRICES,
    ORIENTATIONS,
    UPRIGHT,
    WIDTH,
    Pixels,
    http_camera,
    looks_like,
    marked,
    photographed,
    set_matrix,
    with_sei,
    write_video,
)
from tests.rig.gst_launch import needs_gstreamer as needs_gst_launch
from tests.rig.pictures import prepared
from tests.rig.ports import free_port
from tests.rig.rtsp import needs_gstreamer, servers, serving, url
from tests.rig.v4l2_camera import Rig

SHAPES = [Fraction(16, 11), Fraction(4, 3), Fraction(3, 4), Fraction(1)]


def opened(source: str, **request: object) -> tuple[Source, Granted]:
    made = make_source(CaptureRequest(source, **request), Notes().admission)  # type: ignore[arg-type]
    return made, made.open()


def first_of(source: str | Path, wanted: int = 0) -> Pixels:
    made, _ = opened(str(source))
    try:
        picture = made.read(wanted)
        assert picture is not None
        return picture.pixels.copy()
    finally:
        made.close()


def upright(orientation: int) -> Pixels:
    return UPRIGHT[orientation](marked())


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mov", "mjpeg")]
)
def test_the_matrix_of_a_container(tmp_path: Path, name: str, codec: str) -> None:
    clip = write_video(tmp_path / name, marked(), codec=codec)
    content = clip.read_bytes()
    for orientation in ORIENTATIONS:
        clip.write_bytes(content)
        set_matrix(clip, orientation)
        assert looks_like(first_of(clip), upright(orientation)), orientation


@pytest.mark.parametrize("h265", [False, True])
def test_the_sei_of_a_bare_stream(tmp_path: Path, h265: bool) -> None:
    name, codec = ("a.h265", "libx265") if h265 else ("a.h264", "libx264")
    stream = write_video(tmp_path / name, marked(), codec=codec).read_bytes()
    for orientation in ORIENTATIONS:
        clip = tmp_path / name
        clip.write_bytes(with_sei(stream, orientation, h265=h265))
        assert looks_like(first_of(clip), upright(orientation)), orientation


def test_the_exif_of_mjpeg_in_a_file(tmp_path: Path) -> None:
    for orientation in ORIENTATIONS:
        pictures = [photographed(orientation)] * 2
        clip = write_jpegs(tmp_path / f"{orientation}.avi", pictures, size=(WIDTH, HEIGHT))
        assert looks_like(first_of(clip), upright(orientation)), orientation


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_the_exif_of_a_picture_in_a_folder_alone_and_among_photos(
    tmp_path: Path, suffix: str
) -> None:
    for orientation in ORIENTATIONS:
        content = photographed(orientation, suffix)
        folder = tmp_path / str(orientation)
        folder.mkdir()
        picture = folder / f"a{suffix}"
        picture.write_bytes(content)
        for source in (folder, picture):
            made, granted = opened(str(source))
            delivered = made.read(0)
            assert delivered is not None
            expected = upright(orientation)
            assert looks_like(delivered.pixels, expected), orientation
            assert (granted.height, granted.width) == expected.shape[:2]
        assert looks_like(decode(content, "x"), expected), orientation


@pytest.mark.parametrize("kind", ["snapshot", "mjpeg"])
def test_the_exif_of_http_snapshots_and_of_mjpeg(kind: str) -> None:
    for orientation in ORIENTATIONS:
        with http_camera(photographed(orientation)) as address:
            made, granted = opened(f"{address}/{kind}")
            picture = made.read(0)
            made.close()
        assert picture is not None
        expected = upright(orientation)
        assert looks_like(picture.pixels, expected), orientation
        assert (granted.height, granted.width) == expected.shape[:2]


def test_the_exif_of_a_webcams_mjpeg() -> None:
    for orientation in ORIENTATIONS:
        rig = Rig({"MJPG": {(WIDTH, HEIGHT): [30.0]}}, photographed(orientation))
        rig.source.open()
        picture = rig.source.read(0)
        assert picture is not None
        assert looks_like(picture.pixels, upright(orientation)), orientation


@servers
@needs_gstreamer
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_the_sei_of_an_rtsp_stream(tmp_path: Path, codec: str) -> None:
    """A stream whose orientation changes with each key frame, through all eight."""
    name, h265 = f"a.{codec}", codec == "h265"
    encoder = "libx265" if h265 else "libx264"
    stream = write_video(tmp_path / name, marked(), codec=encoder).read_bytes()
    clip = tmp_path / name
    clip.write_bytes(b"".join(with_sei(stream, each, h265=h265) for each in ORIENTATIONS))
    port = free_port()
    with serving(port, "--codec", codec, "--clip", str(clip)):
        made, _ = opened(url(port))
        seen: set[int] = set()
        for _ in range(200):
            picture = made.read(0)
            assert picture is not None
            fits = [each for each in ORIENTATIONS if looks_like(picture.pixels, upright(each))]
            assert len(fits) == 1
            seen.update(fits)
            if len(seen) == len(ORIENTATIONS):
                break
        made.close()
    assert seen == set(ORIENTATIONS)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.h264", "libx264"),
        ("a.h265", "libx265"),
        ("a.mov", "mjpeg"),
        ("a.avi", "mjpeg"),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_of_a_file_become_square(
    tmp_path: Path, name: str, codec: str, shape: Fraction
) -> None:
    clip = write_video(tmp_path / name, marked(), codec=codec, shape=shape)
    made, granted = opened(str(clip))
    size = squared(shape)
    assert (granted.width, granted.height) == size
    whole, small = made.read(0), made.read(48)
    made.close()
    assert whole is not None
    assert looks_like(whole.pixels, marked(*size))
    assert small is not None
    assert abs(small.pixels.shape[1] / small.pixels.shape[0] - size[0] / size[1]) < 0.03
    assert 48 <= min(small.pixels.shape[:2]) <= 96


def squared(shape: Fraction) -> tuple[int, int]:
    return (round(WIDTH * shape), HEIGHT) if shape >= 1 else (WIDTH, round(HEIGHT / shape))


@servers
@needs_gstreamer
@pytest.mark.parametrize(
    ("codec", "shape"), [*(("h264", shape) for shape in SHAPES), ("h265", SHAPES[0])]
)
def test_pixels_of_an_rtsp_stream_become_square(
    tmp_path: Path, codec: str, shape: Fraction
) -> None:
    encoder = {"h264": "libx264", "h265": "libx265"}[codec]
    clip = write_video(tmp_path / f"a.{codec}", marked(), codec=encoder, shape=shape)
    port = free_port()
    with serving(port, "--codec", codec, "--clip", str(clip)):
        made, granted = opened(url(port))
        picture = made.read(0)
        made.close()
    size = squared(shape)
    assert (granted.width, granted.height) == size
    assert picture is not None
    assert looks_like(picture.pixels, marked(*size))


def test_a_stream_that_changes_its_shape(tmp_path: Path) -> None:
    shapes = Fraction(1), Fraction(4, 3), Fraction(1)
    clip = tmp_path / "a.h264"
    parts = [write_video(clip, marked(), shape=shape).read_bytes() for shape in shapes]
    clip.write_bytes(b"".join(parts))
    made, _ = opened(str(clip))
    seen = []
    while (picture := made.read(0)) is not None:
        assert looks_like(picture.pixels, marked(picture.pixels.shape[1], HEIGHT))
        if picture.pixels.shape[1] not in seen[-1:]:
            seen.append(picture.pixels.shape[1])
    made.close()
    assert seen == [squared(shape)[0] for shape in shapes]


def test_a_shape_that_cannot_be_meant_is_left_alone(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", marked(), shape=Fraction(200, 3))
    assert first_of(clip).shape == (HEIGHT, WIDTH, 3)


def test_pixels_become_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", marked(), shape=Fraction(4, 3))
    set_matrix(clip, 6)
    wide = marked(*squared(Fraction(4, 3)))
    assert looks_like(first_of(clip), UPRIGHT[6](wide))


@servers
@needs_gst_launch
def test_tags_and_caps_of_a_pipeline(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", marked())
    content = clip.read_bytes()
    for orientation in (1, 2, 3, 4, 5, 6, 8):  # qtdemux gives no tag for 7
        clip.write_bytes(content)
        set_matrix(clip, orientation)
        made, _ = opened(f"gst:filesrc location={clip} ! decodebin", square=False)
        picture = made.read(0)
        made.close()
        assert picture is not None
        assert looks_like(picture.pixels, UPRIGHT[orientation](marked(256, 256))), orientation


@servers
@needs_gst_launch
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[1], SHAPES[3]])
def test_pixels_of_a_pipeline_become_square(tmp_path: Path, shape: Fraction) -> None:
    width = round(64 / shape)
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stored[16:80, 80 - width // 2 : 80 + width // 2] = 255  # shown as 64x64
    clip = write_video(tmp_path / "a.mp4", stored, shape=shape)
    seen = first_of(f"gst:filesrc location={clip} ! decodebin")
    assert seen.shape == (256, 256, 3)
    side = 64 * 256 / HEIGHT
    assert np.count_nonzero(seen[128, :, 1] > 128) == pytest.approx(side, abs=4)
    assert np.count_nonzero(seen[:, 128, 1] > 128) == pytest.approx(side, abs=4)


def test_the_users_rotate_flip_and_roi_come_after_what_the_file_says(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    request = CaptureRequest(
        str(picture), fps=50.0, loop=True, rotate=90, flip="horizontal", square=False
    )
    for orientation in ORIENTATIONS:
        picture.write_bytes(photographed(orientation))
        seen = prepared(first_of(picture), request)
        users = UPRIGHT[6](upright(orientation))[:, ::-1]
        assert looks_like(seen, users), orientation
        height, width = users.shape[:2]
        corner = replace(request, roi=(0.5, 0.0, 0.5, 0.5))
        part = prepared(first_of(picture), corner)
        assert looks_like(part, users[: height // 2, width // 2 :]), orientation


def test_the_whole_way_to_the_mailbox_with_the_size_that_is_reported(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", marked(), shape=Fraction(4, 3))
    set_matrix(clip, 8)
    expected = UPRIGHT[8](marked(*squared(Fraction(4, 3))))
    request = CaptureRequest(str(clip), loop=True, square=False)
    with running(request, wanted=0) as (camera, mailbox):
        assert looks_like(next_frame(mailbox).pixels, expected)
        assert wait_until(lambda: camera.granted is not None)
        assert camera.granted is not None
        assert (camera.granted.height, camera.granted.width) == expected.shape[:2]


def test_one_table_for_exif_matrices_and_the_user() -> None:
    for number, (a, b, c, d) in MATRICES.items():
        assert of_matrix((a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)) == of_exif(
            number
        )
    assert of_exif(None) == of_exif(0) == of_exif(9) == PLAIN
    assert of_matrix((0,) * 9) == PLAIN
    assert of_matrix((60000, 26000, 0, -26000, 60000, 0, 0, 0, 1 << 30)) == PLAIN  # 23 degrees
    assert [of_user(turn, None) for turn in (0, 90, 180, 270)] == [
        of_exif(number) for number in (1, 6, 3, 8)
    ]
    assert of_user(0, "horizontal") == of_exif(2)
    assert of_user(90, "horizontal") == of_exif(5)
    assert of_user(90, "vertical") == of_exif(7)


@pytest.fixture
def stored() -> Iterator[Pixels]:
    yield np.arange(24, dtype=np.uint8).reshape(4, 6, 1)


def test_turning_copies_nothing(stored: Pixels) -> None:
    for number in ORIENTATIONS:
        turned = of_exif(number).upright(stored)
        assert np.array_equal(turned, UPRIGHT[number](stored))
        assert np.shares_memory(turned, stored)
        assert of_exif(number).size(6, 4) == (turned.shape[1], turned.shape[0])


def test_a_jpeg_is_upright_at_every_scale() -> None:
    for orientation in ORIENTATIONS:
        for wanted in (0, 48, 20):
            pixels = decode_jpeg(photographed(orientation), wanted)
            assert pixels is not None
            factor = HEIGHT // min(pixels.shape[:2])
            expected = UPRIGHT[orientation](marked(WIDTH // factor, HEIGHT // factor))
            assert looks_like(pixels, expected)

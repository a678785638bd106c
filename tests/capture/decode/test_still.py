"""Picture files of every format: bounded by their header, before anything is decoded."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.capture.decode.pictures import MOST_PIXELS, BrokenPictureError
from edged.capture.decode.still import decode_picture, picture_size, read_picture
from edged.capture.source import CaptureRequest, Granted, SourceError
from edged.capture.sources.file import FileSource
from edged.capture.sources.folder import FolderSource
from edged.capture.supervisor import CameraState
from edged.errors import InputError
from edged.variants.evaluation.photos import decode
from tests.rig.camera import Notes, next_frame, only_worker, running, wait_until
from tests.rig.pictures import PICTURE, claiming, coded, encoded, huge_png

TOO_LARGE = " is too large; the limit is 33,177,600 pixels (7680x4320); skipped"
SUFFIXES = [".bmp", ".gif", ".png", ".ppm", ".tiff", ".webp"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_size_and_pixels_of_each_format(suffix: str) -> None:
    content = coded(suffix)
    assert picture_size(content) == (60, 40)
    pixels = decode_picture(content, 0)
    assert pixels.shape == (40, 60, 3)
    if suffix not in (".gif", ".webp"):  # palette; lossy where it is not asked otherwise
        assert np.array_equal(pixels, PICTURE)


def test_the_kinds_of_webp() -> None:
    for quality in (50, 101):  # above 100: lossless
        content = coded(".webp", cv2.IMWRITE_WEBP_QUALITY, quality)
        assert picture_size(content) == (60, 40)
        assert decode_picture(content, 0).shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_size_beyond_the_bound_is_refused_by_the_header(suffix: str) -> None:
    side = 16000
    content = claiming(suffix, side)
    assert picture_size(content) == (side, side)
    with pytest.raises(BrokenPictureError, match="16000x16000 is too large"):
        decode_picture(content, 224)
    with pytest.raises(InputError, match=r"val\.tar: a\.png: 16000x16000 is too large"):
        decode(content, "val.tar: a.png")


def test_a_png_whose_chunk_is_longer_than_the_file() -> None:
    """The reader would allocate what it claims."""
    content = bytearray(coded(".png"))
    content[33:37] = (3 << 30).to_bytes(4, "big")
    with pytest.raises(BrokenPictureError, match="incomplete picture"):
        picture_size(bytes(content))


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_whose_tiles_are_huge(big: bool) -> None:
    tags = ((256, 60), (257, 40), (322, 60_000), (323, 60_000))
    if big:
        entries = b"".join(struct.pack(">HHQIxxxx", tag, 4, 1, side) for tag, side in tags)
        content = b"MM\0\x2b" + struct.pack(">HHQQ", 8, 0, 16, len(tags)) + entries + bytes(8)
    else:
        entries = b"".join(struct.pack(">HHII", tag, 4, 1, side) for tag, side in tags)
        content = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + bytes(4)
    with pytest.raises(BrokenPictureError, match="60000x60000 is too large"):
        decode_picture(content, 0)


def test_a_picture_at_the_bound_is_read() -> None:
    width, height = 7680, 4320
    content = cv2.imencode(".png", np.zeros((height, width), np.uint8))[1].tobytes()
    assert width * height == MOST_PIXELS
    assert decode_picture(content, 0).shape == (height, width, 3)


def test_a_photo_of_sixty_megapixels_is_decoded_at_half_its_size() -> None:
    content = encoded(6400, 9600)
    assert picture_size(content) == (9600, 6400)
    assert decode_picture(content, 0).shape == (3200, 4800, 3)
    assert decode_picture(content, 224).shape == (800, 1200, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\1\0\1\0",
        b"<html>",
        b"P7\n",
        b"II*\0",
        b"BM",
        b"GIF89a",
        b"RIFF1234WEBPVP8X",
        b"P6" + b" " * 4000,
    ],
)
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(BrokenPictureError, match=r"not a|incomplete"):
        decode_picture(content, 0)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SUFFIXES), st.binary(max_size=40), st.integers(0, 120), st.integers(0, 400))
def test_any_bytes_are_a_picture_or_broken(suffix: str, noise: bytes, at: int, length: int) -> None:
    content = bytearray(coded(suffix))
    content[at : at + len(noise)] = noise
    try:
        pixels = decode_picture(bytes(content[:length] if length < 300 else content), 0)
    except BrokenPictureError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.size <= 3 * MOST_PIXELS


def test_a_pipe_and_a_file_without_end_are_no_pictures(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(BrokenPictureError, match="not a file"):
        read_picture(tmp_path / "a.jpg")
    with (tmp_path / "b.png").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BrokenPictureError, match="larger than 128 MB"):
        read_picture(tmp_path / "b.png")


def test_a_folder_goes_on_behind_what_is_too_large_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(huge_png(16000))
    (tmp_path / "b.png").write_bytes(coded(".png")[:-500])
    (tmp_path / "c.webp").write_bytes(b"nonsense")
    os.mkfifo(tmp_path / "d.jpg")
    (tmp_path / "e.png").write_bytes(coded(".png"))
    (tmp_path / "f.bmp").write_bytes(claiming(".bmp", 30_000))
    (tmp_path / "g.png").write_bytes(coded(".png"))
    notes = Notes()
    source = FolderSource(
        CaptureRequest(str(tmp_path), fps=100.0), notes.admission, sleep=lambda _: None
    )
    granted = source.open()
    assert (granted.width, granted.height, granted.format) == (60, 40, "7 pictures")
    for _ in range(2):
        picture = source.read(224)
        assert picture is not None
        assert np.array_equal(picture.pixels, PICTURE)
    assert source.read(224) is None
    assert notes.counts.broken == 5
    assert [note.rpartition("/")[2] for note in notes] == [
        "a.png: 16000x16000" + TOO_LARGE,
        "b.png: incomplete picture; skipped",
        "c.webp: not a picture of a supported format; skipped",
        "d.jpg: not a file; skipped",
        "f.bmp: 30000x30000" + TOO_LARGE,
    ]


def test_the_process_of_a_folder_stays_small_and_reaches_the_next_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(huge_png(16000))
    (tmp_path / "b.png").write_bytes(coded(".png"))
    with running(CaptureRequest(str(tmp_path), fps=20.0, loop=True)) as (camera, mailbox):
        assert next_frame(mailbox).pixels.shape == (40, 40, 3)
        assert next_frame(mailbox).pixels.shape == (40, 40, 3)
        status = Path(f"/proc/{only_worker()}/status").read_text()
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        assert mailbox.broken >= 1
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kb < 250_000


def test_a_single_picture_file_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    source = FolderSource(CaptureRequest(str(picture)), Notes().admission)
    with pytest.raises(SourceError, match=r"a\.png: no such file$"):
        source.open()
    picture.write_bytes(claiming(".png", 20_000))
    with pytest.raises(SourceError, match=r"a\.png: 20000x20000 is too large"):
        source.open()


def test_a_single_picture_is_shown_again_and_again(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(coded(".png"))
    source = FolderSource(
        CaptureRequest(str(picture), loop=True), Notes().admission, sleep=lambda _: None
    )
    assert source.open() == Granted(60, 40, 1.0, "1 picture")
    for _ in range(3):
        shown = source.read(0)
        assert shown is not None
        assert np.array_equal(shown.pixels, PICTURE)


def video(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_video_with_huge_pictures(tmp_path: Path) -> None:
    clip = video(tmp_path / "a.ivf")
    content = bytearray(clip.read_bytes())
    key_frame = content.index(b"\x9d\x01\x2a") + 3
    for at in (12, key_frame):
        content[at : at + 4] = struct.pack("<HH", 16_000, 16_000)
    clip.write_bytes(content)
    source = FileSource(CaptureRequest(str(clip)), Notes().admission)
    with pytest.raises(SourceError, match=r"a\.ivf: 16000x16000 is too large"):
        source.open()
    source.close()


def test_a_video_whose_pictures_are_larger_than_its_container_says(tmp_path: Path) -> None:
    clip = video(tmp_path / "a.mkv")
    content = bytearray(clip.read_bytes())
    key_frame = content.index(b"\x9d\x01\x2a") + 3
    content[key_frame : key_frame + 4] = struct.pack("<HH", 16_000, 16_000)
    clip.write_bytes(content)
    notes = Notes()
    source = FileSource(CaptureRequest(str(clip)), notes.admission)
    source.open()
    with pytest.raises(SourceError, match="no picture could be decoded"):
        source.read(224)
    assert notes.counts.broken == 3
    source.close()


def test_a_stream_of_gif_within_and_beyond_the_bound(tmp_path: Path) -> None:
    clip = tmp_path / "a.gif"
    clip.write_bytes(coded(".gif"))
    source = FileSource(CaptureRequest(str(clip)), Notes().admission)
    assert source.open().width == 60
    assert source.read(0) is not None
    source.close()
    clip.write_bytes(claiming(".gif", 16_000))
    source = FileSource(CaptureRequest(str(clip)), Notes().admission)
    with pytest.raises(SourceError):
        source.open()
        source.read(0)
    source.close()


def test_transparency_sixteen_bits_and_grey_become_rgb() -> None:
    for picture in (
        np.full((8, 8), 90, np.uint8),
        np.full((8, 8, 3), 90 * 257, np.uint16),
        np.full((8, 8, 4), 90, np.uint8),
    ):
        pixels = decode_picture(cv2.imencode(".png", picture)[1].tobytes(), 0)
        assert pixels.shape == (8, 8, 3)
        assert np.abs(pixels.astype(int) - 90).max() <= 1


def test_pillows_pictures_too() -> None:
    image = pytest.importorskip("PIL.Image")
    for kind in ("TIFF", "PNG", "WEBP", "BMP", "GIF", "PPM"):
        file = io.BytesIO()
        image.fromarray(PICTURE).save(file, kind)
        assert picture_size(file.getvalue()) == (60, 40)
        assert decode_picture(file.getvalue(), 0).shape == (40, 60, 3)

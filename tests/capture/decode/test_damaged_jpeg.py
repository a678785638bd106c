"""JPEGs that decode to something although they are damaged, and those that only look as if."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from edged.capture.decode.jpeg import decode_jpeg
from edged.capture.decode.pictures import BrokenPictureError
from edged.capture.decode.still import decode_picture
from edged.capture.source import CaptureRequest
from edged.capture.sources.table import make_source
from edged.errors import InputError
from edged.variants.evaluation.photos import decode
from tests.rig.camera import Notes
from tests.rig.clips import write_jpegs
from tests.rig.geometry import http_camera
from tests.rig.v4l2_camera import Rig

END = b"\xff\xd9"
PICTURE = np.kron(
    np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8),
    np.ones((8, 8, 1), np.uint8),
)
KINDS = {
    "baseline": [],
    "4:4:4": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
    "optimized": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
}


def jpeg(kind: str = "baseline") -> bytes:
    return cv2.imencode(".jpg", PICTURE, KINDS[kind])[1].tobytes()


def cut_half(whole: bytes) -> bytes:
    """Its lower half is missing, but not its end mark."""
    return whole[: len(whole) // 2].rstrip(b"\xff") + END


def warned(data: bytes) -> str:
    """What the decoder says; an assertion when it says nothing."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        simplejpeg.decode_jpeg(data)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_half_with_an_end_mark_is_broken_at_every_scale(kind: str) -> None:
    whole = jpeg(kind)
    for wanted in (0, 120, 60, 1):
        assert decode_jpeg(whole, wanted) is not None
        assert decode_jpeg(cut_half(whole), wanted) is None
    with pytest.raises(BrokenPictureError, match=r"damaged \(.*(premature end|instead of RST)"):
        decode_picture(cut_half(whole), 0)
    with pytest.raises(InputError, match=r"a\.tar: b\.jpg: damaged"):
        decode(cut_half(whole), "a.tar: b.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_pictures_of_one_three_and_four_colours(mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(PICTURE).convert(mode).save(file, "JPEG", quality=95)
    whole = decode_jpeg(file.getvalue(), 0)
    assert whole is not None
    theirs = np.asarray(image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    assert np.abs(whole.astype(int) - theirs).max() <= 2
    assert decode_jpeg(cut_half(file.getvalue()), 0) is None


def test_a_hole_in_the_middle_is_broken() -> None:
    whole = jpeg()
    middle = len(whole) // 2
    holed = whole[:middle] + bytes(600) + whole[middle + 600 :]
    assert "extraneous" not in warned(holed) or int(re.findall(r"\d+", warned(holed))[0]) > 16
    assert decode_jpeg(holed, 0) is None


def scan_of(data: bytes) -> int:
    return data.rindex(b"\xff\xda")


def stray_before_restarts(data: bytes) -> bytes:
    """As Logitech's C270 and C910 have them, in nearly every picture."""
    scan = scan_of(data)
    restarts = re.compile(b"\xff[\xd0-\xd7]")
    return data[:scan] + restarts.sub(lambda found: b"\1\2\3\4\5" * 3 + found[0], data[scan:])


def without_tables(data: bytes) -> bytes:
    """MJPEG of USB cameras leaves the usual Huffman tables out, and has AVI1 instead of JFIF."""
    tables = re.compile(rb"(?s)\xff\xc4(..)")
    while found := tables.search(data, 0, scan_of(data)):
        length = int.from_bytes(found[1], "big")
        data = data[: found.start()] + data[found.start() + 2 + length :]
    avi1 = b"\xff\xe0\0\x10AVI1" + bytes(10)
    jfif = data.index(b"\xff\xe0")
    return data[:jfif] + avi1 + data[jfif + 18 :]


HARMLESS: dict[str, Callable[[bytes], bytes]] = {
    "padding behind the end": lambda data: data + bytes(700),
    "padding before the end": lambda data: data[:-2] + bytes(700) + END,
    "a few bytes before the end": lambda data: data[:-2] + bytes(range(1, 17)) + END,
    "stray bytes in front of a segment": lambda data: data[:20] + b"\1\2\3" * 200 + data[20:],
    "stray bytes in front of the scan": lambda data: (
        data[: scan_of(data)] + b"\0\7" + data[scan_of(data) :]
    ),
    "two beginnings": lambda data: data[:2] + data,
    "fill bytes": lambda data: data[:20] + b"\xff" * 9 + data[20:],
    "an unknown version of JFIF": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7", 1),
    "zeros for the spectrum of the scan": lambda data: (
        data[: scan_of(data) + 12] + b"\0\0" + data[scan_of(data) + 14 :]
    ),
    "no Huffman tables": without_tables,
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_cameras_do_in_every_picture_is_no_damage(kind: str) -> None:
    whole = jpeg()
    assert whole[20:21] == b"\xff"
    odd = HARMLESS[kind](whole)
    assert odd != whole
    for wanted in (0, 60):
        assert np.array_equal(decode_jpeg(odd, wanted), decode_jpeg(whole, wanted))


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_is_cut_is_broken_all_the_same(kind: str) -> None:
    odd = HARMLESS[kind](jpeg())
    cut = odd[: scan_of(odd) + 4000] + END
    assert decode_jpeg(cut, 0) is None


def test_stray_bytes_before_restart_markers() -> None:
    whole = jpeg("restarts")
    odd = stray_before_restarts(whole)
    assert re.search(r"[1-9]\d? extraneous bytes before marker 0xd[0-7]", warned(odd))
    assert np.array_equal(decode_jpeg(odd, 0), decode_jpeg(whole, 0))
    assert decode_jpeg(cut_half(odd), 0) is None


def test_a_header_of_nothing_but_stray_bytes_ends() -> None:
    whole = jpeg()
    for noise in (b"\xff\0" * 100_000, b"\xff" * 100_000, b"\1" * 100_000, b"\xff\xd8" * 100_000):
        decode_jpeg(whole[:2] + noise + whole[2:], 0)


def pictures_of(source: str, **request: object) -> tuple[np.ndarray, Notes]:
    notes = Notes()
    made = make_source(CaptureRequest(source, fps=50.0, **request), notes.admission)  # type: ignore[arg-type]
    made.open()
    picture = made.read(0)
    made.close()
    assert picture is not None
    return picture.pixels, notes


@pytest.mark.parametrize("source", ["folder", "file", "snapshot", "mjpeg", "v4l2"])
def test_every_source_counts_it_and_goes_on(tmp_path: Path, source: str) -> None:
    whole = jpeg()
    cut = cut_half(whole)
    if source == "folder":
        (tmp_path / "a.jpg").write_bytes(cut)
        (tmp_path / "b.jpg").write_bytes(whole)
        pixels, notes = pictures_of(str(tmp_path))
        assert "a.jpg: damaged (Corrupt JPEG data: premature end of data segment)" in notes[0]
    elif source == "file":
        pixels, notes = pictures_of(str(write_jpegs(tmp_path / "a.avi", [cut, whole])))
    elif source == "v4l2":
        rig = Rig({"MJPG": {(320, 240): [30.0]}}, cut)
        rig.source.open()
        retrieve = rig.capture.retrieve

        def then_whole() -> tuple[bool, np.ndarray]:
            taken = retrieve()
            rig.capture.frame = whole
            return taken

        rig.capture.retrieve = then_whole  # type: ignore[method-assign]
        picture = rig.source.read(0)
        assert picture is not None
        pixels, notes = picture.pixels, rig.notes
    else:
        with http_camera(cut, whole) as address:
            pixels, notes = pictures_of(f"{address}/{source}")
    assert np.array_equal(pixels, decode_jpeg(whole, 0))
    assert notes.counts.broken == 1

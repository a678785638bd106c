from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.folder import FolderSource
from edged.capture.supervisor import CameraState
from tests.rig.camera import FakeTime, Notes, next_frame, only_worker, running, wait_until
from tests.rig.pictures import encoded, with_exif_orientation

SECOND = 1_000_000_000


def write_png(path: Path, red: int) -> None:
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[..., 2] = red  # OpenCV writes BGR
    assert cv2.imwrite(str(path), picture)


def opened(folder: Path, **request: object) -> tuple[FolderSource, FakeTime, Notes, Granted]:
    time, notes = FakeTime(), Notes(request.pop("max_fps", None))  # type: ignore[arg-type]
    source = FolderSource(
        CaptureRequest(str(folder), **request),  # type: ignore[arg-type]
        notes.admission,
        clock=time.clock,
        sleep=time.sleep,
    )
    return source, time, notes, source.open()


def read_all(source: FolderSource, most: int = 100, wanted: int = 0) -> list[Picture]:
    pictures: list[Picture] = []
    while len(pictures) < most and (picture := source.read(wanted)) is not None:
        pictures.append(picture)
    return pictures


def test_sorted_by_name_one_a_second_and_an_end(tmp_path: Path) -> None:
    for name, red in (("b.png", 20), ("a.png", 10), ("c.PNG", 30)):
        write_png(tmp_path / name, red)
    (tmp_path / "notes.txt").write_text("not a picture")
    source, time, notes, granted = opened(tmp_path)
    assert granted == Granted(40, 30, 1.0, "3 pictures")
    begun_ns = time.now_ns
    pictures = read_all(source)
    assert [picture.pixels[0, 0].tolist() for picture in pictures] == [
        [10, 0, 0],
        [20, 0, 0],
        [30, 0, 0],
    ]
    assert [p.captured_ns - begun_ns for p in pictures] == [0, SECOND, 2 * SECOND]
    assert notes.counts.captured == 3
    assert notes == []
    source.close()


def test_it_repeats_with_what_is_there_then(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", 10)
    source, _, _, _ = opened(tmp_path, loop=True, fps=10.0)
    first = read_all(source, 2)
    assert first[1].captured_ns - first[0].captured_ns == SECOND // 10
    write_png(tmp_path / "b.png", 20)
    assert [p.pixels[0, 0, 0] for p in read_all(source, 3)] == [10, 20, 10]
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").unlink()
    with pytest.raises(SourceError, match="no pictures in this folder"):
        read_all(source, 3)


def test_a_broken_picture_is_counted_and_named_once(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", 10)
    whole = encoded(100, 100)
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "d.webp").write_bytes(b"RIFFnonsense")
    (tmp_path / "e.bmp").symlink_to("nowhere")
    (tmp_path / "f.jpg").mkdir()
    source, _, notes, _ = opened(tmp_path, loop=True)
    assert len(read_all(source, 3)) == 3
    assert notes.counts.broken == 2 * 5
    assert [line.rpartition("/")[2] for line in notes] == [
        "b.jpg: incomplete picture; skipped",
        "c.png: incomplete picture; skipped",
        "d.webp: not a picture of a supported format; skipped",
        "e.bmp: no such file; skipped",
        "f.jpg: not a file; skipped",
    ]


def test_a_picture_that_is_broken_later_is_named_then(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", 1)
    source, _, notes, _ = opened(tmp_path, loop=True)
    assert len(read_all(source, 3)) == 3
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert len(read_all(source, 3)) == 3
    assert [note.partition("b.png: ")[2] for note in notes] == [
        "not a picture of a supported format; skipped"
    ]
    assert notes.counts.broken > 1


def test_jpeg_is_turned_upright_and_decoded_at_the_scale_wanted(tmp_path: Path) -> None:
    jpeg = with_exif_orientation(encoded(240, 480), 6)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    source, _, _, granted = opened(tmp_path, loop=True)
    assert (granted.width, granted.height) == (240, 480)
    (picture,) = read_all(source, 1, wanted=100)
    assert picture.pixels.shape == (240, 120, 3)
    assert picture.pixels[5, 5, 0] > 250
    assert picture.pixels[5, 5, 2] < 5


def test_max_fps_holds_before_decoding(tmp_path: Path) -> None:
    for name in "abcdefgh":
        (tmp_path / f"{name}.jpg").write_bytes(encoded(16, 16))
    source, _, notes, _ = opened(tmp_path, fps=4.0, max_fps=2.0)
    assert len(read_all(source)) == 4
    assert (notes.counts.captured, notes.counts.skipped) == (8, 4)


@pytest.mark.parametrize("limit", [{"max_fps": 0.1}, {"on": False}], ids=["seldom", "off"])
def test_a_loop_of_which_no_picture_is_due_goes_on(
    tmp_path: Path, limit: dict[str, object]
) -> None:
    for name in "abc":
        write_png(tmp_path / f"{name}.png", 10)
    source, time, notes, _ = opened(tmp_path, fps=4.0, loop=True)
    notes.admission.limit_to(**({"max_fps": None} | limit))  # type: ignore[arg-type]
    begun_ns = time.now_ns
    assert len(read_all(source, 4)) == 4
    assert time.now_ns - begun_ns >= 30 * SECOND - SECOND // 4
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"nonsense")
    with pytest.raises(SourceError, match="no picture can be decoded any more"):
        read_all(source)
    assert notes.counts.broken == 3


def test_a_folder_of_twenty_thousand(tmp_path: Path) -> None:
    """Links to two pictures, of which the second comes last."""
    write_png(tmp_path / "00000.png", 10)
    write_png(tmp_path / "19999.png", 20)
    for number in range(1, 19_999):
        (tmp_path / f"{number:05}.png").hardlink_to(tmp_path / "00000.png")
    source, _, notes, granted = opened(tmp_path, loop=True)
    assert granted.format == "20000 pictures"
    reds = [int(picture.pixels[0, 0, 0]) for picture in read_all(source, 20_001)]
    assert reds == [*[10] * 19_999, 20, 10]
    assert notes.counts.broken == 0
    source.close()
    with running(CaptureRequest(str(tmp_path), fps=20.0, loop=True)) as (_, mailbox):
        assert next_frame(mailbox).pixels[0, 0].tolist() == [10, 0, 0]
        status = Path(f"/proc/{only_worker()}/status").read_text()
        assert int(status.partition("VmRSS:")[2].split()[0]) < 150_000


def test_folders_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no pictures in this folder.*\.jpg") as caught:
        opened(tmp_path)
    assert caught.value.reason is Failure.OPEN_FAILED
    (tmp_path / "a.jpg").write_bytes(b"nonsense")
    with pytest.raises(
        SourceError, match=r"none of its pictures can be decoded; the first, a\.jpg: not a picture"
    ):
        opened(tmp_path)
    with pytest.raises(SourceError, match="cannot be listed: No such file"):
        opened(tmp_path / "absent")


def test_pictures_that_break_while_they_are_shown(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", 10)
    source, _, _, _ = opened(tmp_path, loop=True)
    (tmp_path / "a.png").write_bytes(b"half")
    with pytest.raises(SourceError, match="any more") as caught:
        read_all(source, 3)
    assert caught.value.reason is Failure.READ_FAILED


def test_the_whole_way_to_the_mailbox_and_the_end(tmp_path: Path) -> None:
    for name in "abc":
        write_png(tmp_path / f"{name}.png", 255)
    with running(CaptureRequest(str(tmp_path), fps=10.0)) as (camera, mailbox):
        frame = next_frame(mailbox)
        assert frame.pixels.shape == (30, 30, 3)
        assert np.all(frame.pixels == (255, 0, 0))
        assert wait_until(lambda: camera.state is CameraState.ENDED)
        assert mailbox.sequence == mailbox.captured == 3

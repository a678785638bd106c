"""Pictures from outside: what is taken, what is named and left out, what cannot happen."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.capture.confinement.confine import missing
from edged.capture.decode.jpeg import decoded, jpeg_size
from edged.errors import EdgedError, InputError
from edged.teach.pictures.importing import Imported, Upload, import_pictures
from tests.rig.classifiers import drawn, jpeg
from tests.rig.hostile import SECRET
from tests.rig.photos import halves
from tests.rig.photos_exif import with_time
from tests.rig.pictures import claiming, coded, encoded, huge_png, with_exif_orientation

KEPT = pytest.mark.skipif(bool(missing()), reason=f"this kernel lacks {missing()}")


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def imported(*contents: bytes) -> Imported:
    return import_pictures(Upload(f"{number}", each) for number, each in enumerate(contents))


def why(*contents: bytes) -> list[str]:
    found = imported(*contents)
    assert not found.picked
    return [each.why for each in found.rejected]


# ------------------------------------------------------------------------------------------- taken


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"])
def test_whatever_edged_decodes_is_taken(suffix: str) -> None:
    (picked,) = imported(coded(suffix)).picked
    assert jpeg_size(picked.jpeg) == (60, 40)  # not enlarged
    assert picked.look.shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("size", "stored"), [((1080, 1920), (455, 256)), ((1000, 400), (256, 640)), ((300, 256), None)]
)
def test_the_short_side_becomes_256(size: tuple[int, int], stored: tuple[int, int] | None) -> None:
    (picked,) = imported(encoded(*size)).picked
    assert jpeg_size(picked.jpeg) == (stored or size[::-1])


def test_a_picture_is_turned_as_exif_says_and_keeps_its_colours() -> None:
    upright = halves(200, 300)
    done, data = cv2.imencode(".jpg", cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE)[:, :, ::-1])
    assert done
    (picked,) = imported(with_exif_orientation(data.tobytes(), 8)).picked
    pixels = decoded(picked.jpeg, 0).astype(int)
    assert pixels.shape == upright.shape
    assert np.abs(pixels - upright).mean() < 4


def test_files_folders_and_zips_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("b.jpg", "a.jpg", "more/c.jpg", ".hidden.jpg")):
        (folder / name).write_bytes(jpeg(0, number))
    (folder / "notes.txt").write_text("mine")
    archive = tmp_path / "some.zip"
    archive.write_bytes(zipped({"x/y.jpg": jpeg(1, 0), "x/": b"", "readme": b"text"}))
    with archive.open("rb") as file:
        found = import_pictures([folder, archive, Upload("again", file)])
    names = [each.name.removeprefix(str(tmp_path)) for each in found.picked]
    assert names == [
        "/pictures/a.jpg",
        "/pictures/b.jpg",
        "/pictures/more/c.jpg",
        "/some.zip: x/y.jpg",
        "again: x/y.jpg",
    ]
    assert [each.name.rpartition("/")[2] for each in found.rejected] == [
        "notes.txt",
        "some.zip: readme",
        "again: readme",
    ]


def test_the_time_of_a_photo_is_kept() -> None:
    taken, unknown = imported(with_time(drawn(0, 0), "2026:11:30 10:15:00"), jpeg(0, 0)).picked
    assert (taken.unix, unknown.unix) == (1796033700, None)


# ---------------------------------------------------------------------------------------- left out


def test_what_is_no_picture_is_named_with_the_reason() -> None:
    assert why(b"x" * 100, b"", jpeg(0, 0)[:300], b"\0\0\0\x18ftypheic" + bytes(100)) == [
        "not a picture of a supported format",
        "an empty file",
        "incomplete picture",
        "HEIC and AVIF are not supported; convert it to JPEG",
    ]
    assert why(encoded(8, 8), encoded(20, 400)) == ["8x8 is too small", "400x20 is too narrow"]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".gif", ".ppm", ".tiff", ".webp"])
def test_a_header_cannot_claim_more_pixels_than_there_may_be(suffix: str) -> None:
    (reason,) = why(bytes(claiming(suffix, 12000)))
    assert "too large" in reason


def test_a_picture_that_unpacks_to_too_many_pixels() -> None:
    assert "too large" in why(huge_png(9000))[0]


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.touch()
    os.truncate(path, 20_000_001)
    (tmp_path / "large.zip").write_bytes(b"PK\x03\x04")
    os.truncate(tmp_path / "large.zip", 500_000_001)
    found = import_pictures([tmp_path])
    assert [each.why for each in found.rejected] == ["larger than 20 MB", "larger than 500 MB"]


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem"])
def test_what_is_not_a_file_is_not_read(path: str) -> None:
    assert [each.why for each in import_pictures([Path(path)]).rejected] in (
        ["not a file"],
        ["an empty file"],
    )


def test_a_path_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.jpg.*No such file"):
        import_pictures([tmp_path / "nothing.jpg"])
    (tmp_path / "a.jpg").write_bytes(jpeg(0, 0))
    counts: list[int] = []
    with pytest.raises(InputError, match=r"nothing\.jpg"):
        import_pictures([tmp_path / "a.jpg", tmp_path / "nothing.jpg"], counts.append)
    assert not counts  # nothing was decoded in vain


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [each.why for each in import_pictures([tmp_path]).rejected] == ["not a file"]


# -------------------------------------------------------------------------------------------- zips


def test_names_in_a_zip_are_never_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("../../up.jpg", "/etc/passwd.jpg", "a/../b.jpg", "C:\\x.jpg", "\x1b[2Jx.jpg")
    content = zipped({name: jpeg(0, number) for number, name in enumerate(names)})
    found = imported(content)
    assert len(found.picked) == len(names)
    assert all(each.name.isprintable() for each in found.picked)
    assert list(tmp_path.iterdir()) == []


def test_a_zip_bomb_costs_little() -> None:
    bomb = zipped({f"{number}.jpg": bytes(30_000_000) for number in range(3)})
    found = imported(bomb + b"", jpeg(0, 0))
    assert [each.why for each in found.rejected] == 3 * ["larger than 20 MB"]
    assert len(found.picked) == 1


def test_all_that_is_unpacked_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from edged.teach.pictures import zips

    monkeypatch.setattr(zips, "MOST_ZIP_BYTES", 5000)
    archive = io.BytesIO(zipped({f"{number}": bytes(2000) for number in range(4)}))
    found = [str(content) for _, content in zips.entries(archive, 0, lambda number, name: None)]
    assert found[:3] == 3 * [str(bytes(2000))]
    assert "unpacked" in found[3]


def test_entries_that_cannot_be_read_are_named() -> None:
    whole = zipped({"a.jpg": jpeg(0, 0), "b.jpg": jpeg(0, 1)}, zipfile.ZIP_STORED)
    locked = bytearray(whole)
    for begin in (whole.find(b"PK\x03\x04") + 6, whole.find(b"PK\x01\x02") + 8):
        locked[begin] |= 1  # encrypted
    damaged = bytearray(whole)
    damaged[whole.find(b"\xff\xd8") + 500] ^= 1
    packed = zipped({"a.jpg": jpeg(0, 0)}, zipfile.ZIP_LZMA)
    found = imported(bytes(locked), bytes(damaged), packed, whole[: len(whole) // 2])
    assert [(each.name, each.why.split(";")[0].split(" (")[0]) for each in found.rejected] == [
        ("0: a.jpg", "encrypted"),
        ("1: a.jpg", "damaged"),
        ("2: a.jpg", "compressed in a way that edged does not read"),
        ("3", "not a readable zip file"),
    ]
    assert [each.name for each in found.picked] == ["0: b.jpg", "1: b.jpg"]


def test_a_zip_with_too_many_entries() -> None:
    assert why(zipped({str(number): b"" for number in range(10_001)})) == [
        "more than 10,000 entries"
    ]


def test_a_size_that_lies_changes_nothing() -> None:
    content = bytearray(zipped({"a.jpg": bytes(25_000_000)}))
    for beginning, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.find(beginning) + at
        content[place : place + 4] = struct.pack("<I", 10)
    (reason,) = why(bytes(content))
    assert reason in ("damaged", "incomplete picture", "not a picture of a supported format")


# -------------------------------------------------------------------------------------- the process


def broken(code: str, **names: str) -> tuple[str, str]:
    """A worker in which `stored` was replaced by this code."""
    lines = "\n    ".join(code.format(**names).splitlines())
    program = f"""
import os, sys, time
from edged.teach.pictures import worker
from edged.capture.decode.pictures import BrokenPictureError
from tests.rig import hostile
true = worker.stored
def stored(data):
    {lines}
    return true(data)
worker.stored = stored
sys.exit(worker.main())
"""
    return "-c", program


@KEPT
def test_hostile_code_in_it_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGED_PASSWORD", SECRET)
    program = broken(
        """reached = []
for name, attack in hostile.attacks("nothing"):
    try:
        answer = attack()
    except Exception:
        continue
    if answer is not None and answer is not False:
        reached.append(name)
raise BrokenPictureError(", ".join(dict.fromkeys(reached)) or "nothing")"""
    )
    found = import_pictures([Upload("x", jpeg(0, 0))], program=program)
    # Its own socket and the picture.
    assert [each.why for each in found.rejected] in (
        ["nothing"],
        ["descriptors beyond its own"],
    )


def test_one_that_crashes_or_hangs_is_named_and_the_rest_is_taken() -> None:
    bad = encoded(33, 33)
    for code, reason in (
        ("if data == {bad}: os.abort()", "crashed"),
        ("if data == {bad}: os.kill(os.getpid(), 9)", "crashed"),
        ("if data == {bad}: time.sleep(60)", "took longer than 3 s"),
    ):
        first = [] if "sleep" in code else [Upload("1", bad)]  # one sleep is long enough
        program = broken(code, bad=repr(bad))
        entries = {"a": jpeg(0, 0), "b": bad, "c": jpeg(0, 1)}
        items = [*first, Upload("2", jpeg(0, 2)), Upload("3", zipped(entries))]
        found = import_pictures(items, seconds=3.0, program=program)
        assert [each.name for each in found.picked] == ["2", "3: a", "3: c"], code
        assert [each.name for each in found.rejected] == [each.name for each in first] + ["3: b"]
        assert all(reason in each.why for each in found.rejected)


def test_a_zip_in_which_everything_crashes_is_given_up() -> None:
    program = broken("os.abort()")
    content = zipped({str(number): jpeg(0, number) for number in range(20)})
    found = import_pictures([Upload("x", content)], program=program)
    assert not found.picked
    assert len(found.rejected) == 6
    assert "the rest was left out" in found.rejected[-1].why


def test_nonsense_from_it_is_no_picture() -> None:
    for line in (
        '{"jpeg": 99999999}',
        '{"jpeg": -5}',
        '{"bytes": 99999999}',
        '{"bytes": -5}',
        "[]",
        "nonsense",
        '{"jpeg": 3, "look": 768}',
    ):
        code = f"""
import sys, time
sys.stdout.write({line!r} + chr(10) + 3000 * "x")
sys.stdout.flush()
time.sleep(60)
"""
        found = import_pictures([Upload("x", jpeg(0, 0))], program=("-c", code), seconds=3.0)
        assert not found.picked
        assert len(found.rejected) == 1


def test_an_import_takes_no_longer_than_it_may() -> None:
    program = broken("time.sleep(0.3)")
    items = [Upload(str(number), jpeg(0, number)) for number in range(50)]
    found = import_pictures(items, most_seconds=0.5, program=program)
    assert 0 < len(found.picked) < 10
    assert ["longer than 0.5 s" in each.why for each in found.rejected] == [True]


def test_more_pictures_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edged.teach.pictures.importing.MOST_PICTURES", 3)
    names = [str(number) for number in range(5)]
    archive = Upload("zip", zipped({each: jpeg(0, int(each)) for each in names}))
    for items in ([archive], [Upload(each, jpeg(0, int(each))) for each in names]):
        found = import_pictures(items)
        assert len(found.picked) == 3
        assert {each.why for each in found.rejected} == {"more than 3 pictures at once"}
        assert found.rejected[0].name in ("3", "zip: 3")


def test_it_takes_no_more_memory_than_it_may() -> None:
    program = broken("x = bytearray(700_000_000)")
    found = import_pictures([Upload("x", jpeg(0, 0))], program=program)
    assert [each.why for each in found.rejected] == ["too large to decode"]


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    code = f"""
import os, signal
from edged.teach.pictures import importing
class Child(importing.DecodeProcess):
    def __init__(self, *given):
        super().__init__(*given)
        with open({str(tmp_path / "pid")!r}, "w") as file:
            file.write(str(self.pid))
        os.kill(os.getpid(), signal.SIGKILL)
importing.DecodeProcess = Child
importing.import_pictures([importing.Upload("x", {jpeg(0, 0)!r})], program=("-c", "input()"))
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@KEPT
def test_where_it_cannot_be_confined_nothing_is_decoded() -> None:
    code = """
import threading, time
from edged.teach.pictures import worker
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
worker.main()
"""
    program = ("-c", code)
    with pytest.raises(EdgedError, match=r"could not be confined.*2 threads"):
        import_pictures([Upload("x", jpeg(0, 0))], program=program)

"""Labelled photos: which class each has, and that every kind of picture is read right."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.errors import InputError
from edged.variants.evaluation.photos import Photos, decode, picture_names
from edged.variants.family import Family, InputContract
from tests.rig.geometry import UPRIGHT, with_exif_orientation
from tests.rig.photos import BLUE, CMYK, RED, Picture, coded, halves

FAMILY = Family(
    "animals",
    Path("/nowhere"),
    ("ant", "bee", "crane", "crane"),
    InputContract(),
    (),
    photo_folders={"n01": "bee"},
)


FILES = {
    "set/ant/one.png": coded(halves()),
    "set/ant/two.JPEG": coded(halves(30, 20), ".jpg"),
    "set/bee/three.bmp": coded(halves(8, 8)),
    "set/n01/four.webp": coded(halves(16, 24), ".webp"),
    "set/ant/notes.txt": b"no picture",
    "set/ant/._one.png": b"what macOS leaves behind",
    "LICENSE": b"free",
}
CLASSES = {"one.png": 0, "two.JPEG": 0, "three.bmp": 1, "four.webp": 1}


def folder(root: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def archive(path: Path, files: dict[str, bytes] = FILES, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def found(photos: Photos) -> dict[str, int]:
    return {Path(photo.name).name: photo.class_index for photo in photos}


# ------------------------------------------------------------------------------- where they are


def test_a_folder_and_a_tar_of_it_hold_the_same_photos(tmp_path: Path) -> None:
    sources = [
        folder(tmp_path / "photos"),
        archive(tmp_path / "photos.tar"),
        archive(tmp_path / "photos.tgz", mode="w:gz"),
        archive(tmp_path / "photos.tar.xz", mode="w:xz"),
    ]
    for source in sources:
        photos = Photos(source, FAMILY)
        assert len(photos) == 4
        assert found(photos) == CLASSES
        assert photos.broken == []
        by_name = {photo.name: photo.picture for photo in photos}
        assert (by_name["set/ant/one.png"] == halves()).all()
        assert {picture.dtype for picture in by_name.values()} == {np.dtype(np.uint8)}


def test_photos_can_be_walked_twice(tmp_path: Path) -> None:
    photos = Photos(archive(tmp_path / "photos.tar"), FAMILY)
    assert [photo.name for photo in photos] == [photo.name for photo in photos]


def test_a_folder_that_is_no_label_is_told_with_its_first_photo(tmp_path: Path) -> None:
    source = folder(tmp_path, {"cat/a.png": coded(halves())})
    with pytest.raises(
        InputError, match=r"cat/a\.png: .*is not a label of the family animals.*'cat'"
    ):
        Photos(source, FAMILY)


def test_a_label_of_two_classes_names_neither(tmp_path: Path) -> None:
    source = folder(tmp_path, {"crane/a.png": coded(halves())})
    with pytest.raises(InputError, match="is the label of two classes"):
        Photos(source, FAMILY)


@pytest.mark.parametrize("files", [{}, {"ant/readme.txt": b"x"}])
def test_no_photos_at_all(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    for path in (folder(source, files), archive(tmp_path / "photos.tar", files)):
        with pytest.raises(InputError, match="no photos"):
            Photos(path, FAMILY)


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "photos.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(InputError, match=r"photos\.tar: cannot read the photos"):
        Photos(tmp_path / "photos.tar", FAMILY)
    with pytest.raises(InputError, match=r"absent\.tar: cannot read the photos.*No such file"):
        Photos(tmp_path / "absent.tar", FAMILY)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_archive_is_told(tmp_path: Path, mode: str) -> None:
    path = archive(tmp_path / "photos.tar", mode=mode)
    os.truncate(path, path.stat().st_size // 3)
    with pytest.raises(InputError, match=r"photos\.tar: cannot read the photos"):
        list(Photos(path, FAMILY))


def test_a_damaged_compressed_archive_is_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "photos.tar")
    squeezed = bytearray(gzip.compress(path.read_bytes()))
    squeezed[len(squeezed) // 2] ^= 0xFF
    path.write_bytes(squeezed)
    with pytest.raises(InputError, match="cannot read the photos"):
        list(Photos(path, FAMILY))


def test_nothing_leaves_a_tar_but_pictures(tmp_path: Path) -> None:
    """Names that climb, links, devices: read in memory or not at all, never written."""
    secret = folder(tmp_path / "outside", {"ant/secret.png": coded(halves())}) / "ant/secret.png"
    path = tmp_path / "in" / "photos.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name in ("../../ant/climbs.png", "/ant/absolute.png"):
            member = tarfile.TarInfo(name)
            member.size = len(FILES["set/ant/one.png"])
            tar.addfile(member, io.BytesIO(FILES["set/ant/one.png"]))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"ant/link{kind.decode()}.png")
            member.type, member.linkname = kind, str(secret)
            tar.addfile(member)
        shadow = tarfile.TarInfo("ant/shadowed.png")
        shadow.type, shadow.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(shadow)
        shadow = tarfile.TarInfo("ant/shadowed.png")
        shadow.size = len(FILES["set/ant/one.png"])
        tar.addfile(shadow, io.BytesIO(FILES["set/ant/one.png"]))
    before = sorted(tmp_path.rglob("*"))
    photos = Photos(path, FAMILY)
    names = ["climbs.png", "absolute.png", "shadowed.png"]
    assert [Path(photo.name).name for photo in photos] == names
    assert len(photos) == 3
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/ant").exists()


def test_the_names_of_pictures(tmp_path: Path) -> None:
    assert picture_names(folder(tmp_path)) == [
        "set/ant/one.png", "set/ant/two.JPEG", "set/bee/three.bmp", "set/n01/four.webp",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------ the table


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("file,class_index\none.png,3\nset/bee/three.bmp,0\n", {"one.png": 3, "three.bmp": 0}),
        ("file,label\none.png,bee\ntwo.JPEG,ant\n", {"one.png": 1, "two.JPEG": 0}),
        ("folder,label\nn01,ant\n", {"four.webp": 0}),
        ("class_index,folder\n2,ant\n1,bee\n", {"one.png": 2, "two.JPEG": 2, "three.bmp": 1}),
        ("\ufefffile,class_index,note\r\none.png, 1 ,seen\r\n", {"one.png": 1}),
    ],
)
def test_a_table_says_which_photos_and_which_classes(
    tmp_path: Path, table: str, expected: dict[str, int]
) -> None:
    (tmp_path / "labels.csv").write_text(table, newline="")
    photos = Photos(archive(tmp_path / "p.tar"), FAMILY, tmp_path / "labels.csv")
    assert len(photos) == len(expected)
    assert found(photos) == expected


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (b"file,class_index\none.png,4\n", r"csv:2: not a class of the family animals.*4 labels"),
        (b"file,class_index\none.png,-1\n", r"csv:2: not a class"),
        (b"file,class_index\none.png,0\ntwo.JPEG\n", r"csv:3: not a class"),
        (b"file,class_index\none.png,1.0\n", r"csv:2: not a class.*'1\.0'"),
        (b"file,label\none.png,cat\n", r"csv:2: not a unique label.*'cat'"),
        (b"file,label\none.png,crane\n", r"csv:2: not a unique label.*'crane'"),
        (b"file,class_index\none.png,0\none.png,1\n", r"csv:3: listed twice.*'one\.png'"),
        (
            b"file,class_index\nfour.png,1\n",
            r"csv: lists none of the 4 photos of .*p\.tar \(got four\.png\); .*set/ant/one\.png",
        ),
        (b"folder,label\nwasp,ant\n", r"csv: lists none of the 4 .*got wasp\); write them as ant"),
        (b"name,class\none.png,0\n", r"csv:1: expected the columns.*name, class"),
        (b"", r"csv:1: expected the columns"),
        (b"file,class_index\n", r"csv: lists none of the 4 photos .*got no lines"),
        (b"file,class_index\n\xff\xfe\n", "not CSV"),
    ],
)
def test_a_wrong_table_is_told_with_its_line(tmp_path: Path, table: bytes, complaint: str) -> None:
    (tmp_path / "labels.csv").write_bytes(table)
    with pytest.raises(InputError, match=complaint):
        Photos(archive(tmp_path / "p.tar"), FAMILY, tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("table", "notes"),
    [
        ("file,label\none.png,ant\ntwo.JPEG,ant\nthree.bmp,bee\nfour.webp,bee\n", []),
        ("file,label\none.png,ant\n", ["{photos}: 3 of 4 photos are not in {table}: skipped"]),
        (
            "file,label\none.png,ant\nfive.png,bee\nsix.png,bee\n",
            [
                "{photos}: 3 of 4 photos are not in {table}: skipped",
                "{table}: 2 of 3 lines name photos that {photos} {lacks}, {first} 3, five.png",
            ],
        ),
        (
            "folder,label\nn01,ant\nant,ant\nbee,bee\nwasp,ant\n",
            [
                "{table}: 1 of 4 lines name folders that {photos} {lacks}, {first} 5, wasp",
            ],
        ),
    ],
)
def test_what_table_and_photos_do_not_share_is_noted(
    tmp_path: Path, table: str, notes: list[str]
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(table)
    source = archive(tmp_path / "p.tar")
    photos = Photos(source, FAMILY, path)
    names = {"photos": source, "table": path, "lacks": "does not have"}
    names["first"] = "first line"
    assert photos.notes[:-1] == [note.format(**names) for note in notes]


def test_classes_without_a_photo_are_noted(tmp_path: Path) -> None:
    source = folder(tmp_path)
    (tmp_path / "crane").mkdir()
    note = f"{source}: no photo of 2 of the 4 classes, first crane"
    assert Photos(source, FAMILY).notes == [note]
    assert Photos(source, replace(FAMILY, labels=("ant", "bee"))).notes == []


def test_an_absent_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot read the labels.*No such file"):
        Photos(archive(tmp_path / "p.tar"), FAMILY, tmp_path / "none.csv")


# ------------------------------------------------------------------------------ kinds of pictures


def near(picture: Picture, row: int, column: int, colour: tuple[int, ...]) -> bool:
    return bool(np.abs(picture[row, column].astype(int) - colour).max() <= 4)


def test_cmyk() -> None:
    picture = decode(CMYK, "x")
    assert picture.shape == (8, 16, 3)
    assert near(picture, 4, 3, RED)
    assert near(picture, 4, 12, BLUE)


def test_grey_becomes_rgb() -> None:
    ramp = np.arange(200, dtype=np.uint8).reshape(10, 20)
    for suffix in (".png", ".bmp", ".tiff"):
        picture = decode(coded(ramp, suffix), "x")
        assert (picture == ramp[:, :, np.newaxis]).all()
        assert picture.shape == (10, 20, 3)


def test_sixteen_bits_become_eight() -> None:
    deep = halves().astype(np.uint16) * 257
    for suffix in (".png", ".tiff"):
        content = cv2.imencode(suffix, np.ascontiguousarray(deep[:, :, ::-1]))[1].tobytes()
        picture = decode(content, "x")
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - halves()).max() <= 1


def test_transparency_is_ignored() -> None:
    clear = np.dstack([halves()[:, :, ::-1], np.full((40, 60), 99, np.uint8)])
    picture = decode(cv2.imencode(".png", clear)[1].tobytes(), "x")
    assert (picture == halves()).all()


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_turned_photo_is_turned_back(orientation: int) -> None:
    stored = halves(40, 64)
    picture = decode(with_exif_orientation(coded(stored, ".jpg"), orientation), "x")
    expected = UPRIGHT[orientation](stored)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.95])
def test_half_a_picture_is_none(suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    content = coded(noise, suffix)
    with pytest.raises(InputError, match=r"there\.jpg: incomplete picture"):
        decode(content[: int(len(content) * share)], "there.jpg")


def test_a_jpeg_cut_behind_its_thumbnail_is_none() -> None:
    """The thumbnail inside ends with a marker as the whole picture does."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    content = coded(noise, ".jpg")
    segment = b"Exif\0\0" + coded(noise[:8, :8], ".jpg")
    exif = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    whole = content[:2] + exif + content[2:]
    assert decode(whole, "x").shape == (60, 80, 3)
    with pytest.raises(InputError, match="incomplete picture"):
        decode(whole[: -len(content) // 3], "x")


def test_broken_photos_are_left_out_and_named(tmp_path: Path) -> None:
    files = {
        **FILES,
        "set/bee/empty.png": b"",
        "set/ant/cut.jpg": FILES["set/ant/two.JPEG"][:300],
    }
    for source in (folder(tmp_path / "photos", files), archive(tmp_path / "photos.tar", files)):
        photos = Photos(source, FAMILY)
        assert len(photos) == 6
        for _ in range(2):
            assert found(photos) == CLASSES
            text = "\n".join(sorted(str(error) for error in photos.broken))
            assert len(photos.broken) == 2
            assert f"{source}: set/ant/cut.jpg: incomplete picture (got 300 bytes)" in text
            assert f"{source}: set/bee/empty.png: incomplete picture (got 0 bytes)" in text


# ----------------------------------------------------------------------------------- real photos


@pytest.mark.data
def test_imagenette_by_its_folders(data: Path) -> None:
    folders = {"n01440764": "tench", "n02102040": "springer", "n02979186": "cassette player",
               "n03000684": "chain saw", "n03028079": "church", "n03394916": "French horn",
               "n03417042": "garbage truck", "n03425413": "gas pump", "n03445777": "golf ball",
               "n03888257": "parachute"}  # fmt: skip
    family = replace(FAMILY, labels=tuple(folders.values()), photo_folders=folders)
    photos = Photos(data / "photos" / "imagenette-val.tar", family)
    assert len(photos) == 1963
    first = next(iter(photos))
    assert first.class_index == 0
    assert first.picture.shape == (224, 224, 3)


@pytest.mark.data
def test_imagenet_by_its_table(data: Path) -> None:
    family = replace(FAMILY, labels=tuple(f"class {number}" for number in range(1000)))
    folder = data / "photos"
    photos = Photos(folder / "ilsvrc2012-val650.tar", family, folder / "ilsvrc2012-val650.csv")
    assert len(photos) == 650
    seen = list(photos)
    assert len(seen) == 650
    assert photos.broken == []
    assert {photo.picture.shape for photo in seen} == {(227, 227, 3)}
    assert found(photos)["ILSVRC2012_val_00000347.JPEG"] == 472

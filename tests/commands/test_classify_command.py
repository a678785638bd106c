"""`edged classify` as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edged.cli import main
from edged.variants.family import Family
from edged.variants.taught import write_taught
from tests.rig.families import LABELS
from tests.rig.photos import drawn_photos
from tests.rig.pictures import claiming, coded, encoded, huge_png, with_exif_orientation
from tests.rig.taught import GATE, heads

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return drawn_photos(tmp_path / "photos", LABELS, count=4)


def classify(family: Family, *arguments: str | Path) -> int:
    return main(["classify", "--model", str(family.directory), *map(str, arguments)])


def test_a_table_of_pictures_and_folders(family: Family, photos: Path, capsys: Capture) -> None:
    single = photos.parent / "single.jpg"
    single.write_bytes(encoded(60, 80))
    assert classify(family, photos, single) == 0
    said = capsys.readouterr()
    head, *rows = said.out.splitlines()
    assert head.split() == ["picture", "label", "%", "further", "labels", "variant", "ms"]
    names = [row.split()[0] for row in rows]
    assert names == [*(str(path) for path in sorted(photos.rglob("*.png"))), str(single)]
    best = max(family.variants(), key=family.top1)
    assert all(f" {best.name} " in row for row in rows)
    assert said.err == ""


def test_json_has_what_the_daemon_answers(family: Family, photos: Path, capsys: Capture) -> None:
    assert classify(family, photos, "--json", "--top", "3", "--variant", "0.25@64") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 4
    for row in rows:
        assert row["model"] == family.name
        assert row["variant"] == "mobilenet_v1_0.25_64"
        assert row["latency_ms"] == pytest.approx(sum(row["stages_ms"].values()), abs=0.01)
        assert {"budget_ms", "on_time", "reason", "camera"}.isdisjoint(row)
        scores = [each["score"] for each in row["top"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) <= 3
        assert {each["label"] for each in row["top"]} <= set(LABELS)


def test_a_budget_chooses_the_variant(family: Family, photos: Path, capsys: Capture) -> None:
    chosen = []
    for budget in ("60000", "0.001"):
        assert classify(family, photos, "--json", "--budget", budget) == 0
        rows = json.loads(capsys.readouterr().out)
        assert {(row["budget_ms"], row["on_time"]) for row in rows} == {
            (float(budget), budget == "60000")
        }
        chosen.append({row["variant"] for row in rows})
    generous, hopeless = chosen
    assert generous == {max(family.variants(), key=family.top1).name}
    assert hopeless.isdisjoint(generous)


def test_a_taught_family_may_see_none_of_its_classes(
    family: Family, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    sure = heads(family, len(GATE) + 1)
    for winner, label in ((0, "open"), (2, "nothing sure")):
        for matrix in sure.values():
            matrix[:, -1] = -100
            matrix[winner, -1] = 100
        gate = write_taught(tmp_path / f"gate{winner}", "gate", family, GATE, sure, {}, none=True)
        assert classify(gate, photos, "--top", "1") == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split() == ["picture", "label", "%", "variant", "ms"]
        assert len(rows) == 4 and all(f"  {label}  " in row for row in rows)


def test_bad_pictures_are_named_and_the_rest_goes_on(
    family: Family, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, content in (
        ("a.png", coded(".png")),
        ("b.png", huge_png(9000)),
        ("c.jpg", encoded(40, 40)[:200]),
        ("d.jpg", b"<html></html>"),
        ("e.jpg", b""),
        ("f.png", claiming(".png", 60000)),
        ("g.jpg", with_exif_orientation(encoded(40, 60), 6)),
        ("h.jpg", bytes(20_000_001)),
        ("notes.txt", b"no picture"),
    ):
        (folder / name).write_bytes(content)
    fifo = tmp_path / "fifo.jpg"
    os.mkfifo(fifo)
    assert classify(family, folder, tmp_path / "absent.jpg", fifo, "--json") == 0
    said = capsys.readouterr()
    found = [Path(row["picture"]).name for row in json.loads(said.out)]
    assert found == ["a.png", "g.jpg"]
    whys = {
        Path(name).name: why
        for name, why in (
            line.removeprefix("edged: skipped: ").split(": ", 1) for line in said.err.splitlines()
        )
    }
    assert sorted(whys) == [
        *("absent.jpg", "b.png", "c.jpg", "d.jpg", "e.jpg", "f.png", "fifo.jpg", "h.jpg")
    ]
    assert whys["absent.jpg"] == "no such file"
    assert whys["fifo.jpg"] == "not a file"
    assert whys["h.jpg"] == "larger than 20 MB"
    assert whys["c.jpg"] == "incomplete picture"
    assert whys["d.jpg"] == "not a picture of a supported format"
    assert all("too large" in whys[name] for name in ("b.png", "f.png"))


def test_if_none_can_be_read_it_fails(family: Family, tmp_path: Path, capsys: Capture) -> None:
    bad = tmp_path / "bad\x1b[2J.jpg"
    bad.write_bytes(b"nothing")
    assert classify(family, bad, tmp_path / "absent.jpg") == 2
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first.endswith(r"bad\x1b[2J.jpg: not a picture of a supported format")
    assert second.endswith("absent.jpg: no such file")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--variant", "0.5@160"), "no such variant runs here (got mobilenet_v1_0.5_160); animals"),
        (("--variant", "best"), "not the name of a variant (got 'best')"),
        (("--model", "no/such"), "no/such"),
    ],
)
def test_mistakes(
    family: Family, photos: Path, capsys: Capture, arguments: tuple[str, ...], told: str
) -> None:
    assert classify(family, photos, *arguments) == 2
    said = capsys.readouterr()
    assert told in said.err and said.err.count("\n") == 1
    assert said.out == ""


def test_an_empty_folder(family: Family, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "none").mkdir()
    assert classify(family, tmp_path / "none") == 2
    assert capsys.readouterr().err == f"edged: {tmp_path / 'none'}: no pictures in this folder\n"


def test_budget_and_variant_exclude_each_other(family: Family, photos: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        classify(family, photos, "--budget", "5", "--variant", "0.25@64")
    assert ended.value.code == 2


def test_a_full_disk(family: Family, photos: Path) -> None:
    command = [sys.executable, "-m", "edged", "classify", "--model", family.directory, photos]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "edged: cannot write the output: No space left on device\n"

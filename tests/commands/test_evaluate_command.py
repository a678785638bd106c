"""`edged models evaluate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from edged.cli import main
from edged.variants.family import Family
from tests.rig.families import ALPHAS, LABELS, RESOLUTIONS
from tests.rig.full_disk import no_room
from tests.rig.photos import drawn_photos

Capture = pytest.CaptureFixture[str]
PHOTOS = 12


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return drawn_photos(tmp_path / "photos", LABELS, count=PHOTOS)


def evaluate(family: Family, photos: Path, *arguments: str) -> int:
    return main(["models", "evaluate", str(family.directory), "--photos", str(photos), *arguments])


def test_a_plot_comes_with_the_times_that_it_shows(
    family: Family, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    plot = tmp_path / "animals.png"
    assert evaluate(family, photos, "--plot", str(plot), "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(ALPHAS) * len(RESOLUTIONS)
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)
    picture = cv2.imread(str(plot))
    assert min(picture.shape[:2]) > 1000
    assert picture.std() > 10  # something is drawn


def test_only_the_variants_asked_for_are_timed(
    family: Family, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    plot = tmp_path / "animals.svg"
    variant = family.variants()[1].name
    assert evaluate(family, photos, "--plot", str(plot), "--variant", variant) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-5:] == ["photos", "p50", "ms", "p95", "ms"]
    assert row.startswith(variant)
    assert plot.exists()


def test_a_plot_that_cannot_be_made_is_told_before_anything_is_measured(
    family: Family, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert evaluate(family, photos, "--plot", str(tmp_path / "animals.jpg")) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "animals.jpg: not a supported plot format" in said.err


def test_what_labels_and_photos_do_not_share_is_told_on_standard_error(
    family: Family, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n000.png,ant\n001.png,bee\nabsent.png,ant\n")
    assert evaluate(family, photos, "--labels", str(table), "--json") == 0
    said = capsys.readouterr()
    assert {row["photos"] for row in json.loads(said.out)} == {2}
    left_out, absent, classes = said.err.splitlines()
    assert left_out == f"edged: {photos}: 10 of 12 photos are not in {table}: skipped"
    assert absent.startswith(f"edged: {table}: 1 of 3 lines name photos that {photos} does not")
    assert absent.endswith("first line 4, absent.png")
    assert classes.endswith("no photo of 4 of the 6 classes, first cat")


def test_one_broken_picture_is_told_and_the_rest_counts(
    family: Family, photos: Path, capsys: Capture
) -> None:
    broken = photos / LABELS[0] / "000.png"
    broken.write_bytes(broken.read_bytes()[:200])
    assert evaluate(family, photos, "--json") == 0
    said = capsys.readouterr()
    assert {row["photos"] for row in json.loads(said.out)} == {PHOTOS - 1}
    (line,) = said.err.splitlines()
    assert line.startswith(f"edged: skipped: {photos}: ant/000.png: incomplete picture")


def test_a_record_that_cannot_be_written_names_the_family_and_does_not_cost_the_measurement(
    family: Family, photos: Path, capsys: Capture
) -> None:
    before = (family.directory / "family.yaml").read_bytes()
    with no_room():
        assert evaluate(family, photos, "--json", "--record", "drawings") == 1
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == len(ALPHAS) * len(RESOLUTIONS)
    (line,) = said.err.splitlines()
    assert line.startswith(f"edged: {family.directory}: cannot write the family; the existing")
    assert "File too large" in line
    assert (family.directory / "family.yaml").read_bytes() == before

"""What one device has learned, on another one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from edged.errors import InputError
from edged.teach.store import Classifier, TeachStore
from edged.teach.store.take_over import MOST_BYTES, take_over
from edged.variants.family import Family
from tests.rig.classifiers import CLASSES, VIEW, filled, made, with_version

ZIP = Path("gate.zip")


def exported(classifier: Classifier) -> io.BytesIO:
    file = io.BytesIO()
    classifier.write_archive(file)
    return file


def test_the_newest_version_comes_once_and_without_pictures(tmp_path: Path, family: Family) -> None:
    source = filled(made(tmp_path / "source"), moments=2)
    with_version(source, family)
    with_version(
        source, family, 0.8, comparison={"version": 1, "moments": 4, "top1": 0.9, "running": 0.8}
    )
    other = TeachStore(tmp_path / "other")
    assert take_over(other, "gate", exported(source), ZIP) == (1, True)
    gate = other.open("gate")
    assert (gate.settings.view, gate.settings.classes) == (VIEW, CLASSES)
    assert gate.moments() == []
    assert gate.report(1)["version"] == 1 and gate.report(1)["comparison"] is None
    assert gate.report(1)["estimate"] == source.report(2)["estimate"]
    assert gate.deploy(1).view == VIEW
    assert take_over(other, "gate", exported(source), ZIP) == (1, False)
    assert other.deployed()["gate"].version == 1


def test_a_version_more_keeps_what_runs(tmp_path: Path, family: Family) -> None:
    source, other = made(tmp_path / "source"), TeachStore(tmp_path / "other")
    with_version(source, family)
    take_over(other, "gate", exported(source), ZIP)
    gate = other.open("gate")
    gate.deploy()
    with_version(gate, family)  # taught on this device
    with_version(source, family)
    with_version(source, family)
    assert take_over(other, "gate", exported(source), ZIP) == (3, True)
    assert other.deployed()["gate"].version == 1
    gate.deploy(3)
    _, back = other.back("gate")
    assert back is not None and back.version == 1


def test_other_classes_are_not_mixed(tmp_path: Path, family: Family) -> None:
    source = made(tmp_path / "source")
    with_version(source, family)
    other = TeachStore(tmp_path / "other")
    other.create("gate", VIEW, ("ajar", "closed"))
    with pytest.raises(InputError, match="this device's gate has other classes: ajar, closed"):
        take_over(other, "gate", exported(source), ZIP)
    assert other.open("gate").versions() == []


def test_a_backbone_that_is_not_there_leaves_nothing(tmp_path: Path, family: Family) -> None:
    source = made(tmp_path / "source")
    with_version(source, family)
    file = exported(source)
    family.directory.rename(tmp_path / "elsewhere")
    other = TeachStore(tmp_path / "other")
    with pytest.raises(InputError, match="the backbone cannot be read"):
        take_over(other, "gate", file, ZIP)
    assert other.names() == []


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({}, "not an export of gate"),
        ({"belt/classifier.json": b"{}"}, "not an export of gate"),
        ({"gate/versions/1/../../../x": b"", "/gate/classifier.json": b""}, "not an export"),
        ({"gate/classifier.json": b"{}"}, "classifier.json"),
        ({"gate/versions/1/head": bytes(MOST_BYTES + 1)}, "more than 50 MB of settings"),
        (None, "not a readable zip file"),
    ],
)
def test_another_file_is_one_message(
    tmp_path: Path, entries: dict[str, bytes] | None, told: str
) -> None:
    file = io.BytesIO(b"PK\x03\x04 nonsense")
    if entries is not None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
    other = TeachStore(tmp_path / "other")
    with pytest.raises(InputError, match=told):
        take_over(other, "gate", file, ZIP)
    assert other.names() == []
    assert sorted(each.name for each in tmp_path.iterdir()) in ([], ["other"])

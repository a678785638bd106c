"""Classifiers on disk: pictures, labels, moments, versions, what is deployed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edged.errors import EdgedError, InputError
from edged.teach.description import description
from edged.teach.store import (
    Classifier,
    TeachStore,
    picture_id,
    teach_directory,
)
from edged.variants.family import Family
from tests.rig.classifiers import CLASSES, filled, jpeg, made, moment, with_version

# ---------------------------------------------------------------------------------------- pictures


def test_pictures_are_found_again_by_another_process(tmp_path: Path) -> None:
    classifier = filled(made(tmp_path), moments=2, pictures=2)
    other = TeachStore(tmp_path).open("gate")
    assert other.settings == classifier.settings
    assert other.moments() == classifier.moments()
    assert [(each.label, len(each.pictures)) for each in other.moments()] == [
        *2 * [("open", 2)],
        *2 * [("closed", 2)],
    ]
    assert other.picture(picture_id(jpeg(1, 1))) == jpeg(1, 1)


def test_a_reader_sees_what_another_process_writes(tmp_path: Path) -> None:
    reader = made(tmp_path)
    writer = TeachStore(tmp_path).open("gate")
    assert reader.moments() == []
    writer.add("open", moment(0), jpeg(0, 0))
    assert len(reader.moments()) == 1
    reader.add("open", moment(1), jpeg(0, 1))
    writer.discard(moment(0))
    assert [each.id for each in reader.moments()] == [moment(1)]
    assert reader.moments() == writer.moments()


def test_a_picture_is_there_once(tmp_path: Path) -> None:
    classifier = made(tmp_path)
    assert classifier.add("open", moment(0), jpeg(0, 0))
    assert not classifier.add("open", moment(0), jpeg(0, 0))
    assert not classifier.add("closed", moment(1), jpeg(0, 0))
    assert not classifier.add(None, moment(2), jpeg(0, 0))
    assert [each.label for each in classifier.moments()] == ["open"]


def test_a_seen_picture_gets_its_label_by_being_added(tmp_path: Path) -> None:
    classifier = made(tmp_path)
    for number in range(2):
        classifier.add(None, moment(0), jpeg(0, number), "uncertain")
    assert classifier.moments()[0].reason == "uncertain"
    assert classifier.add("open", moment(1), jpeg(0, 0))
    for each in (classifier, TeachStore(tmp_path).open("gate")):
        assert [(m.label, len(m.pictures)) for m in each.moments()] == [(None, 1), ("open", 1)]
    classifier.add("open", moment(1), jpeg(0, 1))
    for each in (classifier, TeachStore(tmp_path).open("gate")):
        assert [(m.label, len(m.pictures)) for m in each.moments()] == [("open", 2)]


def test_a_moment_gets_a_label_and_loses_it(tmp_path: Path) -> None:
    classifier = made(tmp_path)
    classifier.add(None, moment(0), jpeg(0, 0), "changed")
    for label in ("open", "closed", None, None):
        classifier.label(moment(0), label)
        for each in (classifier, TeachStore(tmp_path).open("gate")):
            assert [(m.label, m.reason) for m in each.moments()] == [(label, "changed")]


def test_a_moment_has_one_label(tmp_path: Path) -> None:
    classifier = made(tmp_path)
    classifier.add("open", moment(0), jpeg(0, 0))
    with pytest.raises(InputError, match="has the label open"):
        classifier.add("closed", moment(0), jpeg(1, 0))


def test_mistakes_are_named(tmp_path: Path) -> None:
    classifier = made(tmp_path)
    for call, words in (
        (lambda: classifier.add("ajar", moment(0), b"x"), r"no such class.*its classes are open"),
        (lambda: classifier.add("open", "../x", b"x"), "not the name of a moment"),
        (lambda: classifier.label(moment(7), "open"), "no such moment.*--moments"),
        (lambda: classifier.discard("../../gate"), "no such moment"),
        (lambda: classifier.picture("../classifier"), "no such picture"),
        (lambda: classifier.report(3), "no such version.*edged teach gate train"),
        (lambda: classifier.deploy(), "not been taught yet.*edged teach gate train"),
        (lambda: TeachStore(tmp_path).back("gate"), "no version of it is deployed"),
        (lambda: TeachStore(tmp_path).open("dog"), "no such classifier.*edged teach dog --view"),
        (lambda: made(tmp_path), "a classifier of this name already"),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_classes_may_be_added_but_not_lost(tmp_path: Path) -> None:
    from dataclasses import replace

    classifier = filled(made(tmp_path), moments=1)
    more = replace(classifier.settings, classes=(*CLASSES, "empty"), view="yard")
    classifier.change(more)
    assert TeachStore(tmp_path).open("gate").settings == more
    with pytest.raises(InputError, match="the class closed has pictures"):
        classifier.change(replace(more, classes=("open", "empty")))


# --------------------------------------------------------------------------------- foreign, damaged


def test_foreign_files_are_ignored_with_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = filled(made(tmp_path), moments=1, pictures=1)
    pictures = tmp_path / "gate/pictures"
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (pictures / "Thumbs.db").write_bytes(b"x")
    (pictures / "open/readme").write_bytes(b"x")
    (pictures / f"open/{moment(0)}/photo.jpg").write_bytes(b"x")
    (pictures / f"open/{moment(0)}/{16 * 'a'}.jpg").mkdir()
    before = classifier.moments()
    caplog.clear()
    store = TeachStore(tmp_path)
    for _ in range(2):
        assert store.names() == ["gate"]
        assert store.open("gate").moments() == before
    said = [each.getMessage() for each in caplog.records]
    for name in ("notes.txt", "empty", "Thumbs.db", "readme", "photo.jpg"):
        assert sum(f"{name}: " in each for each in said) == 1, said


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{16 * 'b'}.jpg").write_bytes(b"secret")
    root = tmp_path / "teach"
    classifier = filled(made(root), moments=1, pictures=1)
    before = classifier.moments()
    pictures = root / "gate/pictures/open"
    (pictures / moment(5)).symlink_to(outside)
    (pictures / before[0].id / f"{16 * 'c'}.jpg").symlink_to(outside / f"{16 * 'b'}.jpg")
    (root / "dog").symlink_to(root / "gate")
    fresh = TeachStore(root)
    assert fresh.names() == ["gate"]
    assert fresh.open("gate").moments() == before
    (root / "gate/seen").symlink_to(outside)
    with pytest.raises(EdgedError, match="cannot be written"):
        fresh.open("gate").add(None, moment(9), jpeg(0, 9))
    assert sorted(each.name for each in outside.iterdir()) == [f"{16 * 'b'}.jpg"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"format": 2}', b'{"format": 1, "name": "dog"}', 70000 * b" "]
    + [
        json.dumps(
            {"format": 1, "name": "gate", "view": "..", "classes": ["a", "b"], "none": True}
            | {"quota_bytes": 10**8, "created": "x"}
        ).encode()
    ],
)
def test_damaged_settings_are_one_message(tmp_path: Path, content: bytes) -> None:
    made(tmp_path)
    made(tmp_path, "dog")
    (tmp_path / "gate/classifier.json").write_bytes(content)
    store = TeachStore(tmp_path)
    with pytest.raises(InputError, match=r"classifier\.json"):
        store.open("gate")
    assert store.open("dog").moments() == []
    store.forget("gate")
    assert store.names() == ["dog"]


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"[]", b'{"gate": 3}', b'{"gate": {"view": "..", "version": 1}}']
    + [b'{"gate": {"view": "yard", "version": 9, "before": null, "since": "x"}}']
    + [b'{"../x": {"view": "yard", "version": 1, "before": null, "since": "x"}}']
    + [
        b'{"gate": {"view": "yard", "version": 1, "before": null, "since": "2026-11-30T10:00:00Z",'
        b'"replaced": %s}}' % replaced
        for replaced in (b"3", b"[]", b'["dog", 1]', b'{"name": "dog"}', b'{"name": "../x"}')
    ],
)
def test_a_damaged_list_of_what_is_deployed_counts_as_nothing(
    tmp_path: Path, family: Family, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = made(tmp_path / "teach")
    with_version(classifier, family)
    store = TeachStore(tmp_path / "teach")
    (store.root / "deployed.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert store.deployed() == store.deployed() == {}
    assert len(caplog.records) == 1
    classifier.deploy()
    assert store.deployed()["gate"].version == 1


# ---------------------------------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"estimate"', '"estimates"'),
        ('"judged": true', '"judged": 1'),
        ('"top1": 0.9', '"top1": "high"'),
        ('"advice": [', '"advice": [3, '),
        ('"moments": {"open"', '"moments": {"open": null, "ajar"'),
        ("{", "["),
        ("0.9", "1e999"),
    ],
)
def test_a_damaged_report_is_one_message(
    tmp_path: Path, family: Family, old: str, new: str
) -> None:
    classifier = made(tmp_path / "teach")
    with_version(classifier, family)
    path = classifier.folder / "versions/1/report.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=r"report\.json: not"):
        classifier.report(1)
    assert description(classifier)["report"] is None
    assert classifier.versions() == [1]


def test_the_last_five_versions_stay_and_what_runs(tmp_path: Path, family: Family) -> None:
    classifier = made(tmp_path / "teach")
    for _ in range(2):
        with_version(classifier, family)
        classifier.deploy()
    for _ in range(6):
        with_version(classifier, family)
    assert classifier.versions() == [1, 2, 4, 5, 6, 7, 8]
    assert classifier.family(8).labels == CLASSES
    classifier.deploy(8)
    with_version(classifier, family)
    assert classifier.versions() == [2, 5, 6, 7, 8, 9]


def test_a_version_that_fails_leaves_nothing(tmp_path: Path, family: Family) -> None:
    classifier = made(tmp_path / "teach")
    with_version(classifier, family)

    def fail(folder: Path, number: int) -> None:
        (folder / "half").write_text("x")
        raise EdgedError("no")

    with pytest.raises(EdgedError, match="no"):
        classifier.add_version(fail)
    assert [each.name for each in (tmp_path / "teach/gate/versions").iterdir()] == ["1"]


def test_creating_it_again_takes_nothing_away(tmp_path: Path, family: Family) -> None:
    classifier = made(tmp_path)
    with_version(classifier, family)
    classifier.deploy()
    with pytest.raises(InputError, match="of this name already"):
        made(tmp_path)
    assert set(TeachStore(tmp_path).deployed()) == {"gate"}


def test_there_are_at_most_so_many_classifiers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edged.teach.store.store.MOST_CLASSIFIERS", 2)
    made(tmp_path)
    made(tmp_path, "dog")
    with pytest.raises(InputError, match=r"there are 2 classifiers already \(got bin\)"):
        made(tmp_path, "bin")
    TeachStore(tmp_path).forget("gate")
    made(tmp_path, "bin")


# ------------------------------------------------------------------------------------ whole, forget


def test_export_holds_all_of_it(tmp_path: Path, family: Family) -> None:
    classifier = filled(made(tmp_path / "teach"), moments=1, pictures=2)
    with_version(classifier, family)
    with (tmp_path / "x.zip").open("wb") as file:
        classifier.write_archive(file)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        names = archive.namelist()
        assert f"gate/pictures/open/{moment(0)}/{picture_id(jpeg(0, 0))}.jpg" in names
        assert archive.read(f"gate/pictures/open/{moment(0)}/{picture_id(jpeg(0, 1))}.jpg")
    assert {"gate/classifier.json", "gate/versions/1/family.yaml"} < set(names)
    assert len(names) == len(set(names))


def test_forgetting_leaves_nothing_and_the_name_is_free(tmp_path: Path, family: Family) -> None:
    classifier = filled(made(tmp_path / "teach"), moments=1)
    with_version(classifier, family)
    classifier.deploy()
    store = TeachStore(tmp_path / "teach")
    store.forget("gate")
    assert store.names() == []
    assert store.deployed() == {}
    assert {each.name for each in store.root.iterdir()} <= {".lock", "deployed.json"}
    for call in (lambda: store.forget("gate"), lambda: classifier.add("open", moment(0), b"x")):
        with pytest.raises((InputError, EdgedError), match="no such"):
            call()
    assert made(store.root).moments() == []


def test_two_writers_take_turns(tmp_path: Path) -> None:
    made(tmp_path)
    children = []
    for label in range(2):
        child = os.fork()
        if child == 0:
            classifier = Classifier(tmp_path / "gate")
            for number in range(30):
                classifier.add(CLASSES[label], moment(label), jpeg(label, number))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(each, 0)[1] for each in children] == [0, 0]
    counts = {each.label: len(each.pictures) for each in Classifier(tmp_path / "gate").moments()}
    assert counts == {"open": 30, "closed": 30}


def test_where_the_classifiers_are(tmp_path: Path) -> None:
    service = tmp_path / "lib"
    assert teach_directory({"STATE_DIRECTORY": "/x:/y"}, service) == Path("/x/teach")
    assert teach_directory({"HOME": "/home/anna"}, service) == Path(
        "/home/anna/.local/state/edged/teach"
    )
    service.mkdir()
    assert teach_directory({"HOME": "/home/anna"}, service) == service / "teach"
    assert teach_directory({}, tmp_path / "none") == tmp_path / "none/teach"


def test_reading_it_takes_no_heavy_library() -> None:
    """The daemon and `edged check` do."""
    heavy = ("numpy", "cv2", "onnxruntime", "zipfile")
    code = f"""
import sys
import edged.teach.store, edged.teach.training, edged.teach.backbone, edged.teach.description
print([each for each in {heavy} if each in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

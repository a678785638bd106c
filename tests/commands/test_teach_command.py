"""`edged teach` as a person types it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.commands.teach.deploying import overruled
from edged.config.config import load_config
from edged.teach.store import TeachStore
from edged.teach.store.names import VERBS
from edged.variants.family import Family
from tests.rig.classifiers import (
    CLASSES,
    drawn_pictures,
    filled,
    jpeg,
    made,
    moment,
    with_none_photos,
    with_version,
)
from tests.rig.command_line import edged
from tests.rig.families import make_family
from tests.rig.full_disk import no_room

CREATE = ("teach", "gate", "--view", "yard/gate", "--classes", "open,closed")
YARD = """\
cameras:
  yard:
    source: synthetic
    views:
      gate: {roi: [0.0, 0.2, 0.3, 0.6]}
      bin: {roi: [0.7, 0.5, 0.3, 0.5]}
  door: {source: synthetic}
"""

Say = Callable[[], tuple[str, str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder; the current folder has no configuration."""
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("edged.service.install.CONFIG", tmp_path / "no.yaml")
    return state


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Say:
    def said() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return said


# --------------------------------------------------------------------------------- the whole way


def test_the_whole_way_from_nothing_and_back(state: Path, tmp_path: Path, said: Say) -> None:
    family = make_family(tmp_path / "animals")
    with_none_photos(state / "teach")
    assert edged("teach") == 0
    assert "nothing has been taught yet" in said()[0]
    (made(state / "teach").folder / "classifier.json").write_text("{}")
    assert edged("teach") == 2
    out, err = said()
    assert out == "" and "gate/classifier.json: `format` is missing; restore the file" in err
    assert edged("teach", "gate", "forget") == 0
    said()
    assert edged(*CREATE, "--backbone", family.directory) == 0
    out, err = said()
    assert "created gate" in out and "next: edged teach gate add open" in out
    assert "not checked whether it has the view yard/gate; name it with: -c FILE" in err
    assert "ImageNet teaching is far better: edged models pull mobilenet-v1-imagenet" in err
    for label, named in enumerate(CLASSES):
        for number in range(3):
            folder = drawn_pictures(tmp_path / f"{named}-{number}", label, 3, 10 * number)
            options = ("--one-moment", folder) if number else (folder, "--one-moment")
            assert edged("teach", "gate", "add", named, *options) == 0
    assert "added 3 pictures of closed in 1 moment" in said()[0]
    assert edged("teach", "gate", "train", "--plot", "gate.png") == 0
    out = said()[0]
    assert "version 1: taught on 18 pictures in 6 moments" in out
    assert "most likely between" in out and "next: edged teach gate deploy" in out
    assert Path("gate.png").read_bytes().startswith(b"\x89PNG")
    assert edged("teach", "gate", "deploy") == 0
    assert "version 1 is deployed to yard/gate" in said()[0]
    assert edged("teach", "--json") == 0
    assert json.loads(said()[0]) == [
        {
            "name": "gate",
            "view": "yard/gate",
            "classes": ["open", "closed"],
            "moments": 6,
            "pictures": 18,
            "newest": 1,
            "deployed": 1,
        }
    ]
    assert edged("teach", "gate", "--json") == 0
    about = json.loads(said()[0])
    assert about["report"]["estimate"]["judged"]
    assert about["deployed"]["version"] == 1
    assert edged("teach", "gate") == 0
    assert "deployed: version 1 to yard/gate since 2" in said()[0]
    assert edged("teach", "gate", "back") == 0
    assert "view yard/gate runs the model of its configuration again" in said()[0]
    assert edged("teach", "gate", "export", "gate.zip") == 0
    with zipfile.ZipFile("gate.zip") as archive:
        assert len([each for each in archive.namelist() if each.endswith(".jpg")]) == 18
    assert edged("teach", "gate", "forget") == 0
    assert TeachStore(state / "teach").names() == []
    said()
    for come in ("from", "there already, as in"):
        assert edged("teach", "gate", "import", "gate.zip") == 0
        shown = f"version 1 of gate: {come} gate.zip\nnext: edged teach gate deploy --version 1\n"
        assert said() == (shown, "")
    for name, path, told in (
        ("gate", "none.zip", "No such file"),
        ("../x", "gate.zip", "not a name for a classifier"),
    ):
        assert edged("teach", name, "import", path) == 2
        assert told in said()[1]
    assert edged("teach", "gate", "deploy", "--version", "1") == 0


# --------------------------------------------------------------------------------- create, change


def test_a_classifier_is_created_for_a_view_that_there_is(state: Path, said: Say) -> None:
    Path("edged.yaml").write_text(YARD)
    assert edged("teach", "gate", "--view", "yard", "--classes", "a,b") == 2
    assert "no such view (got yard); it has yard/gate, yard/bin, door" in said()[1]
    assert edged("teach", "gate", "--view", "door", "--classes", "a, b,") == 0
    assert TeachStore(state / "teach").open("gate").settings.classes == ("a", "b")


def test_a_verb_without_a_name_before_it_is_told(state: Path, said: Say) -> None:
    for line in (*((verb,) for verb in VERBS), ("add", "open", "x.jpg"), ("train", "--view", "a")):
        with pytest.raises(SystemExit, match="2"):
            edged("teach", *line)
        assert f"name the classifier first: edged teach NAME {line[0]}" in said()[1]
    assert edged("teach", "address") == 2
    assert "no such classifier" in said()[1]


def test_a_new_classifier_needs_a_view_and_classes(state: Path, said: Say) -> None:
    for given, words in (
        (("--classes", "a,b"), "needs a view and classes; add --view"),
        (("--view", "yard"), "needs a view and classes; add --classes"),
        ((), "no such classifier"),
        (("--view", "yard", "--classes", "a"), "expected 2 to 50 classes"),
        (("--view", "yard", "--classes", "none,a"), "is there by itself"),
        (("--view", "a/b/c", "--classes", "a,b"), "not a view"),
        (("--view", "yard", "--classes", "a,b", "--backbone", "nix"), "not a family"),
        (("--view", "yard", "--classes", "a,b", "--quota", "0.5"), "at least 1 MB"),
        (("--view", "yard", "--classes", "a,b", "--quota", "2e6"), "at most 1000000 MB (got 2e+06"),
    ):
        assert edged("teach", "gate", *given) == 2, given
        assert words in said()[1]
    assert not (state / "teach/gate").exists()
    assert edged("teach", "imagenette", "--view", "yard", "--classes", "a,b") == 2
    assert "choose another name" in said()[1]


def test_settings_are_changed_afterwards(state: Path, said: Say) -> None:
    edged(*CREATE)
    store = TeachStore(state / "teach")
    store.open("gate").add("open", moment(0), jpeg(0, 0))
    more = ("--classes", "open,closed,empty", "--no-none", "--quota", "50", "--view", "yard/bin")
    assert edged("teach", "gate", *more, "--backbone", "imagenette") == 0
    settings = store.open("gate").settings
    assert (settings.classes, settings.none) == (("open", "closed", "empty"), False)
    assert (settings.quota_bytes, settings.view) == (50_000_000, "yard/bin")
    assert settings.backbone == "imagenette"
    assert "without `none`" in said()[0]
    assert edged("teach", "gate", "--classes", "closed,empty") == 2
    assert "the class open has pictures" in said()[1]


def test_a_broken_configuration_is_no_obstacle_unless_it_is_named(state: Path, said: Say) -> None:
    Path("edged.yaml").write_text("nonsense")
    assert edged(*CREATE) == 0
    assert "going on without a configuration: " in said()[1]
    assert edged("teach", "dog", *CREATE[2:], "-c", "edged.yaml") == 2
    assert edged("teach", "-c", "edged.yaml", "dog", *CREATE[2:]) == 2


# ---------------------------------------------------------------------------------------- pictures


def test_what_is_left_out_is_named(state: Path, tmp_path: Path, said: Say) -> None:
    edged(*CREATE)
    folder = drawn_pictures(tmp_path / "open", 0, 2)
    (folder / "notes.txt").write_text("mine")
    said()
    assert edged("teach", "gate", "add", "open", folder) == 0
    out, err = said()
    assert "added 2 pictures of open in 2 moments" in out
    assert "left out: " in err and "notes.txt: not a picture" in err
    assert edged("teach", "gate", "add", "closed", folder) == 2
    out, err = said()
    assert "added 0 pictures" in out
    assert err.count("it is there already, as open") == 2
    assert edged("teach", "gate", "add", "open", folder) == 0
    assert "2 pictures had been added before" in said()[0]
    drawn_pictures(folder, 0, 3)
    shutil.copy(folder / "002.png", folder / "copy.png")
    assert edged("teach", "gate", "add", "open", folder) == 0
    assert said()[0].startswith(
        "added 1 picture of open in 1 moment; 2 pictures had been added before; "
        "left out 1 picture equal to others\n"
    )


def test_mistakes_of_adding(state: Path, tmp_path: Path, said: Say) -> None:
    edged(*CREATE)
    for given, words in (
        (("ajar", "x.jpg"), "its classes are open, closed"),
        (("open",), "expected pictures or --from-camera;"),
        (("open", "x.jpg", "--from-camera"), "not both"),
        (("open", "x.jpg"), "x.jpg: cannot be read: No such file"),
        (("open", "x.jpg", "--for", "3s"), "--for is for --from-camera"),
        (("open", "--from-camera"), "needs the daemon's configuration"),
        (("open", "--from-camera", "--one-moment"), "one moment anyway"),
    ):
        assert edged("teach", "gate", "add", *given) == 2, given
        assert words in said()[1]
    with pytest.raises(SystemExit):
        edged("teach", "gate", "add", "open", "--from-camera", "--for", "long")


def test_moments_are_listed_labelled_and_discarded(state: Path, said: Say) -> None:
    classifier = made(state / "teach")
    classifier.add(None, moment(0), jpeg(0, 0), "uncertain")
    classifier.add("open", moment(1), jpeg(0, 1))
    assert edged("teach", "gate") == 0
    assert "1 moment without a class yet" in said()[0]
    assert edged("teach", "gate", "--moments") == 0
    lines = said()[0].splitlines()
    assert lines[1].split() == [moment(0), "-", "1", "uncertain"]
    assert edged("teach", "gate", "label", moment(0), "closed") == 0
    assert edged("teach", "gate", "label", moment(0), "ajar") == 2
    assert edged("teach", "gate", "discard", moment(1)) == 0
    assert edged("teach", "gate", "discard", moment(1)) == 2
    (left,) = classifier.moments()
    assert (left.id, left.label) == (moment(0), "closed")


def test_a_full_quota_says_what_to_do(state: Path, tmp_path: Path, said: Say) -> None:
    classifier = made(state / "teach", quota_bytes=1_000_000)
    classifier.add("open", moment(0), jpeg(0, 0).ljust(999_000, b"\0"))
    folder = drawn_pictures(tmp_path / "open", 0, 1)
    assert edged("teach", "gate", "add", "open", folder) == 2
    assert "the quota of 1 MB is used up by labelled pictures" in said()[1]
    assert edged("teach", "gate", "--quota", "2") == 0
    assert edged("teach", "gate", "add", "open", folder) == 0


# ---------------------------------------------------------------------------------- train, deploy


def test_what_cannot_be_taught_yet(state: Path, tmp_path: Path, said: Say) -> None:
    made(state / "teach").add("open", moment(0), jpeg(0, 0))
    assert edged("teach", "gate", "train") == 2
    assert "no pictures of closed yet" in said()[1]
    assert edged("teach", "gate", "train", "--plot", "x.txt") == 2
    assert edged("teach", "gate", "deploy") == 2
    assert "it has not been taught yet; edged teach gate train" in said()[1]
    assert edged("teach", "gate", "back") == 2
    assert "no version of it is deployed" in said()[1]
    few = drawn_pictures(tmp_path / "few", 0, 3)
    assert edged("teach", "gate", "train", "--none-photos", few) == 2
    assert "at least 30 mixed photos" in said()[1]


def test_a_worse_version_is_deployed_only_if_it_is_meant(
    state: Path, family: Family, said: Say
) -> None:
    classifier = made(state / "teach")
    with_version(classifier, family, 0.95)
    assert edged("teach", "gate", "deploy") == 0
    with_version(classifier, family, 0.80)
    assert edged("teach", "gate", "deploy") == 1
    err = said()[1]
    assert "version 2 is right in 80 % of the cases, version 1, which runs, in 95 %" in err
    assert "deploy --version 2 --anyway" in err
    assert classifier.deployed is not None and classifier.deployed.version == 1
    assert edged("teach", "gate", "deploy", "--anyway") == 0
    assert edged("teach", "gate", "back") == 0
    assert "version 1 runs on yard/gate again, not 2" in said()[0]
    assert edged("teach", "gate", "deploy", "--version", "7") == 2
    assert "no such version (got 7); it has 1, 2" in said()[1]


def test_a_version_that_cannot_be_judged_is_deployed_with_a_word(
    state: Path, family: Family, said: Say
) -> None:
    with_version(made(state / "teach"), family, None)
    assert edged("teach", "gate", "deploy") == 0
    assert "version 1 could not be judged" in said()[1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (YARD, None),
        ("model: imagenette\n" + YARD, None),
        (
            YARD.replace(
                "source: synthetic\n    views", "source: synthetic\n    model: x\n    views"
            ),
            None,
        ),
        (YARD.replace("0.6]}", "0.6], model: imagenette}"), 5),
        (YARD.replace("0.6]}", "0.6], model: gate}"), None),
    ],
)
def test_where_the_configuration_overrules_it(tmp_path: Path, text: str, line: int | None) -> None:
    path = tmp_path / "edged.yaml"
    path.write_text(text)
    found = overruled(load_config(path, {}), "yard/gate", "gate")
    assert (found == "") == (line is None)
    if line is not None:
        assert f"{path}:{line} gives view yard/gate a model of its own" in found
        assert "write `model: gate` there" in found


def test_a_camera_without_views_is_overruled_by_its_own_model(tmp_path: Path) -> None:
    path = tmp_path / "edged.yaml"
    path.write_text("cameras:\n  door:\n    source: synthetic\n    model: imagenette\n")
    assert ":4 gives camera door a model of its own" in overruled(
        load_config(path, {}), "door", "gate"
    )


# ------------------------------------------------------------------------------------ owner, disk


def test_a_full_disk_is_one_message(state: Path, tmp_path: Path, said: Say, family: Family) -> None:
    classifier = filled(made(state / "teach"), moments=1, pictures=1)
    with_version(classifier, family)
    before = classifier.moments()
    folder = drawn_pictures(tmp_path / "open", 0, 1, 70)
    for words in (
        ("add", "open", folder),
        ("deploy",),
        ("export", "gate.zip"),
        ("--quota", "5"),
    ):
        with no_room():
            assert edged("teach", "gate", *words) == 1
        assert said()[1].count("\n") == 1
    assert classifier.moments() == before
    assert not Path("gate.zip").exists()


def test_only_a_regular_file_is_exported_to(state: Path, tmp_path: Path, said: Say) -> None:
    made(state / "teach")
    target, link = tmp_path / "target.zip", tmp_path / "link.zip"
    target.write_bytes(b"mine")
    link.symlink_to(target)
    for path in (link, Path("/dev/null")):
        assert edged("teach", "gate", "export", path) == 2
        assert f"{path}: not a regular file" in said()[1]
    assert link.is_symlink() and target.read_bytes() == b"mine"


def test_what_an_event_needs_is_not_deployed_away(
    state: Path, tmp_path: Path, said: Say, family: Family
) -> None:
    config = tmp_path / "edged.yaml"
    config.write_text(f"{YARD}events:\n  ball: {{class: golf ball, cameras: [yard/gate]}}\n")
    classifier = made(state / "teach")
    with_version(classifier, family)
    for anyway in ((), ("--anyway",)):
        assert edged("teach", "gate", "deploy", *anyway, "-c", config) == 2
        assert (
            "gate: the configuration would no longer be valid: "
            f"{config}:9: events.ball.class: the family has no such class"
        ) in said()[1]
    assert classifier.deployed is None
    assert edged("teach", "gate", "deploy") == 0
    assert "no configuration was found, so nothing was checked against one" in said()[1]

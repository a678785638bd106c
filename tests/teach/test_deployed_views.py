"""What a view runs of what was deployed to it, and what stays when a classifier goes."""

from __future__ import annotations

import fcntl
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edged.config.config import Config, load_config
from edged.config.family import Families, family_errors, lacking, needed
from edged.daemon.changes import changed_classifiers
from edged.daemon.models import Models
from edged.errors import InputError
from edged.teach.store import TeachStore
from edged.teach.store.deployed import astray
from edged.variants.family import Family
from tests.rig.classifiers import made, with_version
from tests.rig.command_line import edged

TEXT = """\
model: imagenette
cameras:
  yard: {source: synthetic, views: {gate: {}, bin: {model: gate}}}
events:
  ajar: {class: ajar, cameras: [yard/gate]}
"""


@pytest.fixture
def store(tmp_path: Path, family: Family) -> TeachStore:
    """With a version deployed to yard/gate."""
    classifier = made(tmp_path / "teach")
    with_version(classifier, family)
    classifier.deploy()
    return TeachStore(tmp_path / "teach")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "edged.yaml"
    path.write_text(TEXT)
    return load_config(path, {})


def running(config: Config, store: TeachStore) -> dict[str, str]:
    families = Families(config, store)
    return {view.id: families.of(view).name for view in config.views}


def test_what_is_deployed_comes_before_the_models_above_a_view(
    config: Config, store: TeachStore
) -> None:
    assert running(config, store) == {"yard/gate": "gate", "yard/bin": "gate"}
    store.back("gate")
    # A view that names it waits until it is deployed again.
    assert running(config, store) == {"yard/gate": "imagenette", "yard/bin": "gate"}
    families = Families(config, store)
    assert [bool(families.of(view).heads) for view in config.views] == [False, False]


@pytest.mark.parametrize("damage", ["classifier.json", "versions/1/family.yaml", "head"])
def test_one_that_is_damaged_does_not_stop_the_other_views(
    config: Config, store: TeachStore, damage: str
) -> None:
    folder = store.root / "gate"
    path = next(folder.glob("versions/1/head_*")) if damage == "head" else folder / damage
    path.write_bytes(b"{")
    config.path.write_text(TEXT.partition("events")[0])
    gate = config.views[0]
    families = Families(load_config(config.path, {}), store)
    assert families.of(gate).name == "imagenette"
    assert families.instead[gate.id].startswith("view yard/gate runs imagenette, not gate: ")


def test_a_view_that_names_a_damaged_one_runs_the_model_above(
    config: Config, store: TeachStore
) -> None:
    path = next((store.root / "gate").glob("versions/1/head_*"))
    path.write_bytes(b"{")
    families = Families(config, store)
    assert families.of(config.views[1]).name == "imagenette"
    told = families.instead["yard/bin"]
    assert told.startswith(f"view yard/bin runs imagenette, not gate: {path}: the file is damaged")
    assert "teach it again (edged teach gate train, then deploy), or return: edged teach" in told
    assert "manifest;" not in told


def test_of_a_damaged_backbone_one_line_is_told(
    config: Config, store: TeachStore, family: Family
) -> None:
    (family.directory / "family.yaml").write_text("format: 1\n")  # lacks several keys
    families = Families(config, store)
    assert families.of(config.views[1]).name == "imagenette"
    assert f"not gate: {family.directory}/family.yaml" in families.instead["yard/bin"]
    assert "\n" not in families.instead["yard/bin"]


def test_damaged_settings_say_what_to_do(
    config: Config, store: TeachStore, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.root / "gate/classifier.json"
    path.write_bytes(b"{}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STATE_DIRECTORY", str(store.root.parent))
        config.path.write_text(TEXT.partition("events")[0])
        assert edged("check", config.path) == 0
    fix = "restore the file, or delete all of it: edged teach gate forget"
    told = f"edged: view yard/bin runs imagenette, not gate: {path}: `format` is missing; {fix}\n"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("damaged", [(), ("gate",), ("gate", "other")])
def test_where_the_camera_names_another_classifier(
    config: Config, store: TeachStore, family: Family, damaged: tuple[str, ...]
) -> None:
    config.path.write_text(TEXT.replace("{source", "{model: other, source").split("events")[0])
    with_version(made(store.root, "other"), family)
    for name in damaged:
        (store.root / name / "classifier.json").write_bytes(b"{}")
    families = Families(load_config(config.path, {}), store)
    (view,) = (
        each
        for each in load_config(config.path, {}).views
        if each.names_model and each.id == "yard/bin"
    )
    assert families.of(view).name == ("gate", "other", "imagenette")[len(damaged)]


BALL = """\
cameras:
  yard: {source: synthetic, views: {gate: {}}}
events:
  ball: {class: golf ball, cameras: [yard/gate]}
"""


def test_one_that_lacks_the_class_of_an_event_stops_no_start(
    config: Config, store: TeachStore, family: Family
) -> None:
    config.path.write_text(BALL)
    ball = load_config(config.path, {})
    (error,) = family_errors(ball, store=store)
    assert "events.ball.class: the family has no such class" in str(error)
    models = Models.of(ball, store=store)
    assert models.by_view["yard/gate"].family.name == "imagenette"
    assert models.instead == {
        "yard/gate": "view yard/gate runs imagenette, not gate: version 1 of gate: the event ball "
        "of yard/gate needs the class golf ball, which it lacks; change the configuration, or "
        "return: edged teach gate back"
    }
    assert Models.of(ball, store=store, replacing=False).instead == {}


def test_what_ran_before_goes_on_where_the_new_one_lacks_a_class(
    needing: Config, store: TeachStore, family: Family
) -> None:
    gate = store.open("gate")
    gate.change(replace(gate.settings, classes=("up", "down")))
    with_version(gate, family)
    gate.deploy(2)
    models = Models.of(needing, store=store)
    assert models.by_view["yard/gate"].family == gate.family(1)
    told = models.instead["yard/gate"]
    assert told.startswith("view yard/gate runs version 1 of gate, not gate: version 2 of gate: ")
    gate.deploy(1)
    again = Models.of(needing, store=store)
    assert list(changed_classifiers(again, models)) == [told]  # although the same runs
    assert list(changed_classifiers(models, again)) == ["view yard/gate runs what it should again"]


def test_accuracy_that_a_view_needs_stops_no_start(
    config: Config, store: TeachStore, family: Family
) -> None:
    config.path.write_text("cameras: {yard: {source: synthetic, views: {gate: {min_top1: 0.1}}}}")
    models = Models.of(load_config(config.path, {}), store=store)
    assert models.by_view["yard/gate"].family.name == "imagenette"
    assert "min_top1: needs measured accuracy" in models.instead["yard/gate"]


def test_forgetting_leaves_nothing_deployed(config: Config, store: TeachStore) -> None:
    store.forget("gate")
    assert json.loads((store.root / "deployed.json").read_text()) == {}
    with pytest.raises(InputError, match=r"or teach it: edged teach gate --view yard/bin"):
        running(config, store)


def test_a_new_one_of_the_name_does_not_inherit_what_was_deployed(
    store: TeachStore, family: Family
) -> None:
    before = (store.root / "deployed.json").read_bytes()
    store.forget("gate")
    (store.root / "deployed.json").write_bytes(before)  # as if it had been removed by hand
    with_version(store.create("gate", "yard/bin", ("up", "down")), family)
    assert store.deployed() == {}


def test_it_is_not_forgotten_while_it_is_trained(store: TeachStore) -> None:
    fd = os.open(store.root / "gate/.training", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="is being taught already"):
            store.forget("gate")
    finally:
        os.close(fd)
    assert store.names() == ["gate"]
    store.forget("gate")
    assert store.names() == []


def test_an_event_must_find_its_class(config: Config, store: TeachStore) -> None:
    family = store.open("gate").family(1)
    wanted = "the event ajar of yard/gate needs the class ajar, which it lacks"
    assert lacking(config, "yard/gate", family) == wanted
    assert lacking(config, "yard/bin", family) == ""


def test_check_names_what_an_event_lacks(config: Config) -> None:
    errors = [str(error) for error in family_errors(config)]
    assert any("no such class (got ajar)" in error for error in errors)


OPEN = TEXT.replace("ajar", "open").replace("{model: gate}", "{}")
NEEDS = r"would no longer be valid: .*:5: events\.open\.class: the family has no such class"


@pytest.fixture
def needing(config: Config) -> Config:
    """With an event that needs a class of the classifier."""
    config.path.write_text(OPEN)
    return load_config(config.path, {})


def test_what_an_event_needs_is_not_taken_away(needing: Config, store: TeachStore) -> None:
    assert list(family_errors(needing, store=store)) == []
    assert re.search(NEEDS, needed(needing, store, store.without("gate")))
    assert re.search(NEEDS, needed(needing, store, store.after_back("gate")))
    assert set(store.deployed()) == {"gate"}  # nothing was done
    needing.path.write_text(OPEN.partition("events")[0])
    free = load_config(needing.path, {})
    assert needed(free, store, store.without("gate")) == ""
    assert needed(free, store, store.after_back("gate")) == ""


def test_an_event_of_the_view_that_it_leaves_keeps_it(needing: Config, store: TeachStore) -> None:
    gate = store.open("gate")
    assert needed(needing, store, store.after_deploy("gate", 1)) == ""
    gate.change(replace(gate.settings, view="yard/bin"))
    assert re.search(NEEDS, needed(needing, store, store.after_deploy("gate", 1)))
    assert store.deployed()["gate"].view == "yard/gate"  # nothing was done


def test_a_classifier_that_a_view_names_is_not_forgotten(config: Config, store: TeachStore) -> None:
    config.path.write_text(TEXT.partition("events")[0])
    named = load_config(config.path, {})
    assert "or teach it: edged teach gate --view yard/bin" in needed(
        named, store, store.without("gate")
    )
    assert needed(named, store, store.after_back("gate")) == ""  # it waits until it is taught


def test_a_configuration_that_is_not_valid_anyway_keeps_nothing(
    config: Config, store: TeachStore, family: Family
) -> None:
    config.path.write_text(TEXT.replace("{model: gate}", "{}"))
    other = load_config(config.path, {})
    assert list(family_errors(other, store=store))
    with_version(made(store.root, "dog"), family)
    assert needed(other, store, store.without("dog")) == ""


def test_the_daemon_starts_although_what_an_event_needs_is_damaged(
    needing: Config, store: TeachStore
) -> None:
    (store.root / "gate/versions/1/family.yaml").write_bytes(b"{")
    assert list(family_errors(needing, store=store))[1:] == []
    families = Families(needing, store)
    found = families.of(needing.views[0])
    assert (found.labels, bool(found.heads)) == (("open", "closed"), False)
    assert families.instead["yard/gate"].startswith("view yard/gate gives no result: ")


def test_a_view_that_is_gone_is_told(config: Config, store: TeachStore) -> None:
    views = [view.id for view in config.views]
    assert list(astray(store.deployed(), views)) == []
    (told,) = astray(store.deployed(), ["yard/bin", "door"])
    assert told.startswith("gate is deployed to yard/gate, which the configuration does not have")
    assert "edged teach gate --view door|yard/bin, then edged teach gate deploy" in told

"""What a view runs where what was deployed to it is gone, or is not known any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edged.config.config import Config, load_config
from edged.config.family import Families, family_errors, needed
from edged.daemon.models import Models
from edged.errors import InputError
from edged.teach.store import TeachStore
from edged.teach.teaching import Configured, Teaching
from edged.variants.family import Family
from edged.variants.taught import to_teach
from tests.rig.classifiers import made, with_version
from tests.rig.command_line import edged

TEXT = """\
cameras:
  yard: {source: synthetic, views: {gate: {}, bin: {}}}
"""
OPEN = f"{TEXT}events:\n  left: {{class: open, cameras: [yard/gate]}}\n"
AJAR = OPEN.replace("class: open", "classes: [open, ajar]")
NAMED = OPEN.replace("gate: {}", "gate: {model: gate}")
GONE = "there is no version 1 of gate; restore "


@pytest.fixture
def store(tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> TeachStore:
    """With a version deployed to yard/gate."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    classifier = made(tmp_path / "teach")
    with_version(classifier, family)
    classifier.deploy()
    return TeachStore(tmp_path / "teach")


def config_of(store: TeachStore, text: str) -> Config:
    path = store.root.parent / "edged.yaml"
    path.write_text(text)
    return load_config(path, {})


def break_(store: TeachStore, what: str) -> None:
    gate = store.root / "gate"
    if what == "settings":
        (gate / "classifier.json").unlink()
    elif what == "damaged settings":
        (gate / "classifier.json").write_text("{}")
    elif what == "version":
        shutil.rmtree(gate / "versions/1")
    elif what == "renamed":
        (gate / "versions/1").rename(gate / "versions/one")
    elif what == "head":
        next(gate.glob("versions/1/head_*")).write_bytes(b"{")
    else:
        shutil.rmtree(gate)


WAYS = {
    "settings": "classifier.json: cannot be read: No such file or directory; restore the file, or",
    "damaged settings": "classifier.json: `format` is missing; restore the file, or delete all",
    "version": GONE,
    "renamed": GONE,
    "head": "the file is damaged",
    "all": GONE,
}


@pytest.mark.parametrize("what", WAYS)
@pytest.mark.parametrize("text", [OPEN, AJAR, NAMED])
def test_an_event_that_needs_its_classes_stops_no_start(
    store: TeachStore, what: str, text: str
) -> None:
    config = config_of(store, text)
    break_(store, what)
    models = Models.of(config, store=store)
    found = models.by_view["yard/gate"].family
    assert not found.heads and to_teach(found)
    assert {"open", *(["ajar"] if text == AJAR else ())} <= set(found.labels)
    told = models.instead["yard/gate"]
    assert told.startswith("view yard/gate gives no result: ") and WAYS[what] in told
    assert models.by_view["yard/bin"].family.name == "imagenette"
    assert list(family_errors(config, store=store)) == []


@pytest.mark.parametrize("what", WAYS)
def test_what_runs_without_it_is_told(
    store: TeachStore, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(store, TEXT)
    break_(store, what)
    told = Models.of(config, store=store).instead
    assert told["yard/gate"].startswith("view yard/gate runs imagenette, not gate: ")
    assert WAYS[what] in told["yard/gate"] and set(told) == {"yard/gate"}
    assert edged("check", config.path) == 0
    assert f"edged: {told['yard/gate']}\n" in capsys.readouterr().err
    assert edged("teach") == 2
    assert capsys.readouterr().err.count(WAYS[what]) == 1
    edged("teach", "gate")
    assert WAYS[what] in capsys.readouterr().err


def test_a_class_that_no_classifier_knows_stops_no_start(store: TeachStore) -> None:
    config = config_of(store, OPEN.replace("class: open", "class: ajar"))
    models = Models.of(config, store=store)
    assert models.by_view["yard/gate"].family.labels == ("open", "closed", "ajar")
    assert "needs the class ajar, which it lacks" in models.instead["yard/gate"]
    (error,) = family_errors(config, store=store)  # of `edged check`, and of a reload
    assert "no such class (got ajar)" in str(error)


def test_what_gives_no_result_has_the_variants_of_the_view(store: TeachStore) -> None:
    variant = load_variants(store)
    view = f"{{variants: [{variant}], min_top1: 0.1}}"
    config = config_of(store, OPEN.replace("gate: {}", f"gate: {view}"))
    break_(store, "head")  # of the networks of another family
    models = Models.of(config, store=store)
    assert [each.name for each in models.by_view["yard/gate"].variants] == [variant]


def load_variants(store: TeachStore) -> str:
    """A variant that the classifier's networks lack."""
    (view, *_) = config_of(store, TEXT).views
    known = store.open("gate").family(1).variants()
    other = Families(config_of(store, TEXT), TeachStore(store.root.parent / "none")).of(view)
    return next(each.name for each in other.variants() if each not in known)


@pytest.mark.parametrize("text", [OPEN, OPEN.replace("gate: {}", "gate: {model: gate}")])
def test_a_mistake_in_the_configuration_stays_an_error(store: TeachStore, text: str) -> None:
    config = config_of(store, text)
    store.forget("gate")
    assert list(family_errors(config, store=store)) != []


@pytest.mark.parametrize("what", ["settings", "version", "all"])
def test_the_ways_out(
    store: TeachStore, family: Family, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(store, TEXT)
    break_(store, what)
    assert edged("teach", "-c", config.path, "gate", "back") == 0
    assert "runs the model of its configuration again" in capsys.readouterr().out
    assert store.deployed() == {} and Models.of(config, store=store).instead == {}
    if what != "all":
        assert edged("teach", "-c", config.path, "gate", "forget") == 0
    with_version(made(store.root), family)
    store.open("gate").deploy()
    break_(store, what)
    assert edged("teach", "-c", config.path, "gate", "forget") == 0
    assert store.deployed() == {} and Models.of(config, store=store).instead == {}
    with pytest.raises(InputError, match="no such classifier"):
        store.forget("gate")


def test_back_leads_to_what_ran_before_one_that_is_gone(store: TeachStore, family: Family) -> None:
    with_version(made(store.root, "dog"), family)
    store.open("dog").deploy()
    shutil.rmtree(store.root / "dog")
    models = Models.of(config_of(store, OPEN), store=store)
    told = models.instead["yard/gate"]
    assert told.startswith("view yard/gate runs version 1 of gate, not dog: there is no version 1")
    own, now = store.back("dog")
    assert now is not None and (own.name, now.name) == ("dog", "gate")
    assert Models.of(config_of(store, OPEN), store=store).instead == {}


def test_the_daemon_sees_what_goes_and_what_comes_back(store: TeachStore) -> None:
    teaching = Teaching(store)
    assert not teaching.changed()
    for path in (store.root / "gate/versions/1", store.root / "gate"):
        path.rename(store.root / ".aside")
        assert teaching.changed()
        teaching.look()
        (store.root / ".aside").rename(path)
        assert teaching.changed()
        teaching.look()
        assert not teaching.changed()


# ------------------------------------------------------------------------- deployed.json is damaged

DAMAGED = [b"", b"{", b'{"gate": {"view": "yard/gate", "version": 0}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_list_stops_no_start(
    store: TeachStore, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.root / "deployed.json"
    path.write_bytes(content)
    config = config_of(store, OPEN)
    models = Models.of(config, store=store)
    told = models.instead
    assert told["yard/gate"].startswith(f"view yard/gate gives no result: {path}: ")
    assert told["yard/bin"].startswith(f"view yard/bin runs imagenette: {path}: ")
    assert told["yard/bin"].endswith("or write it anew: edged teach NAME deploy")
    assert models.by_view["yard/gate"].family.labels == ("open",)
    assert edged("check", config.path) == 0
    said = capsys.readouterr().err
    assert all(f"edged: {each}\n" in said for each in told.values())
    assert "edged teach unknown" not in said
    assert needed(config, store, store.after_deploy("gate", 1)) == ""
    store.open("gate").deploy()
    assert Models.of(config, store=store).instead == {}


def test_it_is_known_what_a_view_with_a_model_of_its_own_runs(store: TeachStore) -> None:
    (store.root / "deployed.json").write_bytes(b"")
    config = config_of(store, TEXT.replace("{}", "{model: imagenette}"))
    assert Models.of(config, store=store).instead == {}


def test_a_view_that_names_a_classifier_says_that_the_list_is_damaged(store: TeachStore) -> None:
    (store.root / "deployed.json").write_bytes(b"")
    models = Models.of(config_of(store, NAMED), store=store)
    assert models.by_view["yard/gate"].family.labels == ("open", "closed")
    assert models.instead["yard/gate"].startswith("view yard/gate gives no result: ")


@pytest.mark.parametrize("what", [None, "version", "head"])
def test_only_what_is_deployed_counts_as_running(store: TeachStore, what: str | None) -> None:
    if what is not None:
        break_(store, what)
    teaching = Teaching(store)
    teaching.look()
    config = config_of(store, OPEN)
    families = Families(config, store)
    teaching.follow({view.id: families.of(view) for view in config.views}, Configured())
    assert teaching.overview()["classifiers"]["gate"]["runs"] == (what is None)


def test_an_entry_that_is_not_damaged_still_counts(store: TeachStore) -> None:
    path = store.root / "deployed.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dog": 3}))
    models = Models.of(config_of(store, OPEN), store=store)
    assert models.by_view["yard/gate"].family.name == "gate"
    assert set(models.instead) == {"yard/bin"}


def test_one_after_the_other_is_deployed_anew(store: TeachStore, family: Family) -> None:
    dog = made(store.root, "dog")
    with_version(dog, family)
    dog.deploy(view="yard/bin")
    both = "events:\n  left: {class: open, cameras: [yard/gate, yard/bin]}\n"
    config = config_of(store, TEXT + both)
    (store.root / "deployed.json").write_bytes(b"{")
    assert needed(config, store, store.after_deploy("gate", 1)) == ""
    store.open("gate").deploy()
    dog.deploy(view="yard/bin")
    assert list(family_errors(config, store=store)) == []


def test_a_list_that_cannot_be_read_is_read_once_it_can(store: TeachStore) -> None:
    path = store.root / "deployed.json"
    path.rename(path.with_suffix(".aside"))
    path.mkdir()
    assert "deployed.json: cannot be read: Is a directory" in store.damage
    assert store.deployed() == {}
    path.rmdir()
    path.with_suffix(".aside").rename(path)
    assert (store.damage, set(store.deployed())) == ("", {"gate"})

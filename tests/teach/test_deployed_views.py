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
from edged.errors import InputError
from edged.teach.store import TeachStore
from edged.teach.store.deployed import astray
from edged.variants.family import Family
from tests.rig.classifiers import made, with_version

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
    store.open("gate").back()
    # A view that names it waits until it is deployed again.
    assert running(config, store) == {"yard/gate": "imagenette", "yard/bin": "gate"}
    families = Families(config, store)
    assert [bool(families.of(view).heads) for view in config.views] == [False, False]


@pytest.mark.parametrize("damage", ["classifier.json", "versions/1/family.yaml", "head"])
def test_one_that_is_damaged_does_not_stop_the_other_views(
    config: Config, store: TeachStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = store.root / "gate"
    path = next(folder.glob("versions/1/head_*")) if damage == "head" else folder / damage
    path.write_bytes(b"{")
    gate = config.views[0]
    assert Families(config, store).of(gate).name == "imagenette"
    assert "view yard/gate runs imagenette, not gate: " in caplog.text


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
    needing: Config, store: TeachStore, caplog: pytest.LogCaptureFixture
) -> None:
    (store.root / "gate/versions/1/family.yaml").write_bytes(b"{")
    assert list(family_errors(needing, store=store))[1:] == []
    found = Families(needing, store).of(needing.views[0])
    assert (found.labels, bool(found.heads)) == (("open", "closed"), False)
    assert "view yard/gate gives no result: " in caplog.text


def test_a_view_that_is_gone_is_told(config: Config, store: TeachStore) -> None:
    views = [view.id for view in config.views]
    assert list(astray(store.deployed(), views)) == []
    (told,) = astray(store.deployed(), ["yard/bin", "door"])
    assert told.startswith("gate is deployed to yard/gate, which the configuration does not have")
    assert "edged teach gate --view door|yard/bin, then edged teach gate deploy" in told

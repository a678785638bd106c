"""Which version runs where, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.teach.description import description
from edged.teach.store import TeachStore
from edged.variants.family import Family
from tests.rig.classifiers import VIEW, made, with_version


def test_deploying_and_going_back(tmp_path: Path, family: Family) -> None:
    classifier = made(tmp_path / "teach")
    store = TeachStore(tmp_path / "teach")
    assert store.deployed() == {}
    with_version(classifier, family)
    with_version(classifier, family)
    assert classifier.deploy(1).before is None
    found = store.deployed_to(VIEW)
    assert found is not None and (found.name, found.version) == ("gate", 1)
    classifier.deploy()
    assert (store.deployed()["gate"].version, store.deployed()["gate"].before) == (2, 1)
    assert classifier.deploy(2).before == 1
    assert store.back("gate")[1] is not None
    assert (store.deployed()["gate"].version, store.deployed()["gate"].before) == (1, None)
    assert store.back("gate")[1] is None
    assert store.deployed() == {}


def test_a_view_runs_one_classifier(tmp_path: Path, family: Family) -> None:
    gate, dog = made(tmp_path / "teach"), made(tmp_path / "teach", "dog")
    store = TeachStore(tmp_path / "teach")
    for each in (gate, dog):
        with_version(each, family)
        each.deploy()
    assert set(store.deployed()) == {"dog"}
    gate.deploy(view="yard/other")
    assert set(store.deployed()) == {"dog", "gate"}
    store.forget("dog")
    assert set(store.deployed()) == {"gate"}
    assert store.deployed_to(VIEW) is None


def test_the_way_back_leads_to_the_classifier_that_was_replaced(
    tmp_path: Path, family: Family
) -> None:
    gate, dog = made(tmp_path / "teach"), made(tmp_path / "teach", "dog")
    store = TeachStore(tmp_path / "teach")
    for each in (gate, gate, dog, dog):
        with_version(each, family)
    gate.deploy(1)
    gate.deploy(2)
    dog.deploy(1)
    dog.deploy(2)
    for _ in range(8):  # more than are kept by themselves
        with_version(gate, family)
    assert gate.versions()[:2] == [1, 2]
    ran = []
    while (now := store.deployed_to(VIEW)) is not None:
        ran.append((now.name, now.version))
        store.back(now.name)
    assert ran == [("dog", 2), ("dog", 1), ("gate", 2), ("gate", 1)]


def test_the_way_back_goes_on_through_all_that_were_replaced(
    tmp_path: Path, family: Family
) -> None:
    store = TeachStore(tmp_path / "teach")
    names = ["gate", "dog", "owl", "cat"]
    for each in names:
        with_version(made(store.root, each), family)
        with_version(store.open(each), family)
        store.open(each).deploy(1)
        store.open(each).deploy(2)
    store.forget("owl")
    store.open("dog").deploy(view="yard/other")
    assert description(store.open("cat"))["deployed"]["before"] == 1
    ran = [store.back(each)[1] for each in ("cat", "cat", "gate")]
    assert [(each.name, each.version) for each in ran if each] == [
        ("cat", 1),
        ("gate", 2),
        ("gate", 1),
    ]
    assert store.back("gate")[1] is None
    assert set(store.deployed()) == {"dog"}


def test_the_way_back_is_bounded(tmp_path: Path, family: Family) -> None:
    gate, dog = made(tmp_path / "teach"), made(tmp_path / "teach", "dog")
    for each in (gate, dog):
        with_version(each, family)
    for _ in range(20):
        gate.deploy()
        dog.deploy()
    (deployed,) = TeachStore(tmp_path / "teach").deployed().values()
    assert len([*deployed.way_back()]) == 8
    assert description(dog)["deployed"]["replaced"] == {"name": "gate", "version": 1}


def test_the_way_back_ends_where_the_other_one_is_gone(tmp_path: Path, family: Family) -> None:
    gate, dog = made(tmp_path / "teach"), made(tmp_path / "teach", "dog")
    store = TeachStore(tmp_path / "teach")
    for each in (gate, dog):
        with_version(each, family)
        each.deploy()
    store.forget("gate")
    with_version(made(tmp_path / "teach"), family)  # another one of that name
    assert store.back("dog")[1] is None
    assert store.deployed() == {}
    gate = store.open("gate")
    for each, view in ((gate, VIEW), (dog, VIEW), (gate, "yard/other")):
        each.deploy(view=view)
    assert store.back("dog")[1] is None  # gate runs elsewhere now
    assert set(store.deployed()) == {"gate"}


def test_deployed_is_read_again_only_when_it_has_changed(
    tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = made(tmp_path / "teach")
    with_version(classifier, family)
    with_version(classifier, family)
    classifier.deploy(1)
    store = TeachStore(tmp_path / "teach")
    first = store.deployed()
    assert store.deployed()["gate"] is first["gate"]
    classifier.deploy(2)
    assert store.deployed()["gate"].version == 2


def test_worse_is_what_is_worse_on_pictures_not_taught(tmp_path: Path, family: Family) -> None:
    classifier = made(tmp_path / "teach")
    with_version(classifier, family, 0.9)
    assert classifier.worse_than_running() is None  # nothing of it runs
    classifier.deploy()
    assert classifier.worse_than_running() is None
    with_version(classifier, family, 0.895)
    assert classifier.worse_than_running() is None
    with_version(classifier, family, 0.85)
    worse = classifier.worse_than_running()
    assert worse is not None and (worse.version, worse.runs) == (3, 1)
    assert "85 %" in str(worse) and "90 %" in str(worse)
    compared = {"version": 1, "moments": 4, "top1": 0.9, "running": 0.8}
    with_version(classifier, family, 0.7, comparison=compared)
    assert classifier.worse_than_running() is None  # on the same moments it is better
    with_version(classifier, family, None)
    assert "cannot be judged" in str(classifier.worse_than_running())

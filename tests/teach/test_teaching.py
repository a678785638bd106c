"""What a running daemon reads of the store, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edged.errors import InputError
from edged.switches.switch import ON, State, Switch
from edged.teach.store import Classifier, TeachStore
from edged.teach.store.shelf import Index, Shelf
from edged.teach.teaching import Configured, Teaching
from edged.variants.family import Family, load_family
from tests.rig.classifiers import CLASSES, VIEW, filled, made, with_version


@pytest.fixture
def teaching(tmp_path: Path) -> Iterator[Teaching]:
    filled(made(tmp_path), moments=1, pictures=3)
    teaching = Teaching(TeachStore(tmp_path))
    teaching.look()
    yield teaching
    teaching.close()


def test_settings_that_a_command_changes_are_followed(teaching: Teaching, tmp_path: Path) -> None:
    assert not teaching.changed()
    gate = TeachStore(tmp_path).open("gate")
    gate.change(replace(gate.settings, view="door", classes=(*CLASSES, "empty")))
    assert teaching.changed()
    teaching.look()
    assert not teaching.changed() and teaching.views == {"door"}
    assert teaching.describe("gate")["classes"] == [*CLASSES, "empty"]


def test_a_page_of_pictures_reads_the_folders_once(
    teaching: Teaching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = Shelf._read, []

    def counted(self: Shelf) -> Index:
        reads.append(self.folder)
        return read(self)

    monkeypatch.setattr(Shelf, "_read", counted)
    moments = teaching.describe("gate")["moments"]
    for moment in moments:
        for picture in moment["pictures"]:
            assert teaching.picture("gate", picture).startswith(b"\xff\xd8")
    assert len(reads) == 1
    teaching.discard("gate", moments[0]["id"])
    reads.clear()
    assert len(teaching.describe("gate")["moments"]) == len(moments) - 1
    assert len(reads) == 1


def test_a_view_that_is_off_is_not_recorded(tmp_path: Path) -> None:
    made(tmp_path)
    states = {VIEW: Switch(State.HOURS)}
    teaching = Teaching(TeachStore(tmp_path), switch=states.__getitem__)
    teaching.look()
    teaching.follow({VIEW: load_family("imagenette", tmp_path)}, Configured())
    with pytest.raises(InputError, match=rf"{VIEW} is outside its hours: it gives no pictures"):
        teaching.record("gate", CLASSES[0], 1.0)
    states[VIEW] = ON
    assert teaching.record("gate", CLASSES[0], 1.0)["pictures"] == 0
    teaching.close()


def test_what_cannot_be_trained_is_refused_at_once(teaching: Teaching, tmp_path: Path) -> None:
    gate = TeachStore(tmp_path).open("gate")
    gate.change(replace(gate.settings, classes=(*CLASSES, "empty")))
    with pytest.raises(InputError, match="no pictures of empty yet"):
        teaching.train("gate")
    assert teaching.describe("gate")["training"] is None


def test_deploying_what_runs_changes_nothing(
    teaching: Teaching, tmp_path: Path, family: Family
) -> None:
    gate = TeachStore(tmp_path).open("gate")
    with_version(gate, family)
    teaching.deploy("gate")
    teaching.look()
    before = teaching.store.deployed()["gate"]
    teaching.deploy("gate")
    assert teaching.store.deployed()["gate"] == before and not teaching.changed()


def test_what_the_configuration_needs_is_not_taken_away(
    teaching: Teaching, tmp_path: Path, family: Family
) -> None:
    gate = TeachStore(tmp_path).open("gate")
    with_version(gate, family)
    gate.deploy()
    seen = []

    def needed(now: TeachStore, then: TeachStore) -> str:
        seen.append((now.names(), sorted(now.deployed()), then.names(), sorted(then.deployed())))
        return "it would no longer be valid"

    teaching.follow({}, Configured(needed=needed))
    with_version(gate, family)
    another = partial(teaching.deploy, anyway=True)  # that stands for a worse one
    for take in (teaching.back, teaching.forget, another):
        with pytest.raises(InputError, match=r"it would no longer be valid; change it first"):
            take("gate")
    assert seen == [
        (["gate"], ["gate"], ["gate"], []),
        (["gate"], ["gate"], [], []),
        (["gate"], ["gate"], ["gate"], ["gate"]),
    ]
    assert teaching.store.deployed()["gate"].version == 1
    teaching.follow({}, Configured())
    assert teaching.back("gate") == {"name": "gate", "deployed": None}
    teaching.forget("gate")
    assert teaching.store.names() == []


def test_a_classifier_whose_view_is_gone_is_told_once(
    teaching: Teaching, tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    gate = TeachStore(tmp_path).open("gate")
    with_version(gate, family)
    gate.deploy()
    for views in ({VIEW: family}, {"door": family}, {"door": family}):
        teaching.follow(views, Configured())
    assert caplog.text.count("gate is deployed to yard/gate, which the configuration does not") == 1


def test_what_ran_before_answers_beside_also_that_of_another_classifier(
    teaching: Teaching, tmp_path: Path, family: Family
) -> None:
    gate, fence = TeachStore(tmp_path).open("gate"), made(tmp_path, "fence")
    teaching.look()

    def compared(run: Classifier) -> tuple[str, int] | None:
        teaching.follow({VIEW: run.family(run.deployed.version)}, Configured())  # type: ignore[union-attr]
        found = teaching.describe(run.name)["deployed"]["compared"]
        return None if found is None else (found["name"], found["version"])

    for _ in range(2):
        with_version(gate, family)
    with_version(fence, family)
    gate.deploy(1)
    assert compared(gate) is None
    gate.deploy(2)
    assert compared(gate) == ("gate", 1)
    fence.deploy()
    assert compared(fence) == ("gate", 2)
    fence.change(replace(fence.settings, classes=(*CLASSES, "empty")))
    fence.deploy(with_version(fence, family, classes=[*CLASSES, "empty"]))
    assert compared(fence) is None

"""The file of what people switched: over a restart, a power cut, a full disk and damage."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from edged.switches.memory import FILE, RETRY_SECONDS, Memory
from edged.switches.switch import Kind, State, Switch, Switched, Target
from edged.switches.switches import Switches
from tests.rig.camera import FakeTime
from tests.rig.full_disk import no_room
from tests.rig.power_cut import cut_everywhere
from tests.rig.waiting import eventually

DOOR, VISITOR = Target(Kind.VIEW, "door"), Target(Kind.EVENT, "visitor")
BEFORE: Switched = {DOOR: Switch(State.OFF, None, 1_800_000_000, "mqtt")}
AFTER: Switched = {
    DOOR: Switch(State.ON, None, 1_800_000_060, "api by anna"),
    VISITOR: Switch(State.SNOOZED, 1_800_003_600, 1_800_000_000, "page on loopback"),
}


def saved(folder: Path, switched: Switched) -> None:
    memory = Memory(folder)
    assert memory.save(switched)
    memory.close()


def loaded(folder: Path) -> Switched:
    memory = Memory(folder)
    try:
        return memory.load()
    finally:
        memory.close()


def test_it_outlives_the_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert loaded(folder) == {}
    assert not folder.exists()
    saved(folder, AFTER)
    assert loaded(folder) == AFTER


def test_a_restarted_daemon_knows_what_was_switched(tmp_path: Path) -> None:
    hours: dict[Target, Any] = {DOOR: (), VISITOR: ()}
    first = Switches(Memory(tmp_path), unix=lambda: 1_800_000_000.0)
    first.follow(hours)
    first.change(DOOR, State.OFF, "mqtt")
    first.change(VISITOR, State.SNOOZED, "mqtt", 5)
    assert first.save()
    states = first.states
    first.close(10)
    second = Switches(Memory(tmp_path), unix=lambda: 1_800_000_100.0)
    second.follow(hours)
    assert second.states == states
    second.close(10)
    late = Switches(Memory(tmp_path), unix=lambda: 1_800_000_300.0)
    late.follow({VISITOR: ()})  # the snooze has ended meanwhile, and the door is gone
    assert late.states == {VISITOR: Switch(State.ON, None, 1_800_000_300, "end of its snooze")}
    late.close(10)
    assert loaded(tmp_path) == late.states


def test_a_power_cut_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    saved(tmp_path, BEFORE)
    found: list[Switched] = []
    cut_everywhere(lambda: saved(tmp_path, AFTER), lambda: found.append(loaded(tmp_path)))
    changed = found.index(AFTER)
    assert found == [BEFORE] * changed + [AFTER] * (len(found) - changed)
    assert 3 < changed < len(found)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"view": {"door": {"state": "off"}}}',
        b'{"view": {"door": {}}, "event": {}}',
        b'{"view": {"door": 3}, "event": {}}',
        b'{"view": {"door": {"state": "hours", "origin": "x"}}, "event": {}}',
        b'{"view": {"door": {"state": "snoozed", "origin": "x"}}, "event": {}}',
        b'{"view": {"door": {"state": "off", "origin": "x", "changed_s": 1e99}}, "event": {}}',
        b'{"view": {"door": {"state": "off", "origin": 5}}, "event": {}}',
        b'{"view": {"door": {"state": "off", "origin": "x", "more": 5}}, "event": {}}',
    ],
)
def test_a_damaged_file_is_told_once_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert loaded(tmp_path) == {}
    said = f"{tmp_path / FILE}: ignored, as it is damaged: everything is on"
    assert caplog.messages == [said]
    saved(tmp_path, AFTER)
    assert loaded(tmp_path) == AFTER
    assert caplog.messages == [said]


def test_a_file_cut_anywhere_is_no_trouble(tmp_path: Path) -> None:
    saved(tmp_path, AFTER)
    whole = (tmp_path / FILE).read_bytes()
    for length in range(0, len(whole) - 2, 7):
        (tmp_path / FILE).write_bytes(whole[:length])
        assert loaded(tmp_path) == {}


def test_a_full_disk_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeTime()
    memory = Memory(tmp_path, clock.clock)
    assert memory.save(BEFORE)
    with no_room():
        assert not memory.save(AFTER)
        assert not memory.save(AFTER)
        clock.sleep(RETRY_SECONDS)
        assert not memory.save(AFTER)
    assert loaded_beside(tmp_path) == BEFORE
    assert not memory.save(AFTER)  # not yet
    clock.sleep(RETRY_SECONDS)
    assert memory.save(AFTER)
    assert loaded_beside(tmp_path) == AFTER
    said = [each for each in caplog.messages if "cannot be written" in each]
    assert len(said) == 1
    memory.close()


def loaded_beside(folder: Path) -> Switched:
    """The file's content while a daemon has its lock."""
    kinds = json.loads((folder / FILE).read_text())
    return {
        Target(Kind(kind), name): Switch(**{**own, "state": State(own["state"])})
        for kind, named in kinds.items()
        for name, own in named.items()
    }


def test_a_second_daemon_with_the_folder_keeps_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    first, second = Memory(tmp_path), Memory(tmp_path)
    assert first.save(BEFORE)
    assert second.load() == {}
    assert not second.save(AFTER)
    assert loaded_beside(tmp_path) == BEFORE
    assert all("another edged uses it" in each for each in caplog.messages)
    assert caplog.messages
    first.close()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("{}")
    (tmp_path / FILE).symlink_to(other)
    assert loaded(tmp_path) == {}
    saved(tmp_path, AFTER)
    assert other.read_text() == "{}"
    assert loaded(tmp_path) == AFTER


def test_a_disk_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    hangs = threading.Event()

    class Hanging(Memory):
        def save(self, switched: Switched) -> bool:
            hangs.wait()
            return super().save(switched)

    switches = Switches(Hanging(tmp_path), unix=lambda: 1_800_000_000.0)
    switches.follow({DOOR: ()})
    switches.change(DOOR, State.OFF, "mqtt")
    for _ in range(5):
        switches.tick()
    assert sum(each.name == "switches" for each in threading.enumerate()) == 1
    assert not switches.of_view("door").on
    switches.close(0.01)
    hangs.set()
    eventually(lambda: loaded_beside(tmp_path) == BEFORE if (tmp_path / FILE).exists() else False)

"""A power cut anywhere in a write, and a full disk: the old state or the new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edged.errors import EdgedError
from edged.teach.own_none import FEWEST, keep_none_photos, none_photos, take_none_photos
from edged.variants.family import Family
from tests.rig.classifiers import drawn, jpeg, made, moment, with_version
from tests.rig.full_disk import no_room
from tests.rig.paths import PROJECT
from tests.rig.power_cut import changing_lines, cut_before, cut_everywhere
from tests.rig.store_cuts import WRITES, begun, gate, state

RENAMES = ("label", "discard", "forget")
"""Writes without content."""


@pytest.fixture
def root(tmp_path: Path, family: Family) -> Path:
    return begun(tmp_path / "teach", family)


@pytest.mark.parametrize("write", WRITES)
def test_a_power_cut_leaves_the_old_or_the_new(root: Path, family: Family, write: str) -> None:
    command = [sys.executable, "-m", "tests.rig.store_cuts", root, family.directory, write]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 2


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_gives_one_message_and_loses_nothing(
    root: Path, family: Family, name: str
) -> None:
    old = state(root)
    try:
        with no_room():
            WRITES[name](root, family)
    except EdgedError as error:
        assert "File too large" in str(error)
        assert state(root) == old
        assert not list(root.rglob("*.partial"))
        WRITES[name](root, family)
    else:
        assert name in RENAMES
    assert state(root) != old


def test_remains_of_power_cuts_are_deleted_by_the_next_writer(root: Path, family: Family) -> None:
    for each in (".dog.partial", ".removed-0123"):
        (root / each).mkdir()
        (root / each / "x").write_bytes(b"x")
    (root / "gate/versions/.9.partial").mkdir()
    made(root, "dog")
    with_version(gate(root), family)
    assert {each.name for each in root.rglob(".*")} == {".lock"}


def test_an_eviction_cut_by_a_power_cut_leaves_whole_moments(tmp_path: Path) -> None:
    root = tmp_path / "teach"
    classifier = made(root, quota_bytes=1_000_000)
    size = 300_000
    for number in range(3):
        classifier.add(None, moment(number), jpeg(0, number).ljust(size, b"\0"))
    before = [each.id for each in classifier.moments()]

    def write() -> None:
        gate(root).make_room(1_000_000 - size)

    def check() -> None:
        left = [each.id for each in gate(root).moments()]
        assert left == before[-len(left) :]

    assert cut_everywhere(write, check) > 20
    assert len(gate(root).moments()) == 1


def _none_photos(folder: Path, label: int) -> Path:
    folder.mkdir()
    for number in range(FEWEST):
        cv2.imwrite(str(folder / f"{number}.png"), drawn(label, number))
    return folder


def test_photos_of_none_are_replaced_whole(tmp_path: Path) -> None:
    root = tmp_path / "teach"
    one, other = (_none_photos(tmp_path / str(label), label) for label in range(2))
    assert take_none_photos(root, one) == FEWEST
    old = {each.name for each in none_photos(root).iterdir()}
    with no_room(), pytest.raises(EdgedError):
        take_none_photos(root, other)
    assert {each.name for each in none_photos(root).iterdir()} == old
    assert take_none_photos(root, other) == FEWEST
    new = {each.name for each in none_photos(root).iterdir()}
    assert len(new) == FEWEST and not old & new


def test_a_power_cut_leaves_photos_of_none(tmp_path: Path) -> None:
    root = tmp_path / "teach"
    one, other = ({f"{label}{number}.jpg": b"x" for number in range(3)} for label in "ab")
    keep_none_photos(root, one)
    cuts = changing_lines(lambda: keep_none_photos(root, other), root)
    seen = []
    for line in cuts:
        keep_none_photos(root, one)
        assert cut_before(line, lambda: keep_none_photos(root, other))
        found = {each.name for each in none_photos(root).iterdir()}
        assert found in (set(one), set(other))
        seen.append(found == set(other))
    assert len(cuts) > 5 and not seen[0] and seen[-1]

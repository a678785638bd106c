"""Writes of a store of classifiers, each cut wherever it has changed something.

A program of its own, without ONNX Runtime: it forks often.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edged.teach.store import Classifier, TeachStore
from edged.variants.family import Family, load_family
from tests.rig.classifiers import CLASSES, filled, jpeg, made, moment, with_version
from tests.rig.power_cut import changing_lines, cut_before


def begun(root: Path, family: Family) -> Path:
    """Two versions, of which the second is deployed; two labelled moments and a seen one."""
    classifier = filled(made(root), moments=1, pictures=2)
    for number in range(2):
        classifier.add(None, moment(50), jpeg(0, 50 + number), "uncertain")
    for _ in range(2):
        with_version(classifier, family)
        classifier.deploy()
    return root


def state(root: Path) -> Any:
    """All that a reader can see, with the content; not entries of a classifier that is gone."""
    store = TeachStore(root)
    deployed = {
        name: (each.version, each.before, each.view)
        for name, each in store.deployed().items()
        if name in store.names()
    }
    found = {}
    for name in store.names():
        classifier = store.open(name)
        pictures = {
            (each.id, each.label, each.reason, picture): classifier.picture(picture)
            for each in classifier.moments()
            for picture in each.pictures
        }
        versions = {
            number: {
                each.name: each.read_bytes()
                for each in (root / name / "versions" / str(number)).iterdir()
            }
            for number in classifier.versions()
        }
        settings = replace(classifier.settings, created="")
        found[name] = settings, pictures, versions, classifier.used_bytes
    return found, deployed


def gate(root: Path) -> Classifier:
    return TeachStore(root).open("gate")


WRITES: dict[str, Callable[[Path, Family], object]] = {
    "create": lambda root, family: made(root, "dog"),
    "picture": lambda root, family: gate(root).add("open", moment(0), jpeg(0, 9)),
    "moment": lambda root, family: gate(root).add(None, moment(9), jpeg(0, 9), "changed"),
    "seen": lambda root, family: gate(root).add("open", moment(0), jpeg(0, 50)),
    "label": lambda root, family: gate(root).label(moment(50), "closed"),
    "discard": lambda root, family: gate(root).discard(moment(0)),
    "settings": lambda root, family: gate(root).change(
        replace(gate(root).settings, classes=(*CLASSES, "empty"))
    ),
    "version": lambda root, family: with_version(gate(root), family, 0.5),
    "deploy": lambda root, family: gate(root).deploy(1),
    "back": lambda root, family: TeachStore(root).back("gate"),
    "forget": lambda root, family: TeachStore(root).forget("gate"),
}


def cut(root: Path, family: Family, write: Callable[[Path, Family], object]) -> int:
    """In how many places; AssertionError for a state that is neither the old nor the new, or that
    the next writer does not cope with."""
    old, backup = state(root), root.with_name("backup")
    shutil.copytree(root, backup)

    def restored() -> Path:
        shutil.rmtree(root)
        shutil.copytree(backup, root)
        return root

    write(root, family)
    new = state(root)
    assert old != new
    restored()
    lines = changing_lines(lambda: write(root, family), root)
    seen = []
    for line in lines:
        restored()
        assert cut_before(line, lambda: write(root, family))
        found = state(root)
        assert found in (old, new)
        seen.append(found == new)
        if found == old:
            write(root, family)
            assert state(root) == new
    assert not seen[0] and seen[-1]
    return len(lines)


if __name__ == "__main__":
    place, backbone, name = sys.argv[1:]
    sys.stdout.write(f"{cut(Path(place), load_family(backbone, Path()), WRITES[name])}\n")

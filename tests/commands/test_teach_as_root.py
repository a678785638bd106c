"""`sudo edged teach`: what root leaves in the folder of the service."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from tests.rig.classifiers import (
    CLASSES,
    drawn_pictures,
    with_none_photos,
)
from tests.rig.families import make_family
from tests.rig.paths import PROJECT

CREATE = ("teach", "gate", "--view", "yard/gate", "--classes", "open,closed")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter, which pytest's own is not."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def open_to_all(path: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in path.resolve().parents)


def python_of_all() -> tuple[str, str]:
    """A Python that other users may run too, and its PYTHONPATH."""
    site = Path(np.__file__).parents[1]
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    for python in (sys.executable, system):
        if Path(python).exists() and all(map(open_to_all, (Path(python), site, PROJECT))):
            return python, f"{PROJECT}:{site}"
    pytest.skip("other users may not run this Python")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as another user")
def test_root_leaves_nothing_of_its_own_in_the_services_folder(public: Path) -> None:
    """In a process of its own, which gives up its rights for a while."""
    state = public / "state"
    state.mkdir()
    os.chown(state, 1234, 4321)
    secret = public / "roots-own"
    secret.mkdir(mode=0o700)
    family = make_family(public / "animals")
    with_none_photos(state / "teach")
    for each in (state / "teach").rglob("*"):
        os.chown(each, 1234, 4321)
    os.chown(state / "teach", 1234, 4321)

    python, path = python_of_all()

    def run(*words: object) -> str:
        done = subprocess.run(
            [python, "-m", "edged", "teach", *map(str, words)],
            cwd=secret,
            env={**os.environ, "STATE_DIRECTORY": str(state), "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(*CREATE[1:], "--backbone", family.directory)
    for label, named in enumerate(CLASSES):
        for number in range(2):
            folder = drawn_pictures(secret / f"{named}{number}", label, 2, 10 * number)
            run("gate", "add", named, folder, "--one-moment")
    run("gate", "train")
    run("gate", "deploy")
    run("gate")
    run("gate", "export", "gate.zip")
    assert (secret / "gate.zip").stat().st_uid == 0
    found = [state, *state.rglob("*")]
    assert len(found) > 20
    assert {(each.stat().st_uid, each.stat().st_gid) for each in found} == {(1234, 4321)}
    assert not any(each.stat().st_mode & stat.S_IWOTH for each in found)
    run("gate", "forget")

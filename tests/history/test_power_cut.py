"""A process that is killed, or a disk that is full, at every single write of the history."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.rig.disk_faults import shim
from tests.rig.paths import PROJECT


def run(fault: str, tmp_path: Path) -> int:
    """In memory: a disk would spend minutes on syncing. What it prints."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.rig.history_faults", fault, folder],
            cwd=PROJECT,
            env={**os.environ, "LD_PRELOAD": str(shim(tmp_path))},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_what_was_written_stays_and_the_rest_is_whole(tmp_path: Path, fault: str) -> None:
    assert run(fault, tmp_path) > 50


def test_events_are_synced_and_minutes_are_not(tmp_path: Path) -> None:
    """Each event twice, at its start and its end; 60 minutes fit into the log."""
    assert run("sync", tmp_path) == 2

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from edged.errors import EdgedError
from edged.state import as_owner, daemon_state_directory, state_directory

STRANGER = 65534


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/edged", "HOME": "/home/pi"}, "/var/lib/edged"),
        ({"STATE_DIRECTORY": "/var/lib/edged:/var/lib/more"}, "/var/lib/edged"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/pi"}, "/state/edged"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/pi"}, "/home/pi/.local/state/edged"),
        ({"HOME": "/home/pi"}, "/home/pi/.local/state/edged"),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_the_state_directory(environ: dict[str, str], expected: str | None) -> None:
    assert state_directory(environ) == (None if expected is None else Path(expected))


def test_a_command_looks_where_the_service_keeps_its_state(tmp_path: Path) -> None:
    home = {"HOME": "/home/pi"}
    assert daemon_state_directory(home, tmp_path) == tmp_path
    assert daemon_state_directory({"STATE_DIRECTORY": "/given"}, tmp_path) == Path("/given")
    nowhere = tmp_path / "missing"
    assert daemon_state_directory(home, nowhere) == Path("/home/pi/.local/state/edged")
    assert daemon_state_directory({}, nowhere) == nowhere


@pytest.fixture
def strangers() -> Iterator[Path]:
    """A folder of another user, inside one that everybody may enter and only root may change."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with TemporaryDirectory(prefix="edged-state-") as folder:
        Path(folder).chmod(0o755)
        owned = Path(folder) / "owned"
        owned.mkdir()
        os.chown(owned, STRANGER, STRANGER)
        try:
            with as_owner(owned):
                pass
        except EdgedError as error:
            pytest.skip(str(error))
        yield owned


def test_the_services_folder_counts_only_for_who_may_write_there(strangers: Path) -> None:
    home = {"HOME": "/home/pi"}
    with as_owner(strangers):
        assert daemon_state_directory(home, strangers) == strangers
        other = daemon_state_directory(home, strangers.parent)
    assert other == Path("/home/pi/.local/state/edged")


def test_root_acts_as_the_owner(strangers: Path) -> None:
    before = os.geteuid(), os.getegid(), os.getgroups()
    with as_owner(strangers / "not" / "there yet"):
        (strangers / "file").write_text("theirs")
        with pytest.raises(PermissionError):
            (strangers.parent / "file").write_text("root's")
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before
    written = (strangers / "file").stat()
    assert (written.st_uid, written.st_gid) == (STRANGER, STRANGER)


def test_in_a_folder_of_ones_own_nothing_changes(tmp_path: Path) -> None:
    before = os.geteuid(), os.getegid()
    with as_owner(tmp_path):
        assert (os.geteuid(), os.getegid()) == before
        (tmp_path / "file").write_text("mine")
    assert (tmp_path / "file").stat().st_uid == before[0]

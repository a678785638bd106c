from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from edged.atomic_file import open_to_write, partial_of, write_whole
from tests.rig.full_disk import no_room


def test_the_new_content_takes_the_old_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with no_room(), pytest.raises(OSError, match="File too large"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_place_of_the_partial_file_is_not_followed(tmp_path: Path) -> None:
    others, path = tmp_path / "others", tmp_path / "a.txt"
    others.write_bytes(b"not mine")
    partial_of(path).symlink_to(others)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert others.read_bytes() == b"not mine"


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_a_link_is_not_opened_for_writing(tmp_path: Path, mode: Literal["wb", "ab"]) -> None:
    for target in (tmp_path / "others", tmp_path / "absent"):
        link = tmp_path / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(OSError, match="symbolic links"):
            open_to_write(link, mode)
        assert not target.exists()


def test_a_pipe_without_a_reader_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device or address"):
        open_to_write(tmp_path / "pipe", "ab")

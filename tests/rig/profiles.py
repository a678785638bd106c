"""The files of a folder of profiles."""

from __future__ import annotations

from pathlib import Path


def only_file(directory: Path) -> Path:
    (found,) = directory.glob("profile-*.json")
    return found


def profile_files(directory: Path) -> list[Path]:
    return list(directory.glob("profile-*.json"))

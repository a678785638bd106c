"""Needs of the children of files and folders."""

from __future__ import annotations

import os
from pathlib import Path

from edged.capture.confinement.needs import Needs
from edged.capture.decode.pictures import SUFFIXES

_PLAYLISTS = (".m3u8", ".m3u", ".ffconcat", ".mpd")


def file_needs(source: str) -> Needs:
    return Needs(reads=(with_its_parts(source),))


def with_its_parts(path: str) -> str:
    """The path, or the folder of a playlist."""
    return folder_of(path) if Path(path).suffix.lower() in _PLAYLISTS else path


def folder_of(path: str) -> str:
    return str(Path(path).absolute().parent)


def folder_needs(source: str) -> Needs:
    """The folder and the pictures that its links point to, but nothing else they point to."""
    try:
        with os.scandir(source) as entries:
            links = [
                entry.path
                for entry in entries
                if entry.is_symlink() and Path(entry).suffix.lower() in SUFFIXES and entry.is_file()
            ]
    except NotADirectoryError:
        around = (folder_of(source),) if _holds_pictures_only(source) else ()
        return Needs(reads=(source, *around))
    except OSError:
        links = []
    return Needs(reads=(source, *links))


def _holds_pictures_only(picture: str) -> bool:
    """Whether the folder of a picture may be read: a replaced picture is a new file."""
    try:
        with os.scandir(folder_of(picture)) as entries:
            return all(
                Path(entry).suffix.lower() in SUFFIXES and not entry.is_dir(follow_symlinks=False)
                for entry in entries
            )
    except OSError:
        return False

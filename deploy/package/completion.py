"""Completion of edged's command line in bash, zsh and fish, of the command line's parser."""

from __future__ import annotations

import argparse

import shtab
from manual import commands, make_parser

from edged.commands.parts import file_or_folder

CAMERAS = "/usr/lib/edged/bin/python3 -I /usr/lib/edged/camera_names.py"
SHELLS = {
    "bash-completion/completions/edged": "bash",
    "zsh/vendor-completions/_edged": "zsh",
    "fish/vendor_completions.d/edged.fish": "fish",
}
"""Below /usr/share."""


def script(shell: str, cameras: str = CAMERAS) -> str:
    """`cameras`: the command that prints the names of cameras."""
    parser = make_parser()
    for command in commands(parser):
        for action in command._actions:
            if values := _values(action, cameras):
                action.complete = values  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def _values(action: argparse.Action, cameras: str) -> shtab.CompleteType | None:
    """What the values of an option or argument are, unless the parser lists them."""
    if action.dest in ("camera", "view"):
        return shtab.cmd(cameras)
    if action.dest in ("family", "into", "model"):
        return shtab.DIRECTORY
    if action.type is file_or_folder or action.dest in ("config", "file", "source"):
        return shtab.FILE
    return None

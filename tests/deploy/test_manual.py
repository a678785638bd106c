"""The manual pages: every command and key is there, and `man` has nothing to complain about."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from edged.cli import make_parser
from edged.config.schema import json_schema
from tests.rig.package import manual

HELP = ("-h", "--help")


def rendered(folder: Path, name: str, width: int) -> str:
    """As `man` shows it, without formatting. Fails on a warning."""
    if which("man") is None or which("groff") is None:
        pytest.skip("man-db and groff are not installed")
    page = folder / Path(name).name
    page.write_text(manual.PAGES[name]())
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", page],
        capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": str(width)},
    )  # fmt: skip
    assert shown.stderr == ""
    return shown.stdout


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", manual.PAGES)
def test_a_page_renders_without_warnings(tmp_path: Path, name: str, width: int) -> None:
    assert "\nNAME\n" in rendered(tmp_path, name, width)


def test_every_command_and_option_is_there(tmp_path: Path) -> None:
    lines = rendered(tmp_path, "man1/edged.1", 200).splitlines()
    parser = make_parser()
    commands = list(manual.commands(parser))
    assert {"edged run", "edged models pull", "edged service install"} <= {c.prog for c in commands}
    for command in commands:
        start = lines.index(f"   {command.prog}")
        part = "\n".join(lines[start + 1 :]).partition("\n   edged ")[0]
        assert command.description in part
        for action in command._actions:
            assert action.help, f"{command.prog}: {action.dest} has no help"
            assert all(f" {each}" in part for each in action.option_strings if each not in HELP)


def keys(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, key in schema.get("properties", {}).items():
        yield name
        yield from keys(key)
        if isinstance(values := key.get("additionalProperties"), dict):
            yield from keys(values)


def test_every_key_is_there(tmp_path: Path) -> None:
    """Each in the first column of the list of keys, as often as the schema has it."""
    page = rendered(tmp_path, "man5/edged.yaml.5", 200).partition("\nKEYS\n")[2]
    shown = [line.split()[0] for line in page.partition("\nEXAMPLE\n")[0].splitlines()
             if line.startswith("       ") and line[7] != " "]  # fmt: skip
    assert sorted(shown) == sorted(keys(json_schema()))


def test_text_stays_as_it_is_written() -> None:
    assert manual.roff("it's -1: `a-b`") == r"it\(aqs \-1: \fBa\-b\fR"
    assert manual.roff(".5 or \\") == r"\&.5 or \e"

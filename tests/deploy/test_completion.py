"""Completion in bash, zsh and fish, asked of the shells themselves."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from tests.rig.package import PACKAGE, completion

CAMERAS = f"{sys.executable} {PACKAGE / 'camera_names.py'}"
BASH = """
source ./edged.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_shtab_edged
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSHRC = """
fpath=($PWD $fpath)
autoload -U compinit && compinit -u -D
told() { print -r -- "$BUFFER" > told; exit }
zle -N told && bindkey '^X' told
"""


def offered(shell: str, folder: Path, *words: str) -> set[str]:
    """What the shell offers for the last word, in `folder`."""
    program = which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed (apt-get install {shell})")
    name = folder / f"edged.{shell}"
    name.write_text(completion.script(shell, CAMERAS))
    line = ("edged", *words)
    command = {
        "bash": [program, "--norc", "-c", BASH, "bash", *line],
        "fish": [program, "--no-config", "-c",
                 f"source edged.fish; complete --do-complete {shlex.quote(' '.join(line))}"],
    }[shell]  # fmt: skip
    shown = subprocess.run(
        command, cwd=folder, env={**os.environ, "HOME": str(folder)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert shown.stderr == ""
    return {line.partition("\t")[0] for line in shown.stdout.splitlines()}


def typed_in_zsh(folder: Path, text: str) -> str:
    """What a line becomes by the tab key; zsh completes on a terminal only."""
    program = which("zsh")
    if program is None:
        pytest.skip("zsh is not installed (apt-get install zsh)")
    (folder / "_edged").write_text(completion.script("zsh", CAMERAS))
    (folder / ".zshrc").write_text(ZSHRC)
    keyboard, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [program, "-i"],
            stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, start_new_session=True,
            env={"PATH": os.environ["PATH"], "ZDOTDIR": str(folder), "TERM": "dumb"},
        ) as shell:  # fmt: skip
            os.write(keyboard, f"{text}\t\x18".encode())
            try:
                shell.wait(60)
            finally:
                shell.kill()
    finally:
        os.close(keyboard)
        os.close(terminal)
    return (folder / "told").read_text().rstrip()


SHELLS = ("bash", "fish")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration, a family, a trace and a picture."""
    (tmp_path / "edged.yaml").write_text(
        "cameras:\n  door: {source: synthetic}\n  yard:\n    source: synthetic\n"
    )
    (tmp_path / "birds").mkdir()
    (tmp_path / "trace.jsonl").write_text("")
    (tmp_path / "door.jpg").write_text("")
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_options(shell: str, folder: Path) -> None:
    assert {"run", "check", "models", "replay"} <= offered(shell, folder, "")
    assert offered(shell, folder, "ru") == {"run"}
    assert {"pull", "list", "verify"} <= offered(shell, folder, "models", "")
    assert offered(shell, folder, "models", "pull", "--res") == {"--resolution"}
    assert offered(shell, folder, "models", "import", "--fit", "") == {"crop", "squash"}


@pytest.mark.parametrize("shell", SHELLS)
def test_files_and_folders(shell: str, folder: Path) -> None:
    assert offered(shell, folder, "check", "edged.y") == {"edged.yaml"}
    assert offered(shell, folder, "run", "--config", "edged.y") == {"edged.yaml"}
    assert offered(shell, folder, "replay", "tr") == {"trace.jsonl"}
    assert offered(shell, folder, "classify", "door.j") == {"door.jpg"}
    assert offered(shell, folder, "classify", "--bud") == {"--budget"}
    models = offered(shell, folder, "classify", "--model", "b")
    assert {each.rstrip("/") for each in models} == {"birds"}
    assert {each.rstrip("/") for each in offered(shell, folder, "models", "list", "b")} == {"birds"}


@pytest.mark.parametrize("shell", SHELLS)
def test_cameras_of_the_configuration(shell: str, folder: Path) -> None:
    assert offered(shell, folder, "replay", "trace.jsonl", "--camera", "") == {"door", "yard"}
    assert offered(shell, folder, "replay", "trace.jsonl", "--camera", "d") == {"door"}
    (folder / "edged.yaml").write_text("cameras: {attic: {}, yard: {views: {gate: {}, bin: {}}}}\n")
    views = {"attic", "yard/gate", "yard/bin"}
    assert offered(shell, folder, "teach", "gate", "--view", "") == views


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("edged ru", "edged run"),
        ("edged models ver", "edged models verify"),
        ("edged models pull --res", "edged models pull --resolution"),
        ("edged check edged.y", "edged check edged.yaml"),
        ("edged replay trace.jsonl --camera d", "edged replay trace.jsonl --camera door"),
    ],
)
def test_zsh(typed: str, completed: str, folder: Path) -> None:
    assert typed_in_zsh(folder, typed) == completed


@pytest.mark.parametrize("text", ["cameras: [", "cameras: 1", "cameras: {a: 1}", "- a", "model: x"])
def test_a_configuration_with_errors_has_no_cameras(text: str, folder: Path) -> None:
    (folder / "edged.yaml").write_text(text)
    assert offered("bash", folder, "replay", "trace.jsonl", "--camera", "") == {""}

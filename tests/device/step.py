"""Steps that take time are made once: again only when their recipe changes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

_BEGUN = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _BEGUN:6.1f} s  {text}", flush=True)


def step(target: Path, recipe: str, build: Callable[[Path], None]) -> Path:
    """target, a file or folder, made by `build` unless it is there from the same recipe.

    `build` is given another name, which becomes the target's when it is whole.
    """
    note = target.with_name(f"{target.name}.recipe")
    if target.exists() and note.exists() and note.read_text() == recipe:
        say(f"{target.name}: there already")
        return target
    say(f"{target.name}: being made")
    partial = target.with_name(f"{target.name}.partial")
    for old in (note, target, partial):
        _remove(old)
    build(partial)
    partial.rename(target)
    note.write_text(recipe)
    say(f"{target.name}: made")
    return target


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

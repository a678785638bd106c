"""The training recipe on drawn pictures, as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.rig.paths import PROJECT

RECIPE = PROJECT / "models" / "recipe"
sys.path.insert(0, str(RECIPE))  # its modules are a folder's, not a package's
EPOCHS = 12
COLOURS = {"blue box": (30, 60, 220), "green box": (40, 200, 50), "red box": (220, 40, 30)}


def drawn(colour: tuple[int, int, int], random: np.random.Generator) -> NDArray[np.uint8]:
    """A box of the colour in the upper half of a grey, noisy 80 x 64 picture, RGB."""
    picture = random.integers(90, 160, (64, 80, 3), dtype=np.uint8)
    left, top = int(random.integers(10, 34)), int(random.integers(2, 12))
    picture[top : top + 28, left : left + 34] = colour
    return picture


def draw_classes(root: Path, each: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(each):
            picture = drawn(colour, random)[:, :, ::-1]
            assert cv2.imwrite(str(root / name / f"{number:02}.png"), picture)
    return root


def command(training: Path, held_out: Path, checkpoints: Path, *options: str) -> list[str]:
    small = ["--alpha", "0.25", "--resolution", "64", "--resolution", "96", "--batch", "10"]
    small += ["--epoch-steps", "6"]  # those of one pass over the 60 pictures
    places = ["--photos", training, "--validation", held_out, "--checkpoints", checkpoints]
    return [sys.executable, str(RECIPE), *map(str, places), *small, "--threads", "1", *options]


@cache
def _recipe() -> Any:
    spec = spec_from_file_location("recipe", RECIPE / "__main__.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """In this process, which has PyTorch already."""
    printed, told = StringIO(), StringIO()
    with redirect_stdout(printed), redirect_stderr(told):
        try:
            status = _recipe().main(arguments[2:])
        except SystemExit as ended:
            status = ended.code
    return subprocess.CompletedProcess(arguments, status, printed.getvalue(), told.getvalue())


def log_of(checkpoints: Path) -> list[dict[str, object]]:
    text = (checkpoints / "alpha_0.25.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def without_times(log: list[dict[str, object]]) -> list[dict[str, object]]:
    return [
        {key: value for key, value in entry.items() if not key.endswith("seconds")} for entry in log
    ]

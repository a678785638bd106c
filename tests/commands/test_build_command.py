"""`edged models build`: what it tells, and that one bad network does not stop the others."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from edged.cli import main
from edged.commands.build import build_family
from tests.rig.families import ALPHAS, make_family
from tests.rig.taught import make_taught
from tests.rig.tensorrt import starter
from tests.rig.tensorrt_backend import Bench

NAMES = [f"mobilenet_v1_{alpha}.onnx" for alpha in ALPHAS]


def test_it_builds_what_is_not_there_and_says_so(tmp_path: Path) -> None:
    family = make_family(tmp_path / "family")
    shares: list[tuple[str, float]] = []
    for expected in ("built in 0 s", "already built"):
        told: list[str] = []
        begun: list[str] = []
        bench = Bench(tmp_path, progress=lambda name, share: shares.append((name, share)))
        assert build_family(family, bench.backend, begun.append, told.append)
        assert begun == NAMES
        assert told == [f"{name}: {expected}" for name in NAMES]
    assert shares == [(name, share / 4) for name in NAMES for share in (1, 2, 3, 4)]


def test_a_taught_family_has_the_engines_of_its_backbone(tmp_path: Path) -> None:
    family = make_family(tmp_path / "family")
    for number, expected in enumerate(("built in 0 s", "already built")):
        told: list[str] = []
        taught = make_taught(tmp_path / str(number), family, seed=number)
        assert build_family(taught, Bench(tmp_path).backend, lambda name: None, told.append)
        assert told == [f"{name}: {expected}" for name in NAMES]


def test_that_engines_are_not_kept_is_known_afterwards(tmp_path: Path) -> None:
    """`edged models build` fails then: they are all that it is for."""
    family = make_family(tmp_path / "family")
    for problem in ("", f"{tmp_path}/engines: File exists"):
        if problem:
            shutil.rmtree(tmp_path / "engines")
            (tmp_path / "engines").write_text("not a folder")
        bench = Bench(tmp_path)
        assert build_family(family, bench.backend, lambda name: None, lambda text: None)
        assert bench.cache.problem == problem


def test_a_network_that_fails_is_told_and_the_others_are_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family = make_family(tmp_path / "family")
    kinds = iter(["broken", "fake"])
    bench = Bench(tmp_path, start=lambda: starter(next(kinds))())
    told: list[str] = []
    assert build_family(family, bench.backend, lambda name: None, told.append) is False
    assert told == [f"{NAMES[1]}: built in 0 s"]
    assert f"edged: {NAMES[0]}: the engine's builder died with status 1" in capsys.readouterr().err


def test_without_tensorrt_it_says_what_brings_it(capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")
    assert main(["models", "build", "imagenette"]) == 1
    assert "TensorRT is not installed for this Python; sudo apt install" in capsys.readouterr().err

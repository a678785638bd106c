"""What a wheel carries: every package, and the shipped family whole."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.rig.paths import PROJECT

ROOT = PROJECT
IMAGENETTE = ROOT / "models" / "imagenette"
SERVICE = [path for path in (ROOT / "systemd").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT],
        check=True,
        timeout=110,
    )
    (built,) = folder.glob("edged-*.whl")
    return built


def test_the_wheel_has_every_module_and_the_family(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "edged").rglob("*.py")}
    shipped = {f"edged/families/imagenette/{path.name}" for path in IMAGENETTE.iterdir()}
    service = {f"edged/systemd/{path.relative_to(ROOT / 'systemd')}" for path in SERVICE}
    assert modules | shipped | service <= inside
    assert len(shipped) >= 5


def test_the_wheel_is_small_enough_for_a_card(wheel: Path) -> None:
    assert wheel.stat().st_size < 20_000_000

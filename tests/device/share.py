"""The folder that host and device share: a wheel of this tree, its units and tests, other files."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from email.parser import HeaderParser
from pathlib import Path

from tests.device.step import say

PROJECT = Path(__file__).parents[2]


def fill_share(rig: Path, files: Sequence[Path]) -> tuple[Path, list[str]]:
    """(the folder, the wheel's requirements), everything in it made anew."""
    share = rig / "share"
    shutil.rmtree(share, ignore_errors=True)
    share.mkdir()
    shutil.copytree(
        PROJECT / "tests",
        share / "tests",
        ignore=shutil.ignore_patterns("__pycache__", "benchmarks", "fixtures"),
    )
    shutil.copytree(PROJECT / "systemd", share / "systemd")
    for file in files:
        shutil.copy(file, share)
    say("wheel: being made")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--wheel-dir", share, PROJECT),
        ],
        check=True,
    )
    (wheel,) = share.glob("edged-*.whl")
    say(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    return share, requirements(wheel)


def requirements(wheel: Path) -> list[str]:
    """What it needs in any case, and for the runtime that the package brings as well."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    needs = metadata.get_all("Requires-Dist", [])
    ncnn = [each.split(";")[0] for each in needs if each.endswith("extra == 'ncnn'")]
    return [*(each for each in needs if "extra ==" not in each), *ncnn]

"""The .deb of this tree and the next version's, made anew when the tree has changed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.device.root import SUITE, Architecture
from tests.device.share import PROJECT
from tests.device.step import step

BUILD = PROJECT / "deploy" / "package" / "build.py"
NEWER = Path(__file__).with_name("newer.sh")
SOURCES = (
    *("edged", "models", "systemd", "docs", "deploy/package"),
    *("CHANGELOG.md", "README.md", "LICENSE", "pyproject.toml"),
)
"""What the package is made of, beside the wheels that these name."""


def make_packages(rig: Path, architecture: Architecture) -> list[Path]:
    """[the package, the next version's]"""

    def build(target: Path) -> None:
        command = [sys.executable, BUILD, SUITE, architecture.name, "--output", target]
        subprocess.run(command, check=True)
        (package,) = target.glob("*.deb")
        subprocess.run([NEWER, package, target / "newer.deb"], check=True)

    recipe = digest(PROJECT, (*SOURCES, str(NEWER.relative_to(PROJECT))))
    folder = step(rig / f"packages-{architecture.name}", recipe, build)
    return sorted(folder.glob("*.deb"))  # edged_….deb, newer.deb


def digest(top: Path, names: tuple[str, ...]) -> str:
    """Of these files and of all files in these folders, with their names."""
    sum_ = hashlib.sha256()
    for name in names:
        for path in sorted(p for p in (top / name, *(top / name).rglob("*")) if p.is_file()):
            if "__pycache__" not in path.parts:
                sum_.update(f"{path.relative_to(top)}\0{path.stat().st_size}\0".encode())
                sum_.update(path.read_bytes())
    return sum_.hexdigest()

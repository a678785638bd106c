"""Advice in errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edged.errors import DEBIAN_PREFIX, MissingPackageError, how_to_install


def test_a_missing_package_is_installed_by_the_pip_of_this_python() -> None:
    error = MissingPackageError("plots need matplotlib", "pip install 'edged[plot]'")
    command = str(error).partition("install it with: ")[2].replace("pip install", "pip --version #")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert command.startswith(sys.executable)
    assert f"python {sys.version_info.major}.{sys.version_info.minor}" in done.stdout, done.stderr


def test_beside_the_debian_package_the_advice_is_not_pip() -> None:
    assert "pip install" not in how_to_install("pip install 'edged[plot]'", DEBIAN_PREFIX)
    assert "Debian package" in how_to_install("pip install 'edged[plot]'", DEBIAN_PREFIX)
    assert "--reinstall" in how_to_install("pip install ncnn", DEBIAN_PREFIX, in_deb=True)
    assert "pip install" in how_to_install("pip install 'edged[plot]'", Path("/opt/edged"))

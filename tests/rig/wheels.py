"""Wheels that are downloaded for tests, without their dependencies, and not installed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def unpacked(*requirements: str) -> Path:
    """A folder with the wheels' content; skips where they cannot be had for this Python, and where
    nobody has said that they may be downloaded: EDGED_CACHE is not set."""
    given = os.environ.get("EDGED_CACHE")
    cache = Path(given) if given else Path.home() / ".cache/edged-tests"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = cache / f"{python}-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:12]}"
    if not given and not folder.is_dir():
        pytest.skip(
            f"needs {' '.join(requirements)} from PyPI: set EDGED_CACHE to where it may be kept"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _download(requirements, folder)
    return folder


def _download(requirements: tuple[str, ...], folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--quiet", "--dest", str(partial / "wheels"), *requirements],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or [done.stderr]
        pytest.skip(f"{' '.join(requirements)} cannot be had for this Python: {said[0]}")
    for wheel in (partial / "wheels").iterdir():
        zipfile.ZipFile(wheel).extractall(partial)
    shutil.rmtree(partial / "wheels")
    partial.rename(folder)

"""The wheels of this processor, and the shipped family on it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tests.device.checks.report import Report

WHEELS = ("av", "numpy", "onnxruntime", "ncnn", "opencv-python-headless")


def run(report: Report) -> None:
    model = Path("/proc/device-tree/model")
    report.note(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}")
    if model.exists():
        report.note(model.read_text().rstrip("\0"))
    report.check("wheels", True, ", ".join(f"{name} {version(name)}" for name in WHEELS))
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "edged", "models", "verify", "imagenette"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    report.check(
        "the golden pictures agree",
        done.returncode == 0,
        f"{lines[-1] if lines else 'silent'} ({time.monotonic() - begun:.0f} s)",
    )
    if done.returncode != 0:
        print(done.stdout)
